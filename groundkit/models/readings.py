"""Settings that go with a model: those in its own ``groundkit.json``, and published ones of its family.

``groundkit.json`` lies beside a checkpoint's ``model_index.json`` or ``config.json``, in a folder or on the Hub::

    {"readings": [{"methods": ["refam"], "source": "chosen on 120 scenes", "settings": {"layers": "10-18"}}]}

A reading with a ``preset`` is used only where this name is asked for: ``--set preset=NAME``.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from groundkit.errors import ModelError

FILE = "groundkit.json"


class Reading(BaseModel):
    """Settings that go with a model, and who says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    methods: tuple[str, ...] = Field(description="methods that they are for")
    source: str = Field(description="paper, repository or measurement that they come from")
    settings: dict[str, Any] = Field(description="values by the names of settings")
    guess: bool = Field(False, description="whether the source used them for something else")
    preset: str | None = Field(None, description="name by which they are asked for; without one they are always used")
    models: tuple[str, ...] = Field((), description="pipeline classes or model types that they are for")
    sizes: dict[str, int] = Field({}, description="what the model's configuration must say")


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    readings: tuple[Reading, ...]


@cache
def published() -> tuple[Reading, ...]:
    """The table of published readings, ``readings.toml``."""
    return _File.model_validate(tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))).readings


@dataclass(frozen=True)
class Readings:
    """What is known of one model and one method.

    Attributes:
        family: published readings of the model's family.
        own: those of the checkpoint itself.
        found: whether the model's configuration could be read at all.
        file: where the checkpoint's own are, for messages.
    """

    family: tuple[Reading, ...] = ()
    own: tuple[Reading, ...] = ()
    found: bool = False
    file: str = ""


def readings_of(
    source: str | Path, method: str, config: str, *, revision: str | None = None, local_files_only: bool = False
) -> Readings:
    """What is known of a model for a method, by small JSON files alone; nothing for a model that is not there.

    Args:
        source: a folder or a Hub id.
        method: name of the method.
        config: the file that tells the kind of the model: ``model_index.json`` or ``config.json``.
        revision: branch, tag or commit on the Hub.
        local_files_only: look no further than the disk and the local Hub cache.

    Raises:
        ModelError: one of the files is damaged, in one line.
    """
    read = partial(_json, source, revision=revision, local_files_only=local_files_only)
    kind = read(config)
    if kind is None:
        return Readings()
    sizes = read("transformer/config.json") if "_class_name" in kind else kind.get("text_config")
    family = _family(method, _kind(kind), {**kind, **(sizes or {})})
    own = [each for each in _own(source, read(FILE)) if method in each.methods]
    return Readings(family, tuple(own), True, f"{source}: {FILE}")


def readings_of_loaded(source: str | Path, method: str, kind: str, sizes: Mapping[str, Any]) -> Readings:
    """The same for a model that is loaded already; nothing is asked of the Hub.

    Args:
        source: the folder or Hub id that it says it came from.
        method: name of the method.
        kind: its pipeline class or model type.
        sizes: the configuration of its transformer or language model.

    Raises:
        ModelError: ``groundkit.json`` is damaged.
    """
    found = _json(source, FILE, revision=None, local_files_only=True)
    own = [each for each in _own(source, found) if method in each.methods]
    return Readings(_family(method, kind, sizes), tuple(own), True, f"{source}: {FILE}")


def _family(method: str, kind: object, told: Mapping[str, Any]) -> tuple[Reading, ...]:
    known = [each for each in published() if method in each.methods and kind in each.models]
    return tuple(each for each in known if all(told.get(name) == size for name, size in each.sizes.items()))


def _kind(config: Mapping[str, Any]) -> object:
    return config.get("_class_name") or config.get("model_type")


def _own(source: str | Path, found: Mapping[str, Any] | None) -> tuple[Reading, ...]:
    if found is None:
        return ()
    try:
        return _File.model_validate(found).readings
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"{source}: {FILE} is not valid ({where}: {first['msg']}); mend it, or delete it") from error


def _json(source: str | Path, name: str, *, revision: str | None, local_files_only: bool) -> dict[str, Any] | None:
    """One of a model's files; None where it has none of this name, or cannot be reached."""
    place = Path(source)
    path = place / name if place.exists() else _on_hub(str(source), name, revision, local_files_only)
    if path is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{source}: {name} cannot be read ({error}); mend it, or copy it again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{source}: {name} must hold one JSON object; mend it, or copy it again")
    return content


def _on_hub(source: str, name: str, revision: str | None, local_files_only: bool) -> Path | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_OFFLINE

    from groundkit.models.locate import find_file

    try:
        cached = try_to_load_from_cache(source, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
        if cached is not None or local_files_only or HF_HUB_OFFLINE:  # known to be missing there, or not looked for
            return None
        return find_file(source, name, revision, local_files_only)[0]
    except Exception:  # whatever the Hub client raises: why a model is not to be had is told where it is loaded
        return None
