"""The diffusion family that reads a checkpoint: the file with the name of the pipeline's folder in diffusers.

A family from outside is an entry point of the group ``groundkit.families`` with that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers.pipelines

from groundkit.errors import ModelError
from groundkit.models.diffusion.base import DiffusionModel
from groundkit.models.locate import DIFFUSION, Located, locate
from groundkit.models.options import LoadOptions
from groundkit.plugins import Registry

FAMILIES = Registry(
    Path(__file__).parent,
    __package__ or "",
    "FAMILY",
    "groundkit.families",
    frozenset({"base", "families", "loading", "look"}),
)


def diffusion_family(source: str | Path | Located, options: LoadOptions | None = None) -> type[DiffusionModel]:
    """The family that reads a hub id or a folder, by the pipeline class that it names. No weight is loaded.

    Raises:
        ModelError: with one line that says what is missing, refused or unknown, and what to do.
    """
    located = source if isinstance(source, Located) else locate(source, DIFFUSION, options)
    return _family(str(located.config.get("_class_name")), located.source)


def family_around(pipeline: Any) -> DiffusionModel:
    """A pipeline that is loaded already, as the family that reads it; nothing of it is changed.

    Raises:
        ModelError: no family reads pipelines of this class.
    """
    name = str(pipeline.config.get("_name_or_path") or type(pipeline).__name__)
    return _family(type(pipeline).__name__, name)(pipeline, name, pipeline.device)


def _family(kind: str, source: str | Path) -> type[DiffusionModel]:
    # diffusers knows the folder of a pipeline without importing it.
    known_to_diffusers: Mapping[str, list[str]] = diffusers.pipelines._import_structure
    folder = next((name for name, classes in known_to_diffusers.items() if kind in classes), "")
    if folder in FAMILIES.names:
        family = FAMILIES.load(folder)
        if isinstance(family, type) and issubclass(family, DiffusionModel) and kind in family.pipelines:
            return family
    known = ", ".join(name for own in FAMILIES.own for name in FAMILIES.load(own).pipelines)
    raise ModelError(f"{source}: no family for pipelines of class {kind}; there are {known}")
