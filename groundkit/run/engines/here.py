"""A run in this process, which loads the models."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from groundkit.run.manifest import Record
from groundkit.run.plan import Unit
from groundkit.run.worker import Advance, Job, Worker, advance_silently


def here(job: Job, units: Iterable[Unit], advance: Advance = advance_silently) -> Generator[Record]:
    """Do units; records come in their order, and ``advance`` is told how far a video has got."""
    return Worker(job, advance).work(units)
