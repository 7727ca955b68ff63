"""Where a run's units are done: here, on several processes, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from groundkit.errors import ConfigError, unknown

if TYPE_CHECKING:
    from groundkit.run.manifest import Record
    from groundkit.run.plan import Unit
    from groundkit.run.worker import Job

NAMES = ("local", "ray")
_WORTH = 16  # units for which a further process is worth its loading
_MAX_UNASKED = 8  # processes that are started unasked


class Engine(Protocol):
    """Does units somewhere; yields a record per task, in any order. Closed early, it ends what it has started."""

    def __call__(self, job: Job, units: Sequence[Unit], /) -> Generator[Record]: ...


def check_engine(name: str) -> None:
    """Raises ConfigError for an engine that does not exist."""
    if name not in NAMES:
        raise ConfigError(unknown("engine", name, NAMES))


def choose_workers(units: int, *, small: bool) -> int:
    """How many processes are used unasked: one, or with a small model on the CPU one per core.

    It depends on the whole plan and not on what is left of it: the number decides with how many threads each computes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _MAX_UNASKED, units // _WORTH)) if small else 1


def find_engine(name: str, workers: int | None, *, address: str | None, gpus: bool) -> Engine:
    """Several processes, or a Ray cluster.

    Args:
        name: of ``NAMES``.
        workers: how many processes or actors; None for as many as the Ray cluster has GPUs or cores.
        address: of the Ray cluster.
        gpus: whether Ray's actors may hold GPUs.
    """
    if name == "ray":
        from groundkit.run.engines.ray import on_ray

        return partial(on_ray, count=workers, address=address, gpus=gpus)
    from groundkit.run.engines.processes import on_processes

    return partial(on_processes, count=workers or 1)
