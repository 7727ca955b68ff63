"""The attention maps that a result was made of, as NumPy's archive; ``AttentionMaps.load`` reads it."""

from __future__ import annotations

from pathlib import Path

from groundkit.errors import ConfigError
from groundkit.outputs.formats.base import Format, Part, Source
from groundkit.results import Discovery, Grounding
from groundkit.stages.trace import Trace


class Npz(Format):
    """The maps of the reading, before any stage, as the result keeps them: averaged over layers and heads."""

    ending = ".npz"
    needs = frozenset[Part]({"steps"})

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        steps = result.steps if isinstance(result, Grounding) else None
        if not isinstance(steps, Trace) or not steps.steps:
            raise ConfigError("npz: this result keeps no attention maps; choose another format")
        steps.steps[0].maps.save(path)
        return [path]


FORMAT = Npz()
