"""OpenCV without the system's libraries, as in a slim container."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[2] / "samples" / "scene_1.png"
REASON = "libGL.so.1: cannot open shared object file: No such file or directory"
REMEDY = (
    f"OpenCV cannot be imported ({REASON}): apt-get install libgl1 libglib2.0-0, or "
    "pip uninstall opencv-python && pip install opencv-python-headless"
)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """One in which ``import cv2`` fails as it does there."""
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(f"raise ImportError({REASON!r})\n")
    return {**os.environ, "PYTHONPATH": str(tmp_path)}


def test_the_command_names_the_remedy_in_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("groundkit"), "segment", SAMPLE, "the cup", "-o", tmp_path / "out", "-q"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"groundkit: error: {REMEDY}\n")


def test_loading_from_python_names_the_remedy(environment: dict[str, str]) -> None:
    code = "import groundkit\ntry:\n    groundkit.load()\nexcept groundkit.GroundkitError as error:\n    print(error)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{REMEDY}\n"), done.stderr
