"""What is printed arrives, whatever the terminal, the encoding and the bar that is shown."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from groundkit.cli.results import describe
from groundkit.wording import count_of

SCRIPT = """
import sys, time
from groundkit.cli.console import progress, put, say
from groundkit.cli.main import run, app
@app.command("shown")
def shown() -> None:
    with progress("shown", 3, quiet=False) as bar:
        for number in range(3):
            bar.at(f"a {'very ' * 30}long name {number}")
            time.sleep(0.15)
            put(f"results/{'folder/' * 20}{number}.png")
            say(f"told {number}")
            print(f"printed {number}", file=sys.stderr)
            bar.advance()
sys.exit(run(["shown"]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_lines_and_the_bar_never_overwrite_each_other_in_a_terminal() -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # its end, on Linux
                break
            if not part:
                break
            written += part
        assert process.wait() == 0
    os.close(ours)
    screen = _screen(written.decode())
    assert [line for line in screen if line] == [
        line
        for number in range(3)
        for line in (f"results/{'folder/' * 20}{number}.png", f"groundkit: told {number}", f"printed {number}")
    ]


def _screen(written: str) -> list[str]:
    """What a terminal without end shows: lines, with the cursor's movements and erasures carried out."""
    lines, row, column = [""], 0, 0
    for code in re.findall(r"\x1b\[[?0-9;]*[A-Za-z]|[^\x1b]", written):
        if code == "\n":
            row += 1
        elif code == "\r":
            column = 0
        elif re.fullmatch(r"\x1b\[\d*A", code):
            row -= int(code[2:-1] or 1)
        elif code == "\x1b[2K":
            lines[row] = ""
        elif not code.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + code + lines[row][column + 1 :]
            column += 1
        lines += [""] * (row + 1 - len(lines))
    return lines


def test_no_bar_is_shown_in_a_pipe() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"results/{'folder/' * 20}{number}.png" for number in range(3)]
    assert done.stderr.splitlines() == [line for n in range(3) for line in (f"groundkit: told {n}", f"printed {n}")]


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("cp1252", b"\\u676f\\u5b50-\xe9.png"),
        ("latin-1", b"\\u676f\\u5b50-\xe9.png"),
        ("utf-8", "杯子-é.png".encode()),
    ],
)
def test_a_name_that_cannot_be_printed_is_escaped_and_stops_nothing(encoding: str, expected: bytes) -> None:
    code = (
        "import sys, typer; from groundkit.cli.console import put\n"
        "from groundkit.cli.main import app, run\n"
        "@app.command('names')\n"
        "def names() -> None:\n"
        "    put('杯子-é.png')\n"
        "    put(b'\\xdf.png'.decode('utf-8', 'surrogateescape'))\n"
        "    typer.echo('杯子-é.png')\n"
        "sys.exit(run(['names']))"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines() == [expected, b"\xdf.png", expected]


WORK = """
import sys, time
from pathlib import Path
from groundkit.cli.main import run, app
from groundkit.outputs.atomic import atomic_path
@app.command("work")
def work() -> None:
    with atomic_path(Path("result.png")) as temporary:
        temporary.write_text("half of it")
        print("ready", flush=True)
        time.sleep(60)
sys.exit(run(["work"]))
"""


def _work(folder: Path, before: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=before
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    assert len(list(folder.iterdir())) == 1
    return process


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_ends_a_command_in_order_and_leaves_nothing_hidden(tmp_path: Path, name: str, code: int) -> None:
    # Whoever runs the tests may ignore these signals, as nohup does, and children inherit that.
    process = _work(tmp_path, lambda: signal.signal(signal.Signals[name], signal.SIG_DFL))
    process.send_signal(signal.Signals[name])
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (code, b"")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_a_hang_up_that_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    process = _work(tmp_path, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


@pytest.mark.parametrize("module", ["groundkit", "groundkit.cli.main"])
def test_the_command_is_a_module_too(module: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "groundkit", "")
    wrong = subprocess.run([sys.executable, "-m", module, "segment"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("Usage: groundkit segment")


def test_a_result_is_described_by_evidence_and_mask() -> None:
    picture = {"input": "a.png", "phrase": "cup", "scores": [0.9, 0.95]}
    assert describe(picture) == "a.png: 'cup': found, 2 masks, the best 0.95"
    assert describe({**picture, "evidence": 0.571}) == "a.png: 'cup': found 0.57, 2 masks, the best 0.95"
    film = {"input": "a.mp4", "phrase": "cup", "seen": 1, "frames": 1, "evidence": 0.5, "mask_score": 0.9}
    assert describe(film) == "a.mp4: 'cup': found 0.50, mask 0.90, seen on 1 of 1 frame"
    assert describe({**film, "seen": 0}) == "a.mp4: 'cup': nothing found (evidence 0.50)"
    assert (count_of(1, "result"), count_of(0, "result"), count_of(1200, "result")) == (
        "1 result",
        "0 results",
        "1,200 results",
    )
