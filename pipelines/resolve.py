"""Which settings a method runs with, and where each comes from. Nothing here imports torch or loads a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groundkit.errors import ConfigError, ModelError, unknown
from groundkit.models.readings import Reading, Readings, readings_of
from groundkit.pipelines import ensemble_config, refam_config, vlsam_config
from groundkit.pipelines.shared_config import EvidenceSettings
from groundkit.settings import Given, Settings
from groundkit.weights.catalog import source_of

PRESETS: dict[str, dict[str, object]] = {**refam_config.PRESETS, **vlsam_config.PRESETS, **ensemble_config.PRESETS}


def check_pipeline(name: str) -> str:
    """Return the name of a pipeline. Raises ConfigError when there is none of this name."""
    if name not in PRESETS:
        raise ConfigError(unknown("pipeline", name, PRESETS))
    return name


def readings_for(
    pipeline: str, model: str | Path, *, revision: str | None = None, local_files_only: bool = False
) -> Readings:
    """What is known of a model for a method, see :func:`~groundkit.models.readings.readings_of`.

    Raises:
        ConfigError: an unknown pipeline.
        ModelError: one of the model's small files is damaged.
    """
    where: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only}
    if check_pipeline(pipeline) in refam_config.PRESETS:
        return readings_of(source_of(model, "flux"), pipeline, "model_index.json", **where)
    if pipeline in vlsam_config.PRESETS:
        return readings_of(source_of(model, "llava"), pipeline, "config.json", **where)
    return Readings(found=True)  # an ensemble's members have their own


def resolve(
    pipeline: str,
    given: Mapping[str, Any] | None = None,
    readings: Readings | None = None,
) -> EvidenceSettings:
    """Every setting of a method as it runs.

    Later ones win: the method's own, those published for the model's family, those of the checkpoint, of the preset
    that is asked for (``preset``), and those that are given.

    Args:
        pipeline: its name.
        given: the settings that are given; of a ``Given`` it is known where they come from. ``pipeline`` may say which
            one they are for.
        readings: what is known of the model; None where that is not known yet: then only what is given is checked.

    Raises:
        ConfigError: an unknown pipeline, preset or setting, a value that a setting cannot take, or settings for another
            pipeline.
    """
    given = Given(given or {})
    name, meant = given.pop("preset", None), given.pop("pipeline", pipeline)
    if meant != pipeline:
        raise ConfigError(f"these settings are for {meant}, not for {pipeline}: use the pipeline {meant}")
    kind = _kind(pipeline)
    method = Given(PRESETS[pipeline], "method")
    brought = [_checked(each, method, kind, readings) for each in _chosen(readings, name)]
    settings = kind.read(method, *brought, given)
    if isinstance(settings, ensemble_config.EnsembleConfig):
        for member in settings.members:
            settings.check_member(member, resolve(member, settings.of_member(member)))
    return settings


def _chosen(readings: Readings | None, preset: str | None) -> list[Reading]:
    """The readings that apply, the strongest last."""
    if readings is None:
        return []
    named = [each for each in readings.own if each.preset is not None]
    if preset is not None and not any(each.preset == preset for each in named):
        names = list(dict.fromkeys(str(each.preset) for each in named))
        raise ConfigError(
            unknown("preset", preset, names) if names else f"preset={preset}: this model has none for this method"
        )
    always = [each for each in readings.own if each.preset is None]
    return [*readings.family, *always, *(each for each in named if each.preset == preset)]


def _checked(reading: Reading, method: Given, kind: type[Settings], readings: Readings | None) -> Given:
    """The settings of a reading. Raises ModelError that names the checkpoint's file where one of them is wrong."""
    brought = Given(reading.settings, _origin(reading, readings), lenient=True)
    try:
        kind.read(method, brought)
    except ConfigError as error:
        raise ModelError(f"{readings.file if readings else ''}: {error}") from error
    return brought


def _origin(reading: Reading, readings: Readings | None) -> str:
    if readings is not None and reading in readings.family:
        return "family, a guess" if reading.guess else "family"
    return "checkpoint" if reading.preset is None else f"preset {reading.preset}"


def sources_of(readings: Readings) -> dict[str, str]:
    """Who says so, by the origins of settings that come with a model."""
    return {_origin(each, readings): each.source for each in (*readings.family, *readings.own)}


def _kind(pipeline: str) -> type[EvidenceSettings]:
    if check_pipeline(pipeline) in refam_config.PRESETS:
        return refam_config.RefAMConfig
    return vlsam_config.VLSAMConfig if pipeline in vlsam_config.PRESETS else ensemble_config.EnsembleConfig
