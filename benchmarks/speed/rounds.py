"""Cases that take turns on a machine that others may use, and the ratios of their rounds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHARE = 0.04  # of a core, that others may take
_GRAIN = 0.021  # seconds: two ticks of the clock that says so


@dataclass(frozen=True)
class Run:
    """One run of a case: seconds, what it returned, and whether others left the machine alone."""

    seconds: float
    result: Any
    quiet: bool


def quiet(run: Callable[[], Any], tries: int = 5) -> Run:
    """Run a case until others take less than ``_SHARE`` of a core meanwhile; after ``tries``, the least disturbed run.

    The machine's own clock of busy cores exists on Linux alone; elsewhere every run counts as quiet.
    """
    best: tuple[float, Run] | None = None
    for _ in range(tries):
        busy, own, started = _busy(), _own(), time.perf_counter()
        result = run()
        seconds = time.perf_counter() - started
        others = max(0.0, (_busy() - busy) - (_own() - own))
        left_alone = others < max(_SHARE * seconds, _GRAIN)
        if best is None or others / seconds < best[0]:
            best = others / seconds, Run(seconds, result, left_alone)
        if left_alone:
            break
    assert best is not None
    return best[1]


def take_turns(cases: Mapping[str, Callable[[], Run]], rounds: int, *, warm: bool = True) -> dict[str, list[Run]]:
    """Each case once a round, each round in another order; with ``warm`` a first round does not count."""
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    names = list(cases)
    for number in range(0 if warm else 1, rounds + 1):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            run = cases[name]()
            if number:
                runs[name].append(run)
    return runs


def ratio(runs: Mapping[str, Sequence[Run]], figure: Callable[[Mapping[str, float]], float]) -> float:
    """The median over the rounds of a figure of the round's own seconds by case."""
    rounds = zip(*runs.values(), strict=True)
    return statistics.median(
        figure({name: run.seconds for name, run in zip(runs, each, strict=True)}) for each in rounds
    )


def disturbed(runs: Mapping[str, Sequence[Run]]) -> float:
    """Which share of the runs others disturbed."""
    every = [run for each in runs.values() for run in each]
    return sum(not run.quiet for run in every) / len(every)


def _busy() -> float:
    """Seconds that all cores were busy since the machine started."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    user, nice, system, _idle, _wait, irq, soft, steal, *_ = map(int, stat.read_text().splitlines()[0].split()[1:])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    """Seconds that this process and its children have computed."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
