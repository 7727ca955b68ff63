"""What a user's type checker says of a script over all of the public interface."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("user_script.py")
ROOT = Path(__file__).parents[2]
PYRIGHT = ("pyright", "--pythonpath", sys.executable)
MYPY = ("mypy", "--strict")  # with the project's settings of libraries and the cache of ``make types``


def check(command: tuple[str, ...], script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command, str(script)], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("command", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
def test_a_users_script_is_typed_throughout(command: tuple[str, ...]) -> None:
    done = check(command, SCRIPT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
def test_a_wrong_use_of_the_interface_is_found(command: tuple[str, ...], tmp_path: Path) -> None:
    """Each line is wrong, so that none of what the script uses is Any."""
    wrong = [
        'int(groundkit.load("refam")("a.png", "cup"))',
        'groundkit.load("refam")("a.png", ["cup"]).mask',
        'groundkit.load("refam")(["a.png"], ["cup"])[0].mask',
        'groundkit.load("refam").discover("a.png")',
        'groundkit.load("vlsam").discover("a.png").heatmap',
        'groundkit.load("refam")("a.png", 5)',
        'groundkit.load("refam", seed=3)',
        'groundkit.load("refam")("a.png", "cup", sed=3)',
        'groundkit.load("refam")("a.png", "cup", on_error="ignore")',
        'groundkit.load("refam")("a.png", "cup", on_error="return").mask',
        'groundkit.load("refam")(["a.png"], ["cup"], on_error="return")[0].phrase',
        'groundkit.follow("a.mp4", ["cup"]).frames',
    ]
    script = tmp_path / "wrong.py"
    script.write_text("\n".join(["import groundkit", *wrong]) + "\n")
    said = check(command, script).stdout
    missed = [line for number, line in enumerate(wrong, start=2) if f"wrong.py:{number}:" not in said]
    assert missed == [], said
