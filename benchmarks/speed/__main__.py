"""The goals of speed and memory in one table: this version against an earlier one, and against the peers.

    python benchmarks/speed [--only NAME ...] [--quick] [--before COMMIT|FOLDER] [--gpu] [--curves]

Each ratio is measured in one run: cases take turns in rounds, a run during which others took more than 4 % of a core is
repeated, and the median of the rounds' own ratios counts. The earlier version is installed from git's history into a
folder of its own (``--folder``), with this version's embedded weights; ``--before FOLDER`` takes an environment that is
there. The peers are installed from PyPI into another. Rows are kept in ``--output`` as they come, and a second call
measures those that are missing; ``--again`` forgets them. ``--quick`` takes smaller films, fewer pictures and rounds.
``--curves`` draws how time grows with phrases, pixels, tokens, pictures and frames.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import curves
from goals import Figure, Machine, goals
from sides import BEFORE, ROOT


def main() -> None:
    options = parse()
    kept: dict[str, Any] = {}
    if options.output.exists() and not options.again:
        kept = json.loads(options.output.read_text())
    machine = Machine(
        before=options.before,
        folder=options.folder,
        threads=options.threads,
        device="cuda" if options.gpu else "cpu",
        rounds=options.rounds or (3 if options.quick else 7),
        tries=options.tries,
        quick=options.quick,
    )
    try:
        if options.curves:
            curves.draw(machine, options.picture)
            return
        names = [goal.name for goal in goals()]
        wanted = {name for name in names if any(each in name for each in options.only) or not options.only}
        wanted = {*options.only} if options.only and {*options.only} <= {*names} else wanted
        for goal in goals():
            if goal.name not in wanted or (goal.name in kept and "error" not in kept[goal.name]):
                continue
            print(f"measuring {goal.name} ...", file=sys.stderr, flush=True)
            try:
                figure = goal.measure(machine)
            except Exception as error:  # a row that cannot be measured here is named, and the others are measured
                traceback.print_exc()
                kept[goal.name] = {"error": f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"}
                machine.close()
                machine = type(machine)(**{name: getattr(machine, name) for name in SETTINGS})
                continue
            kept[goal.name] = asdict(figure)
            options.output.write_text(json.dumps(kept, indent=1))
    finally:
        machine.close()
    print(table(kept))


SETTINGS = ("before", "folder", "threads", "device", "rounds", "tries", "quick")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[], help="rows by name or part of it; --list prints the names")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--before", default=BEFORE, help="a commit, or the folder of an environment")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/speed", help="for the environments")
    parser.add_argument("--output", type=Path, default=Path("speed.json"), help="JSON file of the rows")
    parser.add_argument("--again", action="store_true", help="measure rows that the file has, too")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, help="by default 7, with --quick 3")
    parser.add_argument("--tries", type=int, default=5, help="of a run that others disturb")
    parser.add_argument("--curves", action="store_true", help="measure and draw the curves instead")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/speed.png", help="of the curves")
    options = parser.parse_args()
    if options.list:
        for goal in goals():
            print(f"{goal.name:40s} {goal.goal:5.2f}  {goal.what}")
        raise SystemExit
    return options


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def table(kept: dict[str, Any]) -> str:
    """The rows that were measured, in Markdown."""
    machine = f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [f"Measured on {machine}.", "", "| what | goal | figure | reached | disturbed |", "|---|---|---|---|---|"]
    for goal in goals():
        row = kept.get(goal.name)
        if row is None:
            continue
        if "error" in row:
            lines.append(f"| {goal.what} | {goal.goal:.2f} | not measured ({row['error'].partition(':')[0]}) | | |")
            continue
        figure = Figure(**row)
        reached = "yes" if figure.value <= goal.goal else "no"
        lines.append(f"| {goal.what} | {goal.goal:.2f} | {figure.value:.3f} | {reached} | {figure.disturbed:.0%} |")
    notes = [
        f"- {goal.what}: {', '.join(f'{name} {value}' for name, value in kept[goal.name]['about'].items())}"
        for goal in goals()
        if kept.get(goal.name, {}).get("about")
    ]
    return "\n".join([*lines, "", *notes])


if __name__ == "__main__":
    main()
