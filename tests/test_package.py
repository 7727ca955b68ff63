"""A source archive is built, a wheel from it, and the wheel tried in an environment of its own, without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
SOURCES = ("groundkit", "cli", "pipelines", "weights", "pyproject.toml", "README.md", "LICENSE")


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a ``sdist`` or ``wheel`` as pip does without isolation."""
    subprocess.run([sys.executable, "-c", BUILD, f"build_{kind}", folder], cwd=source, check=True, capture_output=True)
    (built,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def copy_of_the_checkout(folder: Path) -> Path:
    """The files that the package is built from; its links stay links."""
    folder.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    archive = build("sdist", copy_of_the_checkout(folder / "checkout"), folder)
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "sdist", filter="data")
    (source,) = (folder / "sdist").iterdir()
    return build("wheel", source, folder)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a program of a new environment that has the wheel, and the libraries of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    programs = folder / Path(sysconfig.get_path("scripts")).name
    packages = next(folder.glob("**/site-packages"))
    # Libraries are shared; the checkout, which an editable install names in a file of its own, is not.
    (packages / "shared.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))

    def call(program: str, *arguments: str | Path) -> str:
        answer = subprocess.run(
            [programs / program, *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    call("python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", wheel)
    return call


def test_the_wheel_holds_every_module_nano_and_templates_and_nothing_that_serves_training_alone(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        Path(folder, file).relative_to(ROOT).as_posix()
        for folder, _, files in os.walk(ROOT / "groundkit", followlinks=True)
        for file in files
        if "training" not in Path(folder).parts
        and not file.endswith((".pyc", "caption_head.safetensors", "namer.safetensors"))
    }
    assert {name for name in names if name.startswith("groundkit/")} == expected
    assert {"groundkit/py.typed", "groundkit/weights/nano/sam/model.safetensors"} <= expected
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_has_the_version_that_the_package_tells(wheel: Path, installed: Callable[..., str]) -> None:
    version = re.search(r"-([^-]+)-py3", wheel.name)
    assert version is not None
    assert installed("groundkit", "--version").strip() == f"groundkit {version[1]}"


def test_the_installed_package_is_the_wheel_s_and_finds_an_object(installed: Callable[..., str]) -> None:
    assert "segment" in installed("groundkit", "--help")
    where = installed("python", "-c", "import groundkit.pipelines; print(groundkit.pipelines.__file__)")
    assert not Path(where).is_relative_to(ROOT)
    scene = ROOT / "samples" / "scene_1.png"
    (mask,) = installed("groundkit", "segment", scene, "the red cup", "--offline", "--quiet", "-o", "out").split()[:1]
    assert mask.endswith(".png")


@pytest.mark.parametrize("install", ["plain", "editable"])
def test_a_type_checker_finds_the_linked_packages_in_an_install(
    install: str, installed: Callable[..., str], tmp_path: Path
) -> None:
    python = (
        installed("python", "-c", "import sys; print(sys.executable)").strip() if install == "plain" else sys.executable
    )
    script = tmp_path / "use.py"
    script.write_text(
        "from groundkit.cli.console import say\n"
        "from groundkit.pipelines.video import VideoPipeline\n"
        "from groundkit.weights.catalog import nano_folder\n"
        "print(VideoPipeline.no_such_thing)\n"
        "nano_folder(5)\n"
        "say()\n"
    )
    settings = ("--config-file", ROOT / "pyproject.toml", "--cache-dir", tmp_path / "cache")  # skips large libraries
    answer = subprocess.run(
        [sys.executable, "-m", "mypy", *settings, "--python-executable", python, script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"use\.py:(\d+): error: .*\[([a-z-]+)\]", answer.stdout)
    assert found == [("4", "attr-defined"), ("5", "arg-type"), ("6", "call-arg")], answer.stdout


def test_a_checkout_without_links_says_what_to_do(tmp_path: Path) -> None:
    """As git leaves it where symbolic links are off: files that hold the name of a folder."""
    folder = copy_of_the_checkout(tmp_path / "checkout")
    for name in ("cli", "pipelines", "weights"):
        (folder / "groundkit" / name).unlink()
        (folder / "groundkit" / name).write_text(f"../{name}")
    answer = subprocess.run(
        [sys.executable, "-c", "import groundkit"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.stderr.splitlines()[-1] == (
        "ImportError: groundkit/cli, groundkit/pipelines and groundkit/weights are symbolic links, which this checkout "
        "lacks: run `git config core.symlinks true` and `git checkout -- groundkit` (on Windows, in developer mode)"
    )
