"""Which settings a method runs with, and where each comes from. Nothing here imports torch or loads a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from groundkit.errors import ConfigError, unknown
from groundkit.pipelines import ensemble, refam_config, video_config, vlsam_config
from groundkit.pipelines.shared_config import EvidenceSettings
from groundkit.weights.catalog import NANO_LOOKING, NANO_READING

PRESETS: dict[str, dict[str, object]] = {**refam_config.PRESETS, **vlsam_config.PRESETS, **ensemble.PRESETS}


def check_pipeline(name: str) -> str:
    """Return the name of a pipeline. Raises ConfigError when there is none of this name."""
    if name not in PRESETS:
        raise ConfigError(unknown("pipeline", name, PRESETS))
    return name


def layers_of(pipeline: str, model: str | Path = "nano") -> dict[str, Mapping[str, Any]]:
    """The settings that apply before any that is given, by where they come from; later ones win.

    Raises:
        ConfigError: an unknown pipeline.
    """
    checkpoint: Mapping[str, Any] = {}
    if str(model) == "nano" and pipeline == "refam":  # cross-attention is read plainly
        checkpoint = NANO_READING
    elif str(model) == "nano" and pipeline in vlsam_config.PRESETS:
        checkpoint = NANO_LOOKING
    return {"checkpoint": checkpoint, "preset": PRESETS[check_pipeline(pipeline)]}


def resolve(
    pipeline: str, model: str | Path = "nano", config: Mapping[str, Any] | None = None, *, clips: bool | None = None
) -> EvidenceSettings:
    """Every setting of a method as it runs.

    Args:
        pipeline: its name.
        model: what it reads: a checkpoint may have settings of its own.
        config: the settings that are given.
        clips: whether the model looks at clips; None where that is not known yet: then its settings are allowed.

    Raises:
        ConfigError: an unknown pipeline, a setting that does not exist, or a value that it cannot take.
    """
    given = {} if config is None else config
    settings = _merged({**layers_of(pipeline, model), "given": given})
    return _reader(pipeline, clips if clips is not None else "frames" in given)(settings)


@dataclass(frozen=True)
class Setting:
    """One setting as a method runs with it: its JSON-ready value, where that comes from, and what it does."""

    name: str
    value: Any
    origin: str
    description: str


def settings_of(
    pipeline: str, model: str | Path = "nano", given: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Setting]:
    """Every setting of a method, those for clips too.

    Args:
        pipeline: its name.
        model: what it reads.
        given: settings by where they come from, such as ``{"file": ..., "--set": ...}``; later ones win.

    Raises:
        ConfigError: see ``resolve``.
    """
    given = {} if given is None else given
    clips = pipeline in refam_config.PRESETS
    config = resolve(pipeline, model, _merged(given), clips=clips)
    return _told(config, {**layers_of(pipeline, model), **given})


def video_settings(given: Mapping[str, Mapping[str, Any]]) -> list[Setting]:
    """The same for following through videos."""
    return _told(video_config.read_config(_merged(given)), given)


def _merged(layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {key: value for layer in layers.values() for key, value in layer.items()}


def _told(config: BaseModel, layers: Mapping[str, Mapping[str, Any]]) -> list[Setting]:
    values = config.model_dump(mode="json")
    return [
        Setting(
            name,
            values[name],
            next((origin for origin, layer in reversed(list(layers.items())) if name in layer), "default"),
            info.description or "",
        )
        for name, info in type(config).model_fields.items()
    ]


def _reader(pipeline: str, clips: bool) -> Callable[[Mapping[str, Any]], EvidenceSettings]:
    if pipeline in refam_config.PRESETS:
        return refam_config.read_clip_config if clips else refam_config.read_config
    return vlsam_config.read_config if pipeline in vlsam_config.PRESETS else ensemble.read_config
