"""What waiting threads cost on a machine whose cores others use: wall-clock time of a whole command in four cases.

    quiet     nothing else runs
    busy      beside one process that never waits
    twice     two of the command at once, until the slower ends
    loses     all its threads are moved to one core after --after seconds, as a container's quota or a neighbour does

each with one thread, and with two whose waiting is bounded in several ways. Threads of libgomp, which torch computes
with, wait for each other by spinning: GOMP_SPINCOUNT is for how many rounds. groundkit sets it to 1000 where nobody has
set it; 300000 is libgomp's own default. Linux only; on a machine that is otherwise idle. Two cores are used, whatever
the machine has. A run that takes longer than --give-up seconds is ended and counts as so many.

    python benchmarks/crowded.py --rounds 3
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SAMPLES = Path(__file__).parents[1] / "samples"
WAYS = {
    "1 thread": {"OMP_NUM_THREADS": "1"},
    "spin 300000": {"GOMP_SPINCOUNT": "300000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 100": {"GOMP_SPINCOUNT": "100"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
COMMANDS = {
    "discover": ["discover", str(SAMPLES / "scene_2.png")],
    "segment": ["segment", str(SAMPLES / "scene_1.png"), "the red cup"],
}
SETTING = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", choices=COMMANDS, default="discover")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case and way; the median counts")
    parser.add_argument("--after", type=float, default=2.5, help="seconds after which a core is lost")
    parser.add_argument("--give-up", type=float, default=120, help="seconds after which a run is ended")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()

    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("two cores are needed")
    os.sched_setaffinity(0, cores)
    cases = {"quiet": 1, "busy": 1, "twice": 2, "loses": 1}
    taken: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        run(options.command, WAYS["1 thread"], Path(folder), 1, options.give_up)  # reads the files once
        for number in range(options.rounds):
            for case, copies in cases.items():
                for way in options.ways:
                    with burning(int(case == "busy")):
                        lost = (options.after, cores[0]) if case == "loses" else None
                        seconds = run(options.command, WAYS[way], Path(folder), copies, options.give_up, lost)
                    taken.setdefault((case, way), []).append(seconds)
                    print(f"round {number + 1}: {case}, {way}: {seconds:.1f} s", file=sys.stderr, flush=True)

    print(f"\ngroundkit {options.command}, median of {options.rounds}, seconds (times one thread alone)\n")
    print(f"| | {' | '.join(cases)} |\n|---|{'---|' * len(cases)}")
    alone = statistics.median(taken["quiet", options.ways[0]])
    for way in options.ways:
        medians = [statistics.median(taken[case, way]) for case in cases]
        print(f"| {way} | {' | '.join(f'{each:.1f} ({each / alone:.2f})' for each in medians)} |")


def run(
    command: str,
    way: dict[str, str],
    folder: Path,
    copies: int,
    give_up: float,
    lost: tuple[float, int] | None = None,
) -> float:
    """Seconds until the last of several copies of the command ends."""
    environment = {**{key: value for key, value in os.environ.items() if key not in SETTING}, **way}
    started = time.monotonic()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "groundkit", *COMMANDS[command], "--offline", "-q", "-o", str(folder / str(number))],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        for number in range(copies)
    ]
    try:
        if lost is not None:
            time.sleep(lost[0])
            move_to(running[0].pid, lost[1])
        for process in running:
            if process.wait(max(0.1, give_up - (time.monotonic() - started))):
                sys.exit(f"the command failed with {way}")
    except subprocess.TimeoutExpired:
        return give_up
    finally:
        for process in running:
            process.kill()
            process.wait()
    return time.monotonic() - started


def move_to(process: int, core: int) -> None:
    """Let all threads of a process run on one core only."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), {core})


@contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep some cores busy."""
    fires = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for fire in fires:
            fire.kill()
            fire.wait()


if __name__ == "__main__":
    main()
