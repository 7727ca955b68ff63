"""What a run has finished, as JSON lines: the reason why it can be killed at any moment and go on."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from groundkit.errors import ConfigError, InputError
from groundkit.outputs.atomic import told_refusals, write_text
from groundkit.outputs.locks import locked
from groundkit.run.fingerprint import is_same
from groundkit.run.plan import Shard, Task, Unit
from groundkit.version import __version__
from groundkit.wording import for_command_line

Record = dict[str, Any]
"""One result, JSON-ready: ``input``, ``path`` (of the input, relative to the folder of the results), ``phrase``,
``name`` and either ``error``, or ``files``, what was found, what it was made with and the keys of ``fingerprint``."""

_FORMAT = 2
_WHOLE = "manifest.jsonl"
_MADE_WITH = ("version", "device", "dtype")
_KINDS = {
    **dict.fromkeys(("input", "path", "phrase", "name", "error", "pipeline", "model", *_MADE_WITH, "heat"), str),
    **dict.fromkeys(("files", "formats", "masks", "scores", "boxes", "points", "rle", "size", "grounded"), list),
    **dict.fromkeys(("indices", "frame_scores"), list),
}


class Manifest:
    """The records of a run, on disk before they count; made by ``open_manifest``.

    Attributes:
        path: its file, ``manifest.jsonl``, or ``manifest_2_of_4.jsonl`` for a part.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], origins: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._settings = dict(settings)
        self._origins = dict(origins or {})
        self._folder = path.parent.resolve()
        self._records: dict[tuple[str, str], Record] = {}  # by path and phrase
        self._paths: dict[str, str] = {}  # of inputs by their names
        self._same: dict[tuple[str, str], bool] = {}  # whether a record's input is the same file still
        self._made_with: set[tuple[str, ...]] = set()
        self._file: BinaryIO | None = None

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
        self._write(record)
        self._tell_of_others(record)
        self._keep([record])
        self._same[_key(record)] = True

    def record_of(self, unit: Unit, task: Task) -> Record | None:
        """What became of a task under its name, a failure too.

        None if it was not done, or its input is another file now.
        """
        record = self._found(unit, task)
        if record is None or record["name"] != task.name:
            return None
        key = _key(record)
        if key not in self._same:  # looked at once
            self._same[key] = "files" not in record or (unit.error is None and _is_still(record, unit.item.path))
        return record if self._same[key] else None

    def left(self, units: Iterable[Unit], *, lacks: Callable[[Record], bool] = lambda _: False) -> Iterator[Unit]:
        """The units with the tasks that are not finished. A failure is not: it may go well this time.

        Args:
            units: of the plan.
            lacks: whether a record that went well lacks something for which it must be made anew.

        Raises:
            ConfigError: where a task's name belongs to a result of another input, which would be overwritten.
        """
        units = list(units)
        self._paths = {unit.item.name: self._path_of(unit) for unit in units}
        owners = {record["name"]: record for record in self._records.values()}
        for unit in units:
            for task in unit.tasks:
                owner = owners.get(task.name)
                if owner is not None and (owner["phrase"] != task.phrase or not self._is_of(owner, unit)):
                    raise ConfigError(
                        f"{self.path.parent / task.name} holds the result of {owner['input']} and "
                        f"{owner['phrase']!r}, not of {unit.item.name}: give another --output"
                    )
            found = {task: self.record_of(unit, task) for task in unit.tasks}
            tasks = [task for task, got in found.items() if got is None or "files" not in got or lacks(got)]
            if tasks:
                yield unit.only(tasks)

    def records_of(self, units: Iterable[Unit]) -> list[Record]:
        """The records of tasks that were done, in the order of the plan."""
        found = [self.record_of(unit, task) for unit in units for task in unit.tasks]
        return [record for record in found if record is not None]

    def all_records(self, units: Iterable[Unit]) -> list[Record]:
        """The records of tasks that were done in the order of the plan, and those of earlier plans behind them."""
        planned = self.records_of(units)
        taken = {_key(record) for record in planned}
        return planned + [record for key, record in self._records.items() if key not in taken]

    def settle(self, units: Iterable[Unit]) -> None:
        """Write the file anew with ``all_records``.

        So it does not depend on the order in which work was finished, nor on how often the run was stopped.
        """
        records = self.all_records(units)
        if self._file is not None:
            self._file.close()  # Windows replaces no file that is open
        write_text(self.path, "".join(_line(each) for each in (self._header(records), *records)))
        with told_refusals(self.path):
            self._file = self.path.open("ab", buffering=0)

    def _header(self, records: Iterable[Record] = ()) -> Record:
        made = dict.fromkeys(_made_with(record) for record in records if "files" in record)
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

    def _found(self, unit: Unit, task: Task) -> Record | None:
        record = self._records.get((self._paths.get(unit.item.name) or self._path_of(unit), task.phrase))
        if record is None:  # before it knew its path, or moved since
            record = self._records.get((unit.item.name, task.phrase))
        return record

    def _is_of(self, record: Record, unit: Unit) -> bool:
        """Whether a record is of this input: of the same path, or of the same name where there is nothing at its path,
        as when folders were moved."""
        path = record.get("path")
        if path is None or path == self._paths.get(unit.item.name):
            return path is not None or bool(record["input"] == unit.item.name)
        return bool(record["input"] == unit.item.name) and not (self._folder / path).exists()

    def _tell_of_others(self, record: Record) -> None:
        made = _made_with(record)
        if "files" in record and self._made_with and made not in self._made_with:
            told, before = (", ".join(filter(None, each)) for each in (made, sorted(self._made_with)[-1]))
            warnings.warn(
                f"results in {self.path.parent} were made with groundkit {before}, and these with {told}: they may "
                "differ; give another --output to make them all again",
                stacklevel=2,
            )
            self._made_with.add(made)

    def _begin(self) -> None:
        """Cut off what a kill has left of a last line, read the records, and open for more."""
        self._file = self.path.open("ab", buffering=0)
        whole, lines = _whole_lines(self.path)
        self._check(self.path, lines)
        if lines and lines[0]["settings"] != self._settings:  # of others, which have led to nothing
            whole, lines = 0, []
        self._file.truncate(whole)
        if not lines:
            self._write(self._header())
        self._keep(lines[1:])

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

    def _of_others(self, *, write: bool) -> list[Record]:
        """What other parts have finished, or the whole that this is a part of.

        Parts run side by side; the whole does what they all do, and runs alone.
        """
        finished: list[Record] = []
        for path in sorted(self.path.parent.glob("manifest*.jsonl")):
            if path != self.path:
                if write and _WHOLE in (path.name, self.path.name):
                    with locked(path, wait=False):
                        pass
                _, lines = _whole_lines(path)
                self._check(path, lines)
                finished += [record for record in lines[1:] if "files" in record]
        return finished

    def _check(self, path: Path, lines: Sequence[Record]) -> None:
        """Refuse a manifest of other settings, unless it holds no result that would be lost."""
        if not lines:
            return
        if lines[0].get("groundkit") != _FORMAT or not isinstance(lines[0].get("settings"), dict):
            raise ConfigError(f"{path} was not written by this version of groundkit: give another --output")
        if lines[0]["settings"] == self._settings:
            return
        if not any("files" in record for record in lines[1:]):
            return
        old, new = lines[0]["settings"], self._settings
        old, new = _flat(old), _flat(new)
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        told = ", ".join(f"{key} {old.get(key)!r}, now {new.get(key)!r}" for key in changed[:3])
        raise ConfigError(
            f"{path} belongs to a run with other settings ({told}): give another --output, or delete it to start again"
        )

    def _keep(self, records: Iterable[Record]) -> None:
        for record in records:
            self._records.pop((record["input"], record["phrase"]), None)
            self._records.pop(_key(record), None)  # the last one counts, in its place
            self._records[_key(record)] = record
            if "files" in record:
                self._made_with.add(_made_with(record))

    def _write(self, record: Record) -> None:
        assert self._file is not None
        with told_refusals(self.path):
            self._file.write(_line(record).encode())
            os.fsync(self._file.fileno())


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
            with told_refusals(manifest.path, "use"):
                if write:
                    stack.enter_context(locked(manifest.path, wait=False))
                others = manifest._of_others(write=write)
                if write:
                    manifest._begin()
                elif manifest.path.exists():
                    _, lines = _whole_lines(manifest.path)
                    manifest._check(manifest.path, lines)
                    manifest._keep(lines[1:])
            manifest._keep(others)
            manifest._tell_of_older()
            yield manifest
        finally:
            if manifest._file is not None:
                manifest._file.close()


def _key(record: Record) -> tuple[str, str]:
    return record.get("path") or record["input"], record["phrase"]


def _made_with(record: Record) -> tuple[str, ...]:
    return tuple(record.get(name, "") for name in _MADE_WITH)


def _is_still(record: Record, path: Path | None) -> bool:
    """Whether a record is of the file at ``path``."""
    if path is None:
        return False
    with told_refusals(path, "read"):
        return is_same(record, path)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the method, which are one mapping, among the others."""
    return {**settings, **settings.get("config", {}), "config": None}


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record) + "\n"


def _whole_lines(path: Path) -> tuple[int, list[Record]]:
    """The records of a manifest, and how many bytes they take; a torn last line is none of them."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    try:
        lines = [json.loads(line) for line in content[:whole].splitlines()]
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): delete it to start again") from error
    if lines and not isinstance(lines[0], dict):
        lines[0] = {}  # no manifest
    if lines and lines[0].get("groundkit") == _FORMAT:
        shaped = [_is_header(lines[0]), *map(_is_record, lines[1:])]
        if not all(shaped):
            number = shaped.index(False) + 1
            raise InputError(f"{path} is damaged (line {number} is not a record): delete it to start again")
    return whole, lines


def _is_header(line: Mapping[str, object]) -> bool:
    settings = line.get("settings")
    return isinstance(settings, dict) and isinstance(settings.get("config", {}), dict)


def _is_record(line: object) -> bool:
    """Whether a line has the shape of a record, and its names stay in the folder of the results."""
    if not isinstance(line, dict) or not {"input", "phrase", "name"} <= line.keys():
        return False
    if not all(isinstance(line[key], kind) for key, kind in _KINDS.items() if key in line):
        return False
    files = line.get("files", [])
    if not all(isinstance(file, str) for file in files):
        return False
    names = [line["name"], *(part for file in files for part in file.split("/"))]
    # On Windows a backslash parts folders; elsewhere it is a letter like others.
    return not any(name in ("", ".", "..") or {"\0", os.sep} & set(name) for name in names) and "/" not in names[0]
