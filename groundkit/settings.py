"""``Settings``: named values of a method and of its parts, checked once, with where each of them comes from.

A field that is a ``Settings`` itself is a part. A part of a ``Chosen`` kind (a prompter) is chosen by name, and a tuple
of such (stages) is a list of names. Every field of every part has a full name, ``part.field``, and its own name
suffices where no other part has it.
"""

from __future__ import annotations

import difflib
import functools
import re
from abc import ABC
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, JsonValue, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from groundkit.errors import ConfigError, unknown
from groundkit.plugins import Registry


class Given(dict[str, Any]):
    """Values by the names of settings, with where each comes from in ``origins``.

    ``lenient`` values may be for parts that are off, such as those of a checkpoint.
    """

    def __init__(
        self,
        values: Mapping[str, Any] | None = None,
        origin: str | Mapping[str, str] = "given",
        *,
        lenient: bool = False,
    ) -> None:
        super().__init__()
        self.origins: dict[str, str] = {}
        self.lenient = lenient
        if values is not None:
            self.add(values, getattr(values, "origins", origin))

    def add(self, values: Mapping[str, Any], origin: str | Mapping[str, str]) -> None:
        """Put values over those that are there."""
        self.update(values)
        self.origins |= {name: origin if isinstance(origin, str) else origin.get(name, "given") for name in values}


@dataclass(frozen=True)
class Setting:
    """One setting as it is used.

    Attributes:
        name: its shortest name.
        full: its full name, ``part.field``; of the method's own settings the same.
        value: in the types of JSON.
        origin: where the value comes from; ``default`` for the field's own.
        description: what it does.
    """

    name: str
    full: str
    value: JsonValue
    origin: str
    description: str


class Settings(BaseModel):
    """Named values that do not change. Each field is a setting; its description is its help.

    >>> class Smooth(Settings):
    ...     sigma: float = 1.0
    >>> Smooth.read({"sigma": "2"}).sigma
    2.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    usual_order: ClassVar[tuple[str, ...]] = ()  # of parts in a list, for those that are added
    _origins: dict[str, str] | None = PrivateAttr(None)  # by full names; None where nothing was read

    def __eq__(self, other: object) -> bool:
        """By values alone, wherever they come from."""
        return type(self) is type(other) and vars(self) == vars(other)

    @property
    def origins(self) -> dict[str, str]:
        """Where each setting that has not its default comes from, such as ``checkpoint``, ``file`` or ``--set``."""
        return {each.name: each.origin for each in self.list_settings() if each.origin != "default"}

    def list_settings(self) -> list[Setting]:
        """Every setting of this object and its parts, in their order; parts that are off have none."""
        table = _Table.of(self)
        return [
            Setting(
                table.short(scope, name),
                scope.full(name),
                _json(getattr(scope.values, name)),
                self._origin(scope, name),
                info.description or "",
            )
            for scope in table.scopes
            for name, info in type(scope.values).model_fields.items()
            if _is_setting(info)
        ]

    def _origin(self, scope: _Scope, name: str) -> str:
        if self._origins is None:
            held = not scope.field or scope.field in self.model_fields_set
            return "given" if held and name in scope.given else "default"
        return self._origins.get(scope.full(name), "default")

    def flat(self) -> dict[str, JsonValue]:
        """The value of every setting, in the types of JSON, by its shortest name."""
        return {each.name: each.value for each in self.list_settings()}

    def tables(self) -> dict[str, JsonValue]:
        """The value of every setting, in the types of JSON, each part in a table of its own, as ``read`` takes it."""
        return {name: _tables(getattr(self, name)) for name in type(self).model_fields}

    @classmethod
    def of(cls, settings: BaseModel, **more: object) -> Self:
        """The values that other settings have under the same names, and more values by name."""
        shared = {name: getattr(settings, name) for name in cls.model_fields if hasattr(settings, name)}
        return cls(**{**shared, **more})

    @classmethod
    def read(cls, *layers: Mapping[str, object]) -> Self:
        """Check values by name; later ones go over earlier ones.

        Args:
            layers: values by the names of settings; of a ``Given`` it is known where they come from. A text is read as
                a number or a truth value where the setting is one, as several, separated by commas, where it is a
                tuple, and as None if it is ``null``.

        Raises:
            ConfigError: naming the first setting that does not exist or cannot take its value.
        """
        flat = [_flattened(cls, layer) for layer in layers]
        chosen = {
            name: _chosen(kind, cls.model_fields[name], name, flat, cls.usual_order)
            for name, kind in _choices(cls).items()
        }
        defaults = cls(**chosen)
        table = _Table.of(defaults)
        values: dict[str, dict[str, Any]] = {scope.name: dict(scope.given) for scope in table.scopes}
        origins: dict[str, str] = {}
        for layer in flat:
            for key, value in layer.items():
                if key in chosen:
                    origins[key] = layer.origins[key]
                    continue
                found = table.find(key)
                if found is None:
                    if layer.lenient and _is_off(cls, key):
                        continue
                    raise ConfigError(_why_unknown(cls, key, table))
                scope, name = found
                values[scope.name][name] = _value(type(scope.values), name, value)
                origins[scope.full(name)] = layer.origins[key]
        made: dict[str, Any] = {}
        for scope in table.scopes[1:]:
            part = _made(type(scope.values), values[scope.name], table, scope)
            if scope.several:
                made.setdefault(scope.field, []).append(part)
            else:
                made[scope.field] = part
        emptied = {name: () for name in chosen if name not in made}
        settings: Self = _made(cls, {**values[""], **emptied, **made}, table, table.scopes[0])
        settings._origins = origins
        return settings


class Chosen(Settings, ABC):
    """A part that is chosen by its name, such as a stage or a prompter: the name of the file that defines it."""

    registry: ClassVar[Registry]

    @classmethod
    def kinds(cls) -> Sequence[str]:
        """The names of all kinds that there are."""
        return cls.registry.names

    @classmethod
    def kind(cls, name: str) -> type[Chosen]:
        """The kind of a name that is one of ``kinds``."""
        kind: type[Chosen] = cls.registry.load(name)
        return kind

    @classmethod
    def kind_name(cls) -> str:
        """The name of this kind."""
        return cls.__module__.rpartition(".")[2]


@dataclass(frozen=True)
class _Scope:
    """The settings of one part: ``name`` as in ``name.field``, and the field of the whole that holds it."""

    name: str
    field: str
    values: Settings
    several: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called: a prompter is ``prompter``, or the one that was chosen."""
        return (self.name, self.values.kind_name()) if isinstance(self.values, Chosen) else (self.name,)

    @property
    def given(self) -> dict[str, Any]:
        return {name: getattr(self.values, name) for name in self.values.model_fields_set}

    def full(self, name: str) -> str:
        return f"{self.name}.{name}" if self.name else name


@dataclass(frozen=True)
class _Table:
    """All names of settings of an object."""

    scopes: tuple[_Scope, ...]
    count: Counter[str]

    @classmethod
    def of(cls, whole: Settings) -> Self:
        scopes = [_Scope("", "", whole)]
        for field, info in type(whole).model_fields.items():
            part = getattr(whole, field)
            if isinstance(part, Settings):
                scopes.append(_Scope(field, field, part))
            elif _part_of(info) is not None:
                scopes += [_Scope(each.kind_name(), field, each, several=True) for each in part]
        count = Counter(name for scope in scopes for name in type(scope.values).model_fields)
        return cls(tuple(scopes), count)

    def short(self, scope: _Scope, name: str) -> str:
        return name if self.count[name] == 1 or not scope.name else scope.full(name)

    def names(self) -> Iterator[str]:
        """All settings, those that a class brings before those that it inherits."""
        for scope in self.scopes:
            kind = type(scope.values)
            inherited = {name for base in kind.__bases__ for name in getattr(base, "model_fields", ())}
            for name in sorted(kind.model_fields, key=inherited.__contains__):
                if _is_setting(kind.model_fields[name]):
                    yield self.short(scope, name)

    def find(self, key: str) -> tuple[_Scope, str] | None:
        """Whose setting a name is."""
        part, dot, name = key.rpartition(".")
        if dot:
            found = [each for each in self.scopes if each.name == part]
            found = found or [each for each in self.scopes if part in each.names]
        else:
            found = [each for each in self.scopes if name in type(each.values).model_fields]
            own = [each for each in found if not each.name]
            found = own or found
        found = [each for each in found if name in type(each.values).model_fields]
        if len(found) > 1:
            raise ConfigError(f"{key} is a setting of several parts: write {' or '.join(s.full(name) for s in found)}")
        return (found[0], name) if found else None


def _part_of(info: FieldInfo) -> type[Settings] | None:
    """The kind of part, or of parts, that a field holds."""
    for kind in _kinds(info.annotation):
        if isinstance(kind, type) and issubclass(kind, Settings):
            return kind
    return None


def _is_setting(info: FieldInfo) -> bool:
    """Whether a field is a setting of its own, and not a part that holds some."""
    part = _part_of(info)
    return part is None or issubclass(part, Chosen)


def _kinds(annotation: Any) -> Iterator[Any]:
    yield annotation
    for each in get_args(annotation):
        yield from _kinds(each)


def _choices(kind: type[Settings]) -> dict[str, type[Chosen]]:
    found = {name: _part_of(info) for name, info in kind.model_fields.items()}
    return {name: part for name, part in found.items() if part is not None and issubclass(part, Chosen)}


def _flattened(kind: type[Settings], layer: Mapping[str, Any]) -> Given:
    """Tables of parts as ``part.field``."""
    given, choices = Given(lenient=getattr(layer, "lenient", False)), _choices(kind)
    origins: Mapping[str, str] = getattr(layer, "origins", {})
    for key, value in layer.items():
        origin = origins.get(key, "given")
        if isinstance(value, Mapping):
            rest = dict(value)
            if key in choices and "name" in rest:
                given.add({key: rest.pop("name")}, origin)
            given.add({f"{key}.{name}": each for name, each in rest.items()}, origin)
        elif key in choices and isinstance(value, list | tuple) and any(isinstance(e, Mapping) for e in value):
            tables = [{"name": each} if isinstance(each, str) else dict(each) for each in value]
            names = [str(table.pop("name", "")) for table in tables]
            given.add({key: names}, origin)
            for name, table in zip(names, tables, strict=True):
                given.add({f"{name}.{field}": each for field, each in table.items()}, origin)
        else:
            given.add({key: value}, origin)
    return given


def _chosen(kind: type[Chosen], info: FieldInfo, key: str, layers: Iterable[Given], usual: Sequence[str]) -> Any:
    """The part, or the list of parts, that layers choose, each with its own defaults."""
    default = info.get_default(call_default_factory=True)
    if not isinstance(default, tuple):
        for layer in layers:
            if key in layer:
                name = str(layer[key])
                default = default if default.kind_name() == name else _named(kind, name)()
        return default
    parts = {each.kind_name(): each for each in default}
    order = list(parts)
    for layer in layers:
        if key not in layer:
            continue
        value = layer[key]
        names = [e.strip() for e in value.split(",") if e.strip()] if isinstance(value, str) else list(map(str, value))
        if names and all(name[:1] in ("+", "-") for name in names):
            for name in names:
                if name[0] == "-" and name[1:] not in order:
                    raise ConfigError(f"{key}={name}: {name[1:]} is not among {', '.join(order) or 'none'}")
                order = [each for each in order if each != name[1:]]
                if name[0] == "+":
                    order.insert(_place(name[1:], order, usual), name[1:])
        else:
            order = [] if names == ["none"] else names
    if len(set(order)) < len(order):
        raise ConfigError(f"{key}={','.join(order)}: each can be there once")
    return tuple(parts[name] if name in parts else _named(kind, name)() for name in order)


def _place(name: str, order: Sequence[str], usual: Sequence[str]) -> int:
    """Where a part belongs among others: before the first one that usually comes later, or at the end."""
    later = usual[usual.index(name) + 1 :] if name in usual else ()
    return next((index for index, each in enumerate(order) if each in later), len(order))


def _named(kind: type[Chosen], name: str) -> type[Chosen]:
    if name not in kind.kinds():
        raise ConfigError(unknown(kind.__name__.lower(), name, kind.kinds()))
    return kind.kind(name)


def _is_off(kind: type[Settings], key: str) -> bool:
    """Whether a name is a setting of a part that could be chosen."""
    return bool(_owners(kind, key))


def _owners(kind: type[Settings], key: str) -> list[tuple[str, str]]:
    """Parts that could be chosen and have a setting of this name, each with the field that it is chosen in."""
    part, _, name = key.rpartition(".")
    return [
        (field, each)
        for field, choice in _choices(kind).items()
        for each in choice.kinds()
        if part in ("", field, each) and name in choice.kind(each).model_fields
    ]


def _why_unknown(kind: type[Settings], key: str, table: _Table) -> str:
    if key in RENAMED:
        return f"{key} is now {RENAMED[key]}"
    for field, name in _owners(kind, key):
        several = get_origin(kind.model_fields[field].annotation) is tuple
        return f"{key} is a setting of {name}, which is not used: add {field}={'+' if several else ''}{name}"
    return unknown("setting", key, table.names())


def _made(kind: type[Any], values: Mapping[str, Any], table: _Table, scope: _Scope) -> Any:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        names = [str(each) for each in first["loc"]]
        own = scope.full if scope.several else functools.partial(table.short, scope)  # a stage is told with its name
        field = ".".join([own(names[0]), *names[1:]]) if names else scope.name
        reason = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{field}={first['input']}: {reason[0].lower()}{reason[1:]}{_hint(first)}") from None


def _hint(error: ErrorDetails) -> str:
    """The option of a choice that is most similar to the text."""
    choices = re.findall(r"'([^']+)'", str(error.get("ctx", {}).get("expected", "")))
    close = difflib.get_close_matches(str(error["input"]).lower(), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _json(value: Any) -> Any:
    """A value in the types of JSON; parts by their names."""
    if isinstance(value, Chosen):
        return value.kind_name()
    if isinstance(value, tuple | list):
        return [_json(each) for each in value]
    return getattr(value, "value", value)  # of an enumeration


def as_text(value: JsonValue) -> str:
    """A setting's value, in the types of JSON, as ``--set`` takes it: ``null``, ``true``, ``none`` for no values."""
    if isinstance(value, list):
        return ",".join(map(as_text, value)) or "none"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _tables(value: Any) -> Any:
    if isinstance(value, Settings):
        named = {"name": value.kind_name()} if isinstance(value, Chosen) else {}
        return {**named, **value.tables()}
    return [_tables(each) for each in value] if isinstance(value, tuple | list) else _json(value)


def _value(kind: type[BaseModel], key: str, value: Any) -> Any:
    """A text as the setting takes it: ``null`` as None, and several (``a, b``, ``(a, b)`` or ``[a, b]``) as a list.

    ``none`` and an empty text are no values at all where the setting is a tuple.
    """
    annotation = kind.model_fields[key].annotation
    kinds = (annotation, *get_args(annotation))
    optional = type(None) in kinds
    if optional and isinstance(value, str) and value.strip().lower() == "null":
        return None
    if not any(get_origin(each) is tuple for each in kinds):
        return value
    if value is None or (isinstance(value, str) and value.strip().lower() in ("none", "null")):
        return None if optional else ()
    if not isinstance(value, str):
        return value
    return [part.strip(" \"'") for part in value.strip("()[] ").split(",") if part.strip()]


def asks_for(name: str) -> AfterValidator:
    """Checks a text into which ``{name}`` is put."""

    def check(text: str) -> str:
        try:
            text.format(**{name: ""})
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise ValueError(f"write {{{name}}} where the name goes, and no other braces") from error
        return text

    return AfterValidator(check)


# What settings were called before; the message that refuses the old name tells the new one.
RENAMED = {
    "agreement": "min_track_iou",
    "area": "positive_region",
    "candidates": "candidate_frames",
    "cell_consistency": "map_consistency",
    "cell_threshold": "min_cell_heat",
    "count": "count_repeats",
    "drop_directions": "always on",
    "filter_sinks": "the stage sinks: stages=-sinks leaves it out",
    "filter_stop_words": "kept_words: all keeps stop words",
    "frames": "max_frames",
    "grounding": "the method: decaf reads a phrase as grounding=decaf did",
    "interpolation": "always cubic, and linear after the stage sizes",
    "keep": "min_mask_score",
    "least_score": "min_tracking_score",
    "least_votes": "min_support",
    "max_cells": "always 100",
    "min_peak_distance": "always 0.15 of the diagonal",
    "most_cells": "always 100",
    "most_pixels": "max_pixels",
    "multi_scale": "crop_shares: none looks at the whole picture alone",
    "noise_seeds": "noise_samples",
    "noun_phrase": "kept_words: content keeps more than the noun phrase",
    "overlap": "max_overlap",
    "patience": "lost_interval",
    "peak_centre": "peak_radius",
    "peak_separation": "always 0.15 of the diagonal",
    "peak_threshold": "min_peak_height",
    "peaks": "max_peaks",
    "points": "prompter (point_pair or hot_cells) and negative_point",
    "redraw": "refine_point",
    "refine": "refinement",
    "resolutions": "scale, and the stage sizes for further ones",
    "rivals": "vote_with_all_proposals",
    "smoothing_kernel": "always 7 tokens",
    "spatial_bias": "the stage places: stages=-places leaves it out, stages=+places adds it",
    "threshold": "region_threshold",
    "verify": "min_verification",
    "word_tokens": "tokens.reduction",
}
