"""A headless Chromium, and what went over its console and its network."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Browser:
    """Opens pages from the disk in a window of a stated size."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = 1280, height: int = 1000, dark: bool = False) -> Any:
        """Open a page afresh and return the driver; the logs begin here."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get("about:blank")
        for log in ("browser", "performance"):
            self.driver.get_log(log)
        self.driver.get(page.as_uri())
        return self.driver

    def complaints(self) -> list[str]:
        """What the console says: errors of scripts, of loading, and of the page's own policy."""
        return [line["message"] for line in self.driver.get_log("browser")]

    def requests(self) -> set[str]:
        """The addresses that were asked for, but for data within the page."""
        events = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return {each["request"]["url"] for each in sent if not each["request"]["url"].startswith("data:")}

    def look_at(self, element: Any) -> npt.NDArray[np.uint8]:
        """What an element looks like, uint8 ``(height, width, 3)`` RGB, once its pictures are there."""
        self.driver.execute_async_script(
            "const [element, done] = arguments;"
            "const decoded = [...element.querySelectorAll('img')].map((image) => image.decode());"
            "Promise.all(decoded).then(() => requestAnimationFrame(() => requestAnimationFrame(done)));",
            element,
        )
        return np.asarray(Image.open(io.BytesIO(element.screenshot_as_png)).convert("RGB"))


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no chromium and chromedriver on this machine: apt-get install chromium chromium-driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=Service(driver))
    started.set_script_timeout(60)
    try:
        yield Browser(started)
    finally:
        started.quit()


@pytest.fixture(scope="module")
def quiet_models() -> None:
    """As the commands do before they import these libraries, which other tests may have done."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()


@pytest.fixture(scope="module")
def command(quiet_models: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[..., int]]:
    """An empty folder, and a way to run commands in it."""
    from groundkit.cli.main import run

    folder = tmp_path_factory.mktemp("run")

    def call(*arguments: str | Path) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            return run([*(str(argument) for argument in arguments), "--offline", "--quiet"])

    return folder, call
