"""Which reader of ``groundkit.evaluation.videos.cases`` a path is for."""

from __future__ import annotations

from pathlib import Path

from groundkit.errors import InputError
from groundkit.evaluation.videos.cases import (
    VideoCase,
    read_mevis,
    read_ref_davis,
    read_ref_youtube_vos,
    read_video_cases,
)


def read_video_set(path: Path, limit: int | None = None, split: str | None = None) -> list[VideoCase]:
    """Read the cases of a JSON-lines file or of a data set's folder, recognised by its contents:

    - ``davis_text_annotations/``: Ref-DAVIS17; ``split`` is ``val`` unless given;
    - ``meta_expressions/``: Ref-YouTube-VOS, or Ref-DAVIS17 in its layout; ``split`` is ``valid`` unless given;
    - ``meta_expressions.json``, or ``<split>/meta_expressions.json``: MeViS, one split; only ``valid_u`` and ``train``
      have masks, and ``valid_u`` is taken unless given.

    Args:
        path: the file or folder.
        limit: read at most this many cases.
        split: of the data set; a file has none.

    Raises:
        InputError: for a folder of another kind, a split of a file, and as the readers do.
    """
    if not path.is_dir():
        if split is not None:
            raise InputError(f"{path} is a file and has no split {split}: leave it out, or give a data set's folder")
        return read_video_cases(path, limit)
    if (path / "davis_text_annotations").is_dir():
        return read_ref_davis(path, limit, split or "val")
    if (path / "meta_expressions").is_dir():
        return read_ref_youtube_vos(path, limit, split or "valid")
    if split is None and (path / "meta_expressions.json").is_file():
        return read_mevis(path, limit)
    if (path / (split or "valid_u") / "meta_expressions.json").is_file():
        return read_mevis(path / (split or "valid_u"), limit)
    wanted = "" if split is None else f" with a split {split}"
    raise InputError(
        f"{path} is no Ref-DAVIS17 (davis_text_annotations/), Ref-YouTube-VOS (meta_expressions/) or MeViS "
        f"(meta_expressions.json){wanted}: give such a folder, or a .jsonl file"
    )
