"""What ``groundkit batch`` gains over a loop that loads the pipeline once and calls it picture by picture.

python benchmarks/batch.py runs/cases/images [--counts 100 200 500] [--phrases "the red cup" "the bird"] [--workers 2]

Both read the same pictures, ground the same phrases, and write mask and overlay of each; each runs in a process of its
own, in turn. The loop hands each picture over with all phrases, so that it too encodes it once; ``--one-by-one`` calls
it for each phrase. ``seconds`` is from start to end; ``rate`` is pictures a second once the models are loaded, that is
after the first picture.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import groundkit


def loop(pictures: list[str], phrases: list[str], output: Path, *, one_by_one: bool) -> list[float]:
    """The moment each picture was done."""
    pipeline = groundkit.load("refam", device="cpu")
    moments = []
    for picture in pictures:
        found = [pipeline(picture, phrase) for phrase in phrases] if one_by_one else pipeline(picture, phrases)
        for grounding in found:
            grounding.save(output / Path(picture).stem, formats=("png", "overlay"))
        moments.append(time.perf_counter())
    return moments


def batch(pictures: list[str], phrases: list[str], output: Path, *, workers: int, jobs: int) -> list[float]:
    from groundkit.run.engines.processes import on_processes
    from groundkit.run.plan import make_plan
    from groundkit.run.runner import Listener, RunSettings, run
    from groundkit.run.worker import Job

    moments = []

    class Clock(Listener):
        def result(self, record: dict[str, Any]) -> None:
            moments.append(time.perf_counter())

    job = Job(partial(groundkit.load, "refam", device="cpu"), output, ("png", "overlay"), jobs=jobs)
    plan = make_plan([(picture, phrases) for picture in pictures])
    run(RunSettings(plan, job, partial(on_processes, count=workers), manifest={}), Clock())
    return moments[:: len(phrases)]


def measure(arguments: argparse.Namespace) -> None:
    """One way, in this process."""
    started = time.perf_counter()
    found = sorted(str(path) for path in arguments.pictures.iterdir())[: arguments.counts[0]]
    with tempfile.TemporaryDirectory() as folder:
        if arguments.way == "loop":
            moments = loop(found, arguments.phrases, Path(folder), one_by_one=arguments.one_by_one)
        else:
            moments = batch(found, arguments.phrases, Path(folder), workers=arguments.workers, jobs=arguments.jobs)
        ended = time.perf_counter()
    rate = (len(found) - 1) / (ended - moments[0])
    print(json.dumps({"pictures": len(found), "seconds": round(ended - started, 1), "rate": round(rate, 3)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--phrases", nargs="+", default=["the red cup", "the bird"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--way", choices=["loop", "batch"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        measure(arguments)
        return
    rest = sys.argv[1:]
    results: dict[str, Any] = {"loop": [], "batch": []}
    for count in arguments.counts:
        for way, measured in results.items():
            command = [sys.executable, __file__, *rest, "--way", way, "--counts", str(count)]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            measured.append(json.loads(out.stdout.splitlines()[-1]))
    pairs = list(zip(results["loop"], results["batch"], strict=True))
    per_picture = [1 / each["rate"] for each in results["batch"]]
    results["times_as_fast"] = [
        {
            "pictures": slow["pictures"],
            "from_start_to_end": round(slow["seconds"] / fast["seconds"], 2),
            "once_loaded": round(fast["rate"] / slow["rate"], 2),
        }
        for slow, fast in pairs
    ]
    results["spread_of_seconds_per_picture"] = round(max(per_picture) / min(per_picture) - 1, 3)
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
