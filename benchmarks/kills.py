"""Kill groundkit again and again, and look whether anything tells its results from those of a quiet run.

python benchmarks/kills.py [INPUT...] [--kills 100] [--log kills.jsonl] [--commands batch segment follow] [--seed 0]

Inputs are pictures and videos, by default the samples. Each kill takes the next of the commands, begins in an empty
folder, and gets SIGKILL or SIGTERM in turn at a random moment between half of the time a quiet run takes to its first
result and its end; every third time the whole process group gets it, as from a terminal that is closed. Then

- no file under its own name may be half-written: pictures and films decode, JSON parses;
- SIGTERM must leave no temporary file, and the exit code 143;
- the same command is run again to its end: the tree of files must be that of the quiet run byte for byte, with nothing
  hidden beside it, and no file that a batch's manifest called finished may have been written again.

With --log each kill is one line of that file, and a benchmark that was stopped goes on behind the last one.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from groundkit.media.inputs import VIDEO_SUFFIXES
from groundkit.media.videos import read_video

COMMAND = [sys.executable, "-c", "from groundkit.cli.main import main; main()"]
SAMPLES = Path(__file__).parents[1] / "samples"
FORMATS = {"batch": ("png", "overlay", "json", "coco"), "segment": ("png", "overlay", "coco"), "follow": ()}
TERMINATED = 128 + signal.SIGTERM


@dataclass(frozen=True)
class Quiet:
    """What a run that nobody disturbs takes and leaves; times in seconds."""

    first: float
    whole: float
    tree: dict[str, bytes]


def start(arguments: argparse.Namespace, command: str, folder: Path) -> "subprocess.Popen[bytes]":
    inputs = [path.resolve() for path in arguments.inputs]
    if command == "follow":
        inputs = [path for path in inputs if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES]
    options = ["-o", "out", "--offline", "--quiet"]
    options += ["--workers", str(arguments.workers)] if command == "batch" else []
    options += [part for name in FORMATS[command] for part in ("--format", name)]
    options += [part for phrase in arguments.phrases for part in ("--phrase", phrase)]
    options += ["--max-frames", str(arguments.max_frames)] if command != "segment" else []
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.Popen(
        [*COMMAND, command, *map(str, inputs), *options],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=None if arguments.loud else subprocess.DEVNULL,
    )


def finish(process: "subprocess.Popen[bytes]") -> None:
    if process.wait() not in (0, 1):  # 1: an input that is meant to fail
        raise SystemExit(f"groundkit ended with {process.returncode}; --loud tells why")


def tree(folder: Path) -> dict[str, bytes]:
    """All files but locks, which hold nothing."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob(".*") if path.suffix != ".lock")


def half_written(folder: Path) -> list[str]:
    """The files under their own names that cannot be read to their end."""
    broken = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        try:
            if path.suffix == ".png":
                Image.open(path).load()
            elif path.suffix == ".mp4":
                sum(1 for _ in read_video(path).frames())
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".jsonl":
                lines = path.read_text().split("\n")  # a manifest's last line may be torn: it does not count
                for line in lines[:-1] if path.name.startswith("manifest") else filter(None, lines):
                    json.loads(line)
        except Exception as error:
            broken.append(f"{path.relative_to(folder)}: {error}")
    return broken


def finished_files(output: Path) -> list[Path]:
    """The files of all results that a batch's manifest calls finished; a torn last line does not."""
    manifest = output / "manifest.jsonl"
    lines = manifest.read_bytes().split(b"\n")[1:-1] if manifest.exists() else []
    named = [output / name for line in lines for name in json.loads(line).get("files", [])]
    return [file for path in named for file in ([path] if path.is_file() else sorted(path.iterdir()))]


def stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def run_quietly(arguments: argparse.Namespace, command: str, folder: Path) -> Quiet:
    started = time.perf_counter()
    process = start(arguments, command, folder)
    while process.poll() is None and not any(name.endswith(".png") for name in tree(folder / "out")):
        time.sleep(0.05)
    first = time.perf_counter() - started
    finish(process)
    whole = time.perf_counter() - started
    print(f"{command}: a quiet run takes {whole:.1f} s, {first:.1f} s to its first picture", flush=True)
    return Quiet(first, whole, tree(folder / "out"))


def kill(arguments: argparse.Namespace, number: int, command: str, quiet: Quiet, folder: Path) -> dict[str, Any]:
    """Kill one run, finish it, and say what was found."""
    moment = random.Random(f"{arguments.seed} {number}").uniform(quiet.first / 2, quiet.whole)
    sent = (signal.SIGKILL, signal.SIGTERM)[number // len(arguments.commands) % 2]
    process = start(arguments, command, folder)
    time.sleep(moment)
    while (late := process.poll() is not None) and moment > 1:  # faster than the quiet run: once more, and sooner
        shutil.rmtree(folder)
        moment *= 0.6
        process = start(arguments, command, folder)
        time.sleep(moment)
    if not late and number % 3 == 0:
        os.killpg(process.pid, sent)
    elif not late:
        process.send_signal(sent)
    code = process.wait()
    if not late:
        with_workers_gone(process.pid)
    output = folder / "out"
    stamps = {path: stamp(path) for path in finished_files(output)}
    left = hidden(output)
    faults = [f"half-written: {each}" for each in half_written(output)]
    if sent == signal.SIGTERM and not late and code != 0:
        faults += [f"left behind: {each}" for each in left]
        faults += [] if code in (TERMINATED, -signal.SIGTERM) else [f"exit code {code}"]
    finish(start(arguments, command, folder))
    faults += [f"written again: {path.name}" for path, before in stamps.items() if stamp(path) != before]
    found = tree(output)
    names = sorted({*found, *quiet.tree})
    faults += [f"not equal: {name}" for name in names if found.get(name) != quiet.tree.get(name)]
    faults += [f"left at the end: {each}" for each in hidden(output)]
    return {
        "kill": number,
        "command": command,
        "signal": sent.name,
        "group": number % 3 == 0,
        "seconds": round(moment, 2),
        "ended_before": late,
        "finished": len(stamps),
        "half_written": len(left),
        "faults": faults,
    }


def with_workers_gone(group: int) -> None:
    """Wait for the processes that outlive the one that was killed for a moment."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    samples = [SAMPLES / name for name in ("scene_1.png", "scene_2.png", "clip.mp4")]
    parser.add_argument("inputs", type=Path, nargs="*", default=samples)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--commands", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--phrases", nargs="+", default=["the red cup", "the bird"])
    parser.add_argument("--max-frames", type=int, default=12)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, metavar="FILE", help="one line a kill; goes on behind those there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy folders with faults there")
    parser.add_argument("--loud", action="store_true", help="show what the commands say")
    arguments = parser.parse_args()
    log = arguments.log
    results = [json.loads(line) for line in log.read_text().splitlines()] if log and log.exists() else []
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        work, quiet = Path(temporary), {}
        for number in range(len(results), arguments.kills):
            command = arguments.commands[number % len(arguments.commands)]
            if command not in quiet:
                quiet[command] = run_quietly(arguments, command, work / f"quiet-{command}")
            folder = work / "killed"
            result = kill(arguments, number, command, quiet[command], folder)
            results.append(result)
            print(json.dumps(result), flush=True)
            if log:
                with log.open("a") as file:
                    file.write(json.dumps(result) + "\n")
            if result["faults"] and arguments.keep:
                shutil.copytree(folder, arguments.keep / f"{number}-{command}")
            shutil.rmtree(folder)
    kinds = Counter(f"{each['command']} {each['signal']}" for each in results)
    wrong = sum(bool(each["faults"]) for each in results)
    before = sum(each["ended_before"] for each in results)
    print(json.dumps({"kills": len(results), **kinds, "ended_before": before, "wrong": wrong}))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
