"""A run on several processes of one machine, each with models of its own.

Models as small as nano keep no two cores busy: two processes with a thread each are faster than one with two. When the
process that drives them dies, however it dies, they end at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from groundkit import clock
from groundkit.errors import GroundkitError, ModelError
from groundkit.outputs.record import failure
from groundkit.run.manifest import Record
from groundkit.run.plan import Unit
from groundkit.run.worker import Job, Worker
from groundkit.wording import for_command_line

_READY = "ready"


def on_processes(job: Job, units: Sequence[Unit], count: int) -> Generator[Record]:
    """Do units on ``count`` processes, or fewer where there are fewer units; records come in the order of their ends.

    Each process computes with its share of the cores, whatever the number of units, so that results do not depend on
    how much is left of a run. A process that dies (out of memory, a fault in a decoder) fails the tasks it was on, and
    another takes its place.

    Raises:
        GroundkitError: when the models cannot be loaded, or refuse a setting.
    """
    todo = deque(units)
    team = [_WorkerHandle(job, count) for _ in range(min(count, len(units)))]
    try:
        while todo or any(each.busy for each in team):
            for each in team:
                each.submit(todo)
            with clock.part(clock.WAITING):
                ready = wait([each.connection for each in team])
            for each in [each for each in team if each.connection in ready]:
                try:
                    yield from each.receive()
                except EOFError:
                    yield from each.fail_pending(todo)
                    team.remove(each)
                    if todo:
                        team.append(_WorkerHandle(job, count))
    finally:
        for each in team:
            each.close()
        for each in team:
            each.process.join()


@dataclass
class _Doing:
    unit: Unit
    records: int = 0


@dataclass(eq=False)
class _WorkerHandle:
    """A process that does units, seen from the one that hands them out."""

    job: Job
    count: int
    doing: deque[_Doing] = field(default_factory=deque)
    ready: bool = False

    def __post_init__(self) -> None:
        context = get_context("spawn")  # torch does not survive a fork
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, self.job, self.count), daemon=True)
        self.process.start()
        theirs.close()  # so that its end is the end of the pipe

    @property
    def busy(self) -> bool:
        return bool(self.doing)

    def submit(self, todo: deque[Unit]) -> None:
        """Hand out the next units: pictures ahead, to be read in time; a video, which takes long, only when idle."""
        while todo and (not self.doing or (len(self.doing) <= self.job.jobs and not todo[0].item.is_video)):
            self.doing.append(_Doing(todo.popleft()))
            self._send(self.doing[-1].unit)

    def receive(self) -> Iterator[Record]:
        """What it has to tell; EOFError when it is dead."""
        try:
            message = self.connection.recv()
        except ConnectionError as error:
            raise EOFError from error
        if isinstance(message, GroundkitError):
            raise message
        if isinstance(message, clock.Timings):
            clock.merge(message)
            return
        if message == _READY:
            self.ready = True
            return
        self.doing[0].records += 1
        if self.doing[0].records == len(self.doing[0].unit.tasks):
            self.doing.popleft()
        yield message

    def fail_pending(self, todo: deque[Unit]) -> Iterator[Record]:
        """Fail the tasks that a dead process was on, and give back the others."""
        self.process.join()
        if not self.ready:
            raise ModelError(
                f"a worker died while it loaded the models ({_ending(self.process)}): "
                "if memory is short, use fewer --workers; --debug tells more"
            )
        lost = self.doing.popleft() if self.doing else None
        todo.extendleft(reversed([each.unit for each in self.doing]))
        self.doing.clear()
        self.connection.close()
        if lost is None:
            return
        error = GroundkitError(f"the worker died on it ({_ending(self.process)})")
        for task in lost.unit.tasks[lost.records :]:
            yield {**failure(lost.unit.item.name, task.phrase, error), "name": task.name}

    def close(self) -> None:
        """Let it end; what it is on is lost."""
        if self.busy or not self.ready:
            self.process.terminate()
        self.connection.close()

    def _send(self, unit: Unit) -> None:
        with suppress(ConnectionError):  # it is dead, as receive() will tell
            self.connection.send(unit)


def _ending(process: BaseProcess) -> str:
    code = process.exitcode or 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _serve(connection: Connection, job: Job, count: int) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the driver decides
    if not job.debug:
        warnings.showwarning = _tell
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _share_cores(count)
    try:
        with clock.timings() if job.timed else nullcontext(), suppress(EOFError, ConnectionError):  # no more to do
            worker = Worker(job)
            connection.send(_READY)
            for record in worker.work(_received(connection, worker)):
                if job.timed:
                    connection.send(clock.take())  # before the record: after the last one nobody listens
                connection.send(record)
    except GroundkitError as error:  # models that cannot be loaded, or a setting that they refuse
        connection.send(error)


def _tell(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """Our own warnings in one line, as the command tells them; what libraries tell their developers is left out."""
    if category is UserWarning:
        print(f"groundkit: warning: {for_command_line(message)}", file=sys.stderr)


def _received(connection: Connection, worker: Worker) -> Iterator[Unit | None]:
    """Units as they come, and None where the worker should rather go on with those it has."""
    while True:
        if worker.busy and not connection.poll():
            yield None
        else:
            with clock.part(clock.WAITING):
                unit = connection.recv()
            yield unit


def _share_cores(count: int) -> None:
    import cv2
    import torch

    threads = max(1, torch.get_num_threads() // count)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _die_with_parent() -> None:
    """Orphans would go on to write beside the run that follows."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
