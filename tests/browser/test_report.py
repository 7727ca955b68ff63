"""Reports of the real commands, opened from the disk, looked at and clicked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from selenium.common.exceptions import NoAlertPresentException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from groundkit.outputs.video.mp4 import write_mp4

SAMPLES = Path(__file__).parents[2] / "samples"
CUP, SCRIPT, MISSING = "the red cup", "<script>alert(1)</script>", "broken \"one\" & 'two'.png"
FRAMES = 6

Mask = npt.NDArray[np.bool_]


class Run(NamedTuple):
    page: Path
    records: list[dict[str, Any]]
    folder: Path


@pytest.fixture(scope="module")
def pictures(command: tuple[Path, Callable[..., int]]) -> Run:
    """Two pictures and a broken one, two phrases; one phrase has too little evidence on one picture at least."""
    folder, call = command
    (folder / MISSING).write_bytes(b"no picture")
    shutil.copy(SAMPLES / "scene_1.png", folder / "a <b>.png")
    inputs = ["a <b>.png", SAMPLES / "scene_2.png", MISSING, "-p", CUP, "-p", SCRIPT]
    assert call("segment", *inputs, "--set", "evidence=true", "-o", "first", "-f", "json") == 1
    found = [json.loads(file.read_text()) for file in (folder / "first").glob("*.json")]
    least = np.median([record["evidence"] for record in found])
    options = ["--min-evidence", f"{least:.6f}", "-o", "out", "-f", "json", "-f", "png"]
    assert call("segment", *inputs, *options, "--report", "report.html") == 1
    records = [json.loads(file.read_text()) for file in (folder / "out").glob("*.json")]
    return Run(folder / "report.html", records, folder)


@pytest.fixture(scope="module")
def video(command: tuple[Path, Callable[..., int]]) -> Run:
    """A scene that slides through the frame, and a file that is no video."""
    folder, call = command
    picture = np.asarray(Image.open(SAMPLES / "scene_1.png").convert("RGB"))
    motions = [np.array([[1, 0, 9 * step], [0, 1, -6 * step]], np.float32) for step in range(FRAMES)]
    slid = [cv2.warpAffine(picture, motion, (256, 256), borderMode=cv2.BORDER_REPLICATE) for motion in motions]
    write_mp4(folder / "clip.mp4", [np.asarray(each, np.uint8) for each in slid], rate=4)
    (folder / "broken.mp4").write_bytes(b"no video")
    arguments = ["broken.mp4", "clip.mp4", CUP, "-o", "out", "--key-frame", "middle", "--report", "deep/video.html"]
    assert call("follow", *arguments) == 1
    return Run(folder / "deep" / "video.html", [], folder)


def shown(driver: Any) -> list[tuple[str, str]]:
    """Phrase and file of the entries that can be seen, in their order."""
    entries = [entry for entry in driver.find_elements(By.CLASS_NAME, "entry") if entry.is_displayed()]
    return [
        (entry.find_element(By.TAG_NAME, "h2").text, entry.find_element(By.CLASS_NAME, "source").text)
        for entry in entries
    ]


def choose(driver: Any, value: str) -> None:
    driver.find_element(By.CSS_SELECTOR, f"#tools input[value='{value}']").click()


def only(driver: Any, *layers: str) -> None:
    """Switch the layers by their boxes."""
    for box in driver.find_elements(By.NAME, "layer"):
        if box.is_selected() != (box.get_attribute("value") in layers):
            box.click()


def slide(driver: Any, value: float) -> None:
    """Move the slider of evidence as a pointer would: a value, then an event."""
    slider = driver.find_element(By.ID, "least")
    driver.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
        slider,
        value,
    )


def inside(looks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The square picture within a stage that is wider than high."""
    height, width = looks.shape[:2]
    left = (width - height) // 2
    return looks[:, left : left + height]


def overlap(looks: npt.NDArray[np.uint8], mask: Mask) -> float:
    """IoU of what is coloured with the pixels of a mask."""
    square = inside(looks)
    coloured = square.max(axis=2).astype(int) - square.min(axis=2) > 12
    side = square.shape[0]
    truth = cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR) > 0.5
    return float((coloured & truth).sum() / (coloured | truth).sum())


def test_the_log_of_console_and_network_notices_what_a_report_must_not_do(browser: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<img src='other.png'><script>console.error('trouble')</script>")
    browser.open(page)
    assert any("trouble" in line for line in browser.complaints())
    assert browser.requests() == {page.as_uri(), (tmp_path / "other.png").as_uri()}


def test_it_opens_without_a_complaint_and_asks_for_nothing(browser: Any, pictures: Run, video: Run) -> None:
    for run in (pictures, video):
        driver = browser.open(run.page)
        for entry in driver.find_elements(By.CLASS_NAME, "entry"):
            driver.execute_script("arguments[0].scrollIntoView()", entry)
            browser.look_at(entry)
        assert browser.complaints() == []
        assert browser.requests() == {run.page.as_uri()}
        for image in driver.find_elements(By.TAG_NAME, "img"):
            assert image.get_attribute("alt")


def test_phrases_and_names_are_text_whatever_they_hold(browser: Any, pictures: Run) -> None:
    driver = browser.open(pictures.page)
    names = (MISSING, "a <b>.png", str(SAMPLES / "scene_2.png"))  # what cannot be read is found first
    assert shown(driver) == [(phrase, name) for name in names for phrase in (CUP, SCRIPT)]
    assert len(driver.find_elements(By.TAG_NAME, "script")) == 1
    assert len(driver.find_elements(By.TAG_NAME, "b")) == 4  # the counts beside the filters
    with pytest.raises(NoAlertPresentException):
        _ = driver.switch_to.alert


def test_a_script_that_got_into_the_page_would_not_run(browser: Any, pictures: Run) -> None:
    driver = browser.open(pictures.page)
    driver.execute_script(
        "const script = document.createElement('script');"
        "script.textContent = 'document.title = \"taken over\"';"
        "document.body.append(script)"
    )
    assert driver.title == "groundkit report"
    assert any("Content Security Policy" in line for line in browser.complaints())


def test_filters_show_what_they_say(browser: Any, pictures: Run) -> None:
    driver = browser.open(pictures.page)
    summary = driver.find_element(By.ID, "summary")
    everything = shown(driver)
    assert summary.text == "6 results"

    records = {(record["phrase"], record["input"]): record for record in pictures.records}
    empty = [key for key in everything if key in records and not records[key]["scores"]]
    assert 0 < len(empty) < len(records)
    groups = {
        "failed": [key for key in everything if key not in records],
        "empty": empty,
        "found": [key for key in everything if key in records and key not in empty],
    }
    for status, expected in groups.items():
        choose(driver, status)
        assert shown(driver) == expected
        assert summary.text == f"{len(expected)} of 6 results"
        assert driver.find_element(By.CSS_SELECTOR, f"[data-count={status}]").text == str(len(expected))
    choose(driver, "")

    least = sorted(record["evidence"] for record in records.values())[1]
    slide(driver, least := round(least - 0.005, 2))
    assert shown(driver) == [key for key in everything if key in records and records[key]["evidence"] >= least]
    slide(driver, 0)

    words = driver.find_element(By.ID, "words")
    words.send_keys("scene_2 CUP")
    assert shown(driver) == [(CUP, str(SAMPLES / "scene_2.png"))]
    words.send_keys(" zebra")
    assert shown(driver) == []
    driver.find_element(By.CSS_SELECTOR, "#nothing button").click()
    assert shown(driver) == everything
    assert words.get_attribute("value") == ""


def test_sorting_goes_by_number_and_puts_what_has_none_last(browser: Any, pictures: Run) -> None:
    driver = browser.open(pictures.page)
    given = shown(driver)
    records = {(record["phrase"], record["input"]): record for record in pictures.records}
    for option, key, sign in (
        ("evidence down", "evidence", -1),
        ("evidence up", "evidence", 1),
        ("score down", "scores", -1),
        ("score up", "scores", 1),
    ):
        driver.find_element(By.CSS_SELECTOR, f"option[value='{option}']").click()
        values = [records.get(entry, {}).get(key) for entry in shown(driver)]
        numbers = [sign * np.max(value) for value in values if value]
        assert len(numbers) > 1
        assert numbers == sorted(numbers)
        assert all(not value for value in values[len(numbers) :])
    driver.find_element(By.CSS_SELECTOR, "option[value='']").click()
    assert shown(driver) == given


def test_each_layer_shows_what_was_found_where_it_is(browser: Any, pictures: Run) -> None:
    driver = browser.open(pictures.page)
    record = next(each for each in pictures.records if each["scores"] and each["input"] == "a <b>.png")
    driver.find_element(By.ID, "words").send_keys(f"{record['phrase']} {record['input']}")
    (entry,) = [each for each in driver.find_elements(By.CLASS_NAME, "entry") if each.is_displayed()]
    stage = entry.find_element(By.CLASS_NAME, "stage")
    image = np.asarray(Image.open(SAMPLES / "scene_1.png").convert("RGB"))

    only(driver)
    ground = browser.look_at(stage)[16:-16, 16:-16]  # without the round corners
    assert np.ptp(ground, axis=(0, 1)).max() == 0

    only(driver, "picture")
    looks = inside(browser.look_at(stage))
    expected = cv2.resize(image, looks.shape[:2], interpolation=cv2.INTER_LINEAR)
    assert np.abs(looks.astype(int) - expected).mean() < 6

    only(driver, "mask")
    mask = np.asarray(Image.open(pictures.folder / "out" / record["masks"][0])) > 127
    assert overlap(browser.look_at(stage), mask) > 0.85

    only(driver, "points")
    looks = inside(browser.look_at(stage)).astype(int)
    for x, y, label in record["points"]:
        scale = looks.shape[0] / 256
        around = looks[int((y - 5) * scale) : int((y + 5) * scale), int((x - 5) * scale) : int((x + 5) * scale)]
        red, green = around[..., 0].mean(), around[..., 1].mean()
        assert green > red if label == 1 else red > green

    only(driver, "heat")
    looks = inside(browser.look_at(stage)).astype(int)
    heat = looks[..., 0] - looks[..., 2]  # red is hot, and where it is cold the grey below is seen
    x, y, _ = record["points"][0]
    scale = looks.shape[0] / 256
    around = heat[int((y - 5) * scale) : int((y + 5) * scale), int((x - 5) * scale) : int((x + 5) * scale)]
    assert around.mean() > heat.mean() + 50


def test_the_slider_and_the_strip_of_a_video_show_each_frame_with_its_mask(browser: Any, video: Run) -> None:
    driver = browser.open(video.page)
    assert [phrase for phrase, _ in shown(driver)] == [CUP, CUP]
    entry = driver.find_element(By.CLASS_NAME, "video")
    stage, slider, caption = (entry.find_element(By.CLASS_NAME, name) for name in ("stage", "time", "caption"))
    buttons = entry.find_elements(By.CSS_SELECTOR, ".strip button")
    assert len(buttons) == FRAMES
    assert slider.get_attribute("value") == str(FRAMES // 2)
    assert caption.text.endswith("key frame")
    assert len(stage.find_elements(By.CLASS_NAME, "heat")) == 1

    only(driver, "mask")
    places = []
    slider.send_keys(Keys.HOME)
    for place in range(FRAMES):
        assert slider.get_attribute("value") == str(place)
        assert caption.text.startswith(f"frame {place:05d} · {place / 4:.2f} s")
        mask = np.asarray(Image.open(video.folder / "out" / "clip" / "the-red-cup" / f"{place:05d}.png")) > 127
        assert overlap(browser.look_at(stage), mask) > 0.85
        places.append(entry.find_element(By.CLASS_NAME, "now").get_attribute("transform"))
        slider.send_keys(Keys.ARROW_RIGHT)
    assert places == [f"translate({400 * place / (FRAMES - 1):.1f} 0)" for place in range(FRAMES)]

    buttons[1].click()
    assert slider.get_attribute("value") == "1"
    assert buttons[1].get_attribute("aria-current") is not None
    assert buttons[0].get_attribute("aria-current") is None
    assert len(entry.find_element(By.TAG_NAME, "polyline").get_attribute("points").split()) == FRAMES
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [320, 400, 800, 1280])
def test_nothing_sticks_out_of_the_window(browser: Any, pictures: Run, video: Run, width: int) -> None:
    for run in (pictures, video):
        driver = browser.open(run.page, width=width)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_is_dark_where_the_system_is(browser: Any, pictures: Run) -> None:
    light, dark = (
        browser.look_at(browser.open(pictures.page, dark=dark).find_element(By.TAG_NAME, "header"))
        for dark in (False, True)
    )
    assert light[0, 0].min() > 200
    assert dark[0, 0].max() < 60


def test_every_control_is_reached_by_the_tabulator(browser: Any, video: Run) -> None:
    driver = browser.open(video.page)
    reached = []
    for _ in range(9 + FRAMES):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        active = driver.switch_to.active_element
        names = (active.get_attribute(name) for name in ("id", "data-caption", "class", "value"))
        reached.append(next((name for name in names if name), "all"))
    tools = ["words", "all", "least", "order", "picture", "heat", "mask", "points"]
    assert reached[:9] == [*tools, "time"]
    assert [name.split()[1] for name in reached[9:]] == [f"{place:05d}" for place in range(FRAMES)]
