"""What a run has finished, as JSON lines: the reason why it can be killed at any moment and go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from groundkit.errors import ConfigError, InputError
from groundkit.outputs.atomic import told_refusals, write_text
from groundkit.run.plan import Shard, Task, Unit

Record = dict[str, Any]
"""One result, JSON-ready: ``input``, ``phrase``, ``name`` and either ``error``, or ``files`` and what was found."""

_FORMAT = 1
_WHOLE = "manifest.jsonl"


class Manifest:
    """The records of a run, on disk before they count; made by ``open_manifest``.

    Attributes:
        path: its file, ``manifest.jsonl``, or ``manifest_2_of_4.jsonl`` for a part.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self._header: Record = {"groundkit": _FORMAT, "settings": dict(settings)}
        self._records: dict[tuple[str, str], Record] = {}
        self._file: BinaryIO | None = None

    def append(self, record: Record) -> None:
        """Add a record: written and synchronised with the disk when this returns.

        Raises:
            InputError: when the disk refuses.
        """
        self._write(record)
        self._keep([record])

    def record_of(self, unit: Unit, task: Task) -> Record | None:
        """What became of a task under its name, a failure too.

        None if it was not done, its files are gone, or its input is another file now.
        """
        record = self._records.get((unit.item.name, task.phrase))
        if record is None or record["name"] != task.name:
            return None
        if "files" in record and record["bytes"] != unit.bytes:
            return None
        here = all((self.path.parent / file).exists() for file in record.get("files", []))
        return record if here else None

    def left(self, units: Iterable[Unit], *, needed: str = "") -> Iterator[Unit]:
        """The units with the tasks that are not finished. A failure is not: it may go well this time.

        Args:
            units: of the plan.
            needed: ending of a file that a finished result has.

        Raises:
            ConfigError: where a task's name belongs to a result of another input, which would be overwritten.
        """
        owners = {record["name"]: (record["input"], record["phrase"]) for record in self._records.values()}
        for unit in units:
            for task in unit.tasks:
                owner = owners.get(task.name, (unit.item.name, task.phrase))
                if owner != (unit.item.name, task.phrase):
                    raise ConfigError(
                        f"{self.path.parent / task.name} holds the result of {owner[0]} and {owner[1]!r}, not of "
                        f"{unit.item.name}: give another --output"
                    )
            files = {task: (self.record_of(unit, task) or {}).get("files") for task in unit.tasks}
            tasks = [task for task, got in files.items() if got is None or (needed and not _ends(got, needed))]
            if tasks:
                yield unit.only(tasks)

    def records_of(self, units: Iterable[Unit]) -> list[Record]:
        """The records of tasks that were done, in the order of the plan."""
        found = [self.record_of(unit, task) for unit in units for task in unit.tasks]
        return [record for record in found if record is not None]

    def all_records(self, units: Iterable[Unit]) -> list[Record]:
        """The records of tasks that were done in the order of the plan, and those of earlier plans behind them."""
        planned = self.records_of(units)
        taken = {(record["input"], record["phrase"]) for record in planned}
        return planned + [record for key, record in self._records.items() if key not in taken]

    def settle(self, units: Iterable[Unit]) -> None:
        """Write the file anew with ``all_records``.

        So it does not depend on the order in which work was finished, nor on how often the run was stopped.
        """
        write_text(self.path, "".join(_line(each) for each in (self._header, *self.all_records(units))))

    def _begin(self) -> None:
        """Cut off what a kill has left of a last line, read the records, and open for more."""
        self._file = self.path.open("ab", buffering=0)
        _lock(self._file, self.path)
        whole, lines = _whole_lines(self.path)
        self._check(self.path, lines)
        if lines and lines[0] != self._header:  # of other settings, which have led to nothing
            whole, lines = 0, []
        self._file.truncate(whole)
        if not lines:
            self._write(self._header)
        self._keep(lines[1:])

    def _of_others(self, *, write: bool) -> list[Record]:
        """What other parts have finished, or the whole that this is a part of.

        Parts run side by side; the whole does what they all do, and runs alone.
        """
        finished: list[Record] = []
        for path in sorted(self.path.parent.glob("manifest*.jsonl")):
            if path != self.path:
                if write and _WHOLE in (path.name, self.path.name):
                    with path.open("r+b") as file:
                        _lock(file, path)
                _, lines = _whole_lines(path)
                self._check(path, lines)
                finished += [record for record in lines[1:] if "files" in record]
        return finished

    def _check(self, path: Path, lines: Sequence[Record]) -> None:
        """Refuse a manifest of other settings, unless it holds no result that would be lost."""
        if not lines or lines[0] == self._header:
            return
        if lines[0].get("groundkit") != _FORMAT:
            raise ConfigError(f"{path} is no manifest of this version: give another --output")
        if not any("files" in record for record in lines[1:]):
            return
        old, new = lines[0]["settings"], self._header["settings"]
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        told = ", ".join(f"{key} {old.get(key)!r}, now {new.get(key)!r}" for key in changed[:3])
        raise ConfigError(
            f"{path} belongs to a run with other settings ({told}): give another --output, or delete it to begin anew"
        )

    def _keep(self, records: Iterable[Record]) -> None:
        for record in records:
            key = (record["input"], record["phrase"])
            self._records.pop(key, None)  # the last one counts, in its place
            self._records[key] = record

    def _write(self, record: Record) -> None:
        assert self._file is not None
        with told_refusals(self.path):
            self._file.write(_line(record).encode())
            os.fsync(self._file.fileno())


@contextmanager
def open_manifest(folder: Path, settings: Mapping[str, Any], shard: Shard, *, write: bool = True) -> Iterator[Manifest]:
    """Begin or go on with the manifest of a run, or of one part of it.

    Args:
        folder: where the results go; made if missing.
        settings: everything that results depend on, JSON-ready. Results of other settings are refused.
        shard: the part. What other parts in the same folder have finished counts as finished.
        write: False only looks, for a dry run, and leaves no trace.

    Raises:
        ConfigError: a manifest of other settings, or one that another process is writing.
        InputError: when the place cannot be written to, or a manifest is damaged.
    """
    name = _WHOLE if shard.whole else f"manifest_{shard.index}_of_{shard.count}.jsonl"
    manifest = Manifest(folder / name, json.loads(json.dumps(settings)))
    try:
        others = manifest._of_others(write=write)
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            manifest._begin()
        elif manifest.path.exists():
            _, lines = _whole_lines(manifest.path)
            manifest._check(manifest.path, lines)
            manifest._keep(lines[1:])
        manifest._keep(others)
        yield manifest
    except OSError as error:
        raise InputError(f"cannot use {manifest.path}: {error.strerror or error}") from error
    finally:
        if manifest._file is not None:
            manifest._file.close()


def _ends(files: Iterable[str], ending: str) -> bool:
    return any(file.endswith(ending) for file in files)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _whole_lines(path: Path) -> tuple[int, list[Record]]:
    """The records of a manifest, and how many bytes they take; a torn last line is none of them."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    try:
        return whole, [json.loads(line) for line in content[:whole].splitlines()]
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): delete it to begin anew") from error


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep two runs from writing one manifest; the lock goes when the process does, however it ends."""
    with suppress(ImportError):  # no such locks on Windows
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"{path} is being written by another run: wait for it, or give another --output"
            ) from None
