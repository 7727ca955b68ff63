"""What a run has finished, as JSON lines: the reason why it can be killed at any moment and go on."""

from __future__ import annotations

import json
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from groundkit import clock
from groundkit.errors import ConfigError, InputError
from groundkit.outputs.atomic import atomic_path, os_errors_as_input_errors
from groundkit.outputs.locks import locked
from groundkit.run.fingerprint import is_same
from groundkit.run.plan import Shard, Task, Unit
from groundkit.version import __version__
from groundkit.wording import for_command_line

Record = dict[str, Any]
"""One result, JSON-ready: ``input``, ``path`` (of the input, relative to the folder of the results), ``phrase``,
``name`` and either ``error``, or ``files``, what was found, what it was made with and the keys of ``fingerprint``."""

_FORMAT = 3
_WHOLE = "manifest.jsonl"
_MADE_WITH = ("version", "device", "dtype")
_KINDS = {
    **dict.fromkeys(("input", "path", "name", "stem", "error", "pipeline", "model", *_MADE_WITH, "heat"), str),
    **dict.fromkeys(("files", "formats", "masks", "scores", "boxes", "points", "rle", "size", "grounded"), list),
    **dict.fromkeys(("indices", "frame_scores"), list),
}


class _Entry(NamedTuple):
    """Where a record stands, and what is asked of it most; the record itself stays on disk."""

    file: Path
    start: int
    length: int
    input: str
    path: str | None
    phrase: str | None
    name: str
    done: bool  # whether it is a result and not a failure
    made_with: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str | None]:
        return self.path or self.input, self.phrase


class Manifest:
    """The records of a run, on disk before they count; made by ``open_manifest``.

    Memory holds where each record stands, and none of its content.

    Attributes:
        path: its file, ``manifest.jsonl``, or ``manifest_2_of_4.jsonl`` for a part.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._settings = dict(settings)
        self._origins = dict(origins or {})
        self._folder = path.parent.resolve()
        self._entries: dict[tuple[str, str | None], _Entry] = {}  # by path and phrase
        self._paths: dict[str, str] = {}  # of inputs by their names
        self._same: dict[tuple[str, str | None], bool] = {}  # whether a record's input is the same file still
        self._made_with: set[tuple[str, ...]] = set()
        self._file: BinaryIO | None = None
        self._end = 0
        self._open: dict[Path, BinaryIO] = {}  # files that records are read from
        self._reading = threading.Lock()

    @clock.timed("files")
    def append(self, record: Record) -> None:
        """Add a record: written and synchronised with the disk when this returns.

        Warns once when it was made on another device or in another dtype than those before. Its error is told in the
        options of the command line, whose file this is.

        Raises:
            InputError: when the disk refuses.
        """
        if record["input"] in self._paths:
            record = {**record, "path": self._paths[record["input"]]}
        if "error" in record:
            record = {**record, "error": for_command_line(record["error"])}
        entry = self._write(record)
        self._tell_of_others(entry)
        self._keep([entry])
        self._same[entry.key] = True

    def record_of(self, unit: Unit, task: Task) -> Record | None:
        """What became of a task under its name, a failure too.

        None if it was not done, or its input is another file now.
        """
        entry = self._standing(unit, task)
        return None if entry is None else self._read(entry)

    def left(self, units: Iterable[Unit], *, lacks: Callable[[Record], bool] = lambda _: False) -> Iterator[Unit]:
        """The units with the tasks that are not finished. A failure is not: it may go well this time.

        Args:
            units: of the plan.
            lacks: whether a record that went well lacks something for which it must be made again.

        Raises:
            ConfigError: where a task's name belongs to a result of another input, which would be overwritten.
        """
        units = list(units)
        self._paths = {unit.item.name: self._path_of(unit) for unit in units}
        owners = {entry.name: entry for entry in self._entries.values()}
        for unit in units:
            for task in unit.tasks:
                owner = owners.get(task.name)
                if owner is not None and (owner.phrase != task.phrase or not self._is_of(owner, unit)):
                    raise ConfigError(
                        f"{self.path.parent / task.name} holds the result of {owner.input} and "
                        f"{owner.phrase!r}, not of {unit.item.name}: give another --output"
                    )
            found = {task: self.record_of(unit, task) for task in unit.tasks}
            tasks = [task for task, got in found.items() if got is None or "files" not in got or lacks(got)]
            if tasks:
                yield unit.only(tasks)

    def records_of(self, units: Iterable[Unit]) -> Iterator[Record]:
        """The records of tasks that were done, in the order of the plan, read one at a time."""
        found = (self.record_of(unit, task) for unit in units for task in unit.tasks)
        return (record for record in found if record is not None)

    def all_records(self, units: Iterable[Unit]) -> Iterator[Record]:
        """The records of tasks that were done in the order of the plan, and those of earlier plans behind them."""
        return (self._read(entry) for entry in self._in_order(units))

    @clock.timed("files")
    def settle(self, units: Iterable[Unit]) -> None:
        """Write the file again with ``all_records``.

        So it does not depend on the order in which work was finished, nor on how often the run was stopped.
        """
        entries = self._in_order(units)
        if self._file is not None:
            self._file.close()  # Windows replaces no file that is open
        with atomic_path(self.path) as temporary:
            with temporary.open("wb") as file:
                file.write(_line(self._header(entries)))
                settled = []
                for entry in entries:
                    settled.append(entry._replace(file=self.path, start=file.tell()))
                    file.write(self._bytes(entry))
            self._close()
        self._keep(settled)
        with os_errors_as_input_errors(self.path):
            self._file = self.path.open("ab", buffering=0)
            self._end = self.path.stat().st_size

    def _in_order(self, units: Iterable[Unit]) -> list[_Entry]:
        tasks = [(unit, task) for unit in units for task in unit.tasks]
        planned = [self._standing(*each) for each in tasks]
        ordered = {entry.key: entry for entry in planned if entry is not None}
        return list((ordered | {key: entry for key, entry in self._entries.items() if key not in ordered}).values())

    def _bytes(self, entry: _Entry) -> bytes:
        with self._reading, os_errors_as_input_errors(entry.file, "read"):
            if entry.file not in self._open:
                self._open[entry.file] = entry.file.open("rb", buffering=0)
            self._open[entry.file].seek(entry.start)
            return self._open[entry.file].read(entry.length)

    def _read(self, entry: _Entry) -> Record:
        record: Record = json.loads(self._bytes(entry))
        return record

    def _close(self) -> None:
        for file in (*self._open.values(), *([self._file] if self._file else [])):
            file.close()
        self._open.clear()

    def _header(self, entries: Iterable[_Entry] = ()) -> Record:
        made = dict.fromkeys(entry.made_with for entry in entries if entry.done)
        return {
            "groundkit": _FORMAT,
            "made_with": [dict(zip(_MADE_WITH, each, strict=True)) for each in made],
            "settings": self._settings,
            "origins": self._origins,
        }

    def _path_of(self, unit: Unit) -> str:
        with suppress(ValueError):  # another drive
            return Path(os.path.relpath(unit.item.place, self._folder)).as_posix()
        return Path(unit.item.place).as_posix()

    def _found(self, unit: Unit, task: Task) -> _Entry | None:
        entry = self._entries.get((self._paths.get(unit.item.name) or self._path_of(unit), task.phrase))
        if entry is None:  # before it knew its path, or moved since
            entry = self._entries.get((unit.item.name, task.phrase))
        return entry

    def _standing(self, unit: Unit, task: Task) -> _Entry | None:
        """The same, if it has the task's name and is of the file that is there now."""
        entry = self._found(unit, task)
        if entry is None or entry.name != task.name:
            return None
        if entry.key not in self._same:  # looked at once
            still = not entry.done or (unit.error is None and _is_still(self._read(entry), unit.item.path))
            self._same[entry.key] = still
        return entry if self._same[entry.key] else None

    def _is_of(self, entry: _Entry, unit: Unit) -> bool:
        """Whether a record is of this input: of the same path, or of the same name where there is nothing at its path,
        as when folders were moved."""
        if entry.path is None or entry.path == self._paths.get(unit.item.name):
            return entry.path is not None or entry.input == unit.item.name
        return entry.input == unit.item.name and not (self._folder / entry.path).exists()

    def _tell_of_others(self, entry: _Entry) -> None:
        made = entry.made_with
        if entry.done and self._made_with and made not in self._made_with:
            told, before = (", ".join(filter(None, each)) for each in (made, sorted(self._made_with)[-1]))
            warnings.warn(
                f"results in {self.path.parent} were made with groundkit {before}, and these with {told}: they may "
                "differ; give another --output to make them all again",
                stacklevel=2,
            )
            self._made_with.add(made)

    def _begin(self) -> None:
        """Cut off what a kill has left of a last line, find the records, and open for more."""
        self._file = self.path.open("ab", buffering=0)
        header, entries, self._end = _scan(self.path)
        self._check(self.path, header, entries)
        if header is not None and header["settings"] != self._settings:  # of others, which have led to nothing
            header, entries, self._end = None, [], 0
        self._file.truncate(self._end)
        if header is None:
            self._append(self._header())
        self._keep(entries)

    def _tell_of_older(self) -> None:
        others = sorted({made[0] for made in self._made_with} - {__version__, ""})
        if others:
            warnings.warn(
                f"{self.path.parent} has results of groundkit {', '.join(others)}, and this is {__version__}: new "
                "results may differ from them; give another --output to make them all again",
                stacklevel=2,
            )
            # Told once; what is told of next is another device or dtype.
            self._made_with |= {(__version__, *made[1:]) for made in self._made_with}

    def _of_others(self, *, write: bool) -> list[_Entry]:
        """What other parts have finished, or the whole that this is a part of.

        Parts run side by side; the whole does what they all do, and runs alone.
        """
        finished: list[_Entry] = []
        for path in sorted(self.path.parent.glob("manifest*.jsonl")):
            if path != self.path:
                if write and _WHOLE in (path.name, self.path.name):
                    with locked(path, wait=False):
                        pass
                header, entries, _ = _scan(path)
                self._check(path, header, entries)
                finished += [entry for entry in entries if entry.done]
        return finished

    def _check(self, path: Path, header: Record | None, entries: Iterable[_Entry]) -> None:
        """Refuse a manifest of other settings, unless it holds no result that would be lost."""
        if header is None:
            return
        if header.get("groundkit") != _FORMAT or not isinstance(header.get("settings"), dict):
            raise ConfigError(f"{path} was not written by this version of groundkit: give another --output")
        if header["settings"] == self._settings or not any(entry.done for entry in entries):
            return
        old, new = _flat(header["settings"]), _flat(self._settings)
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        told = ", ".join(f"{key} {old.get(key)!r}, now {new.get(key)!r}" for key in changed[:3])
        raise ConfigError(
            f"{path} belongs to a run with other settings ({told}): give another --output, or delete it to start again"
        )

    def _keep(self, entries: Iterable[_Entry]) -> None:
        for entry in entries:
            self._entries.pop((entry.input, entry.phrase), None)
            self._entries.pop(entry.key, None)  # the last one counts, in its place
            self._entries[entry.key] = entry
            if entry.done:
                self._made_with.add(entry.made_with)

    def _write(self, record: Record) -> _Entry:
        start = self._end
        return _entry(self.path, start, self._append(record), record)

    def _append(self, record: Record) -> int:
        """Write a line, and return how many bytes it has."""
        assert self._file is not None
        line = _line(record)
        with os_errors_as_input_errors(self.path):
            self._file.write(line)
            os.fsync(self._file.fileno())
        self._end += len(line)
        return len(line)


@contextmanager
def open_manifest(
    folder: Path,
    settings: Mapping[str, Any],
    shard: Shard,
    *,
    origins: Mapping[str, str] | None = None,
    write: bool = True,
) -> Iterator[Manifest]:
    """Begin or go on with the manifest of a run, or of one part of it.

    Args:
        folder: where the results go; made if missing.
        settings: everything that results depend on, JSON-ready. Results of other settings are refused.
        origins: where settings of the method come from; for people, and not compared.
        shard: the part. What other parts in the same folder have finished counts as finished.
        write: False only looks, for a dry run, and leaves no trace.

    Raises:
        ConfigError: a manifest of other settings, or one that another process is writing.
        InputError: when the place cannot be written to, or a manifest is damaged.
    """
    name = _WHOLE if shard.whole else f"manifest_{shard.index}_of_{shard.count}.jsonl"
    manifest = Manifest(folder / name, json.loads(json.dumps(settings)), origins)
    with ExitStack() as stack:
        try:
            with os_errors_as_input_errors(manifest.path, "use"):
                if write:
                    stack.enter_context(locked(manifest.path, wait=False))
                others = manifest._of_others(write=write)
                if write:
                    manifest._begin()
                elif manifest.path.exists():
                    header, entries, _ = _scan(manifest.path)
                    manifest._check(manifest.path, header, entries)
                    manifest._keep(entries)
            manifest._keep(others)
            manifest._tell_of_older()
            yield manifest
        finally:
            manifest._close()


def names_in_manifests(folder: Path) -> set[str]:
    """The names of all results that manifests in a folder hold; none of what is no manifest."""
    names: set[str] = set()
    for path in folder.glob("manifest*.jsonl"):
        with suppress(InputError, OSError):
            names |= {entry.name for entry in _scan(path)[1] if entry.done}
    return names


def read_manifest(folder: Path) -> tuple[Record, Iterator[Record]]:
    """The settings of a finished or stopped batch, and its results, the last of each input and phrase.

    Results of parts (``--shard``) that were not joined count too; failures do not.

    Raises:
        ConfigError: no manifest of this version of groundkit in the folder.
        InputError: a manifest that cannot be read or is damaged.
    """
    latest: dict[tuple[str, str | None], _Entry] = {}
    settings: Record = {}
    paths = sorted(folder.glob("manifest*.jsonl"), key=lambda path: path.name != _WHOLE)
    for path in paths:
        with os_errors_as_input_errors(path, "read"):
            header, entries, _ = _scan(path)
        if header is None or header.get("groundkit") != _FORMAT:
            raise ConfigError(f"{path} was not written by this version of groundkit: run the batch again")
        settings = settings or header["settings"]
        latest = {entry.key: entry for entry in entries if entry.done} | latest
    if not paths:
        raise ConfigError(f"{folder} has no manifest.jsonl: name the output folder of a groundkit batch")

    def records() -> Iterator[Record]:
        for entry in latest.values():
            with entry.file.open("rb") as file:
                file.seek(entry.start)
                yield json.loads(file.read(entry.length))

    return settings, records()


def _is_still(record: Record, path: Path | None) -> bool:
    """Whether a record is of the file at ``path``."""
    if path is None:
        return False
    with os_errors_as_input_errors(path, "read"):
        return is_same(record, path)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the method, which are one mapping, among the others."""
    return {**settings, **settings.get("config", {}), "config": None}


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _entry(file: Path, start: int, length: int, record: Record) -> _Entry:
    return _Entry(
        file=file,
        start=start,
        length=length,
        input=sys.intern(record["input"]),
        path=record.get("path"),
        phrase=record["phrase"] and sys.intern(record["phrase"]),
        name=record["name"],
        done="files" in record,
        made_with=tuple(sys.intern(record.get(name, "")) for name in _MADE_WITH),
    )


def _scan(path: Path) -> tuple[Record | None, list[_Entry], int]:
    """The header of a manifest, where its records stand, and how many bytes are whole lines; a torn last one is none.

    Raises:
        InputError: a line that is no record.
    """
    header: Record | None = None
    entries: list[_Entry] = []
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path} is damaged ({error}): delete it to start again") from error
            if header is None:
                header = record if isinstance(record, dict) else {}  # no manifest
                sound = header.get("groundkit") != _FORMAT or _is_header(header)
            elif header.get("groundkit") != _FORMAT:
                break
            else:
                sound = _is_record(record)
                if sound:
                    entries.append(_entry(path, end, len(line), record))
            if not sound:
                raise InputError(f"{path} is damaged (line {number} is not a record): delete it to start again")
            end += len(line)
    return header, entries, end


def _is_header(line: Mapping[str, object]) -> bool:
    settings = line.get("settings")
    return isinstance(settings, dict) and isinstance(settings.get("config", {}), dict)


def _is_record(line: object) -> bool:
    """Whether a line has the shape of a record, and its names stay in the folder of the results."""
    if not isinstance(line, dict) or not {"input", "phrase", "name"} <= line.keys():
        return False
    if not all(isinstance(line[key], kind) for key, kind in _KINDS.items() if key in line):
        return False
    if not isinstance(line["phrase"], str | None):
        return False
    files = line.get("files", [])
    if not all(isinstance(file, str) for file in files):
        return False
    names = [line["name"], *(part for file in files for part in file.split("/"))]
    # On Windows a backslash parts folders; elsewhere it is a letter like others.
    return not any(name in ("", ".", "..") or {"\0", os.sep} & set(name) for name in names) and "/" not in names[0]
