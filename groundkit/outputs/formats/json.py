"""What was found, as JSON with the masks as COCO run-length encoding."""

from __future__ import annotations

import json
from pathlib import Path

from groundkit.outputs.atomic import write_text
from groundkit.outputs.formats.base import Format, Source, mask_names
from groundkit.outputs.record import discovery_record, full_record
from groundkit.results import Discovery, Grounding


class Json(Format):
    """The record of a result, see ``outputs.record``; ``masks`` are the names of PNG files beside it."""

    ending = ".json"

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        if isinstance(result, Discovery):
            record = discovery_record(result, source.name)
        else:
            masks = mask_names(path.with_suffix(".png"), len(result.run_lengths)) if "png" in source.formats else []
            record = full_record(result, source.name, [file.name for file in masks])
        return [write_text(path, json.dumps(record, indent=2) + "\n")]


FORMAT = Json()
