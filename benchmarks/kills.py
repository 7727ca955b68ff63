"""Kill ``groundkit batch`` again and again, and look whether anything tells its results from those of a quiet run.

python benchmarks/kills.py INPUT... [--kills 30] [--phrases "the red cup" "the bird"] [--workers 2] [--seed 0]

Each time a run begins in an empty folder, gets SIGKILL at a random moment (the driver alone, and every second time its
whole process group), and is run again to its end. Moments are spread evenly from half of the time a quiet run takes to
its first result up to its end, so that most meet it at work. The tree of files must be that of the quiet run byte for
byte, and no file that the manifest called finished may have been written again.
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
from pathlib import Path

COMMAND = [sys.executable, "-c", "from groundkit.cli.main import main; main()", "batch"]


def start(arguments: argparse.Namespace, folder: Path) -> "subprocess.Popen[bytes]":
    options = ["-o", "out", "--workers", str(arguments.workers), "--offline", "--quiet"]
    options += [part for name in ("png", "overlay", "json", "coco") for part in ("--format", name)]
    options += [part for phrase in arguments.phrases for part in ("--phrase", phrase)]
    options += [] if arguments.max_frames is None else ["--max-frames", str(arguments.max_frames)]
    inputs = [str(path.resolve()) for path in arguments.inputs]
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*COMMAND, *inputs, *options],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=None if arguments.loud else subprocess.DEVNULL,
    )


def finish(process: "subprocess.Popen[bytes]") -> None:
    if process.wait() not in (0, 1):  # 1: an input that is meant to fail
        raise SystemExit(f"groundkit batch ended with {process.returncode}; --loud tells why")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def finished_files(output: Path) -> list[Path]:
    """The files of all results that the manifest calls finished; a torn last line does not."""
    manifest = output / "manifest.jsonl"
    lines = manifest.read_bytes().split(b"\n")[1:-1] if manifest.exists() else []
    named = [output / name for line in lines for name in json.loads(line).get("files", [])]
    return [file for path in named for file in ([path] if path.is_file() else sorted(path.iterdir()))]


def stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path, nargs="+")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--phrases", nargs="+", default=["the red cup", "the bird"])
    parser.add_argument("--max-frames", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="copy results that are not equal there")
    parser.add_argument("--loud", action="store_true", help="show what the command says")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    wrong = missed = 0
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        started = time.perf_counter()
        quiet = start(arguments, work / "quiet")
        while quiet.poll() is None and not finished_files(work / "quiet" / "out"):
            time.sleep(0.05)
        loaded = time.perf_counter() - started
        finish(quiet)
        seconds = time.perf_counter() - started
        expected = tree(work / "quiet" / "out")
        print(f"a quiet run takes {seconds:.1f} s, {loaded:.1f} s to its first result", flush=True)
        for number in range(1, arguments.kills + 1):
            folder, moment = work / "killed", moments.uniform(loaded / 2, seconds)
            process = start(arguments, folder)
            time.sleep(moment)
            late = process.poll() is not None
            if number % 2:
                process.kill()
            elif not late:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            missed += late
            stamps = {path: stamp(path) for path in finished_files(folder / "out")}
            torn = len(list((folder / "out").glob(".*")))
            finish(start(arguments, folder))
            again = [path for path, before in stamps.items() if stamp(path) != before]
            found = tree(folder / "out")
            other = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
            wrong += bool(other or again)
            print(
                f"kill {number} after {moment:.1f} s: {len(stamps)} files finished, {torn} half-written; then "
                f"{'NOT EQUAL: ' + ' '.join(other[:5]) if other else 'equal'}, {len(again)} written again",
                flush=True,
            )
            if other and arguments.keep:
                for each in (folder, work / "quiet"):
                    shutil.copytree(each, arguments.keep / f"{number}-{each.name}")
            shutil.rmtree(folder)
    print(json.dumps({"kills": arguments.kills, "ended_before": missed, "wrong": wrong}))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
