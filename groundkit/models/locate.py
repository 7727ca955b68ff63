"""Where a model is and of which kind, by one small file, before anything large is read or downloaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.constants import HF_HUB_OFFLINE
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)

from groundkit.errors import ModelError
from groundkit.models.loading import explain_loading_errors, is_passing
from groundkit.models.vision_language import FAMILIES
from groundkit.weights.catalog import find, similar

if TYPE_CHECKING:
    from groundkit.models.options import LoadOptions

# Seconds to wait for the Hub's first answer, where the user did not set the Hub client's own variable.
_PATIENCE = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", "") or 5)
_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".gguf", ".onnx")
_SAM_2 = ("sam2", "sam2_video", "edgetam", "edgetam_video")


@dataclass(frozen=True)
class Wanted:
    """A kind of model.

    Attributes:
        what: what messages call it.
        file: the file that such a model has.
        example: a Hub id that is one.
        kind: of its entries in the catalog, where these are all of this kind.
    """

    what: str
    file: str
    example: str
    kind: str = ""


DIFFUSION = Wanted("a diffusion pipeline", "model_index.json", "black-forest-labs/FLUX.1-schnell", "pipeline")
VISION_LANGUAGE = Wanted("a vision-language model", "config.json", "Qwen/Qwen2.5-VL-3B-Instruct")
SEGMENTER = Wanted("a SAM", "config.json", "facebook/sam-vit-base", "segmenter")
TRACKER = Wanted("a SAM 2", "config.json", "facebook/sam2.1-hiera-tiny", "tracker")


@dataclass(frozen=True)
class Located:
    """A model that is there.

    Attributes:
        source: the folder or Hub id.
        config: what its file says: of a pipeline ``_class_name``, of other models ``model_type``.
        local_files_only: whether the rest must come from the disk, as nothing else is wanted or can be reached.
    """

    source: str | Path
    config: Mapping[str, Any]
    local_files_only: bool


def locate(source: str | Path, wanted: Wanted, options: LoadOptions | None = None) -> Located:
    """Find a folder or a Hub id and read the file that tells its kind.

    The Hub is asked once, without retries. Where it cannot be reached, what an earlier download left is used.

    Args:
        source: a folder or a Hub id.
        wanted: the kind of model.
        options: whose revision, and whether the Hub may be asked.

    Raises:
        ModelError: nothing is there, it is of another kind, or the Hub refuses it, in one line with the remedy.
    """
    revision, local_files_only = (options.revision, options.local_files_only) if options else (None, False)
    place = Path(source)
    if place.is_file() or (not place.exists() and place.suffix.lower() in _WEIGHTS):
        near = similar(place.stem)
        example = near.source if near and "/" in near.source and near.kind == wanted.kind else wanted.example
        is_file = "this is a file" if place.is_file() else "no such file, and a file would not do"
        raise ModelError(
            f"{source}: {is_file}; {wanted.what} is a folder in the layout of {example}: give such a folder or this id"
        )
    known = None if place.exists() else find(str(source))
    if known and known.kind != (wanted.kind or "pipeline"):
        use = {"segmenter": "the segmenter", "tracker": "the tracker of a video", "pipeline": "the model"}[known.kind]
        raise ModelError(
            f"{source}: this is {known.name}, not {wanted.what}; it works as {use}; "
            f"here give one such as {wanted.example}"
        )
    with explain_loading_errors(source):
        local = local_files_only or bool(HF_HUB_OFFLINE)
        path, local = find_file(source, wanted.file, revision, local)
        if path is not None:
            config = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(config, dict):
                raise ModelError(f"{source}: {wanted.file} is damaged; copy or download it again")
            return Located(source, config, local)
    raise ModelError(f"{source}: {_what_it_is(source, wanted, revision, local)}")


def not_wanted(source: str | Path, config: Mapping[str, Any], wanted: Wanted, known: Sequence[str] = ()) -> ModelError:
    """What to say of a model that is not of the wanted kind, by its ``config``, or not of the ``known`` types of it."""
    types = f" of the types {', '.join(known)}" if known else ""
    return ModelError(f"{source}: this is {_named(config)}, not {wanted.what}{types}; {_use(config, wanted)}")


def find_file(source: str | Path, name: str, revision: str | None, local: bool) -> tuple[Path | None, bool]:
    """A file of a model, None where the model has none of this name; and whether to go on without the Hub."""
    if Path(source).is_dir():
        path = Path(source) / name
        return (path if path.is_file() else None), local
    unreached: Exception | None = None
    if not local:
        try:
            answer = get_hf_file_metadata(hf_hub_url(str(source), name, revision=revision), timeout=_PATIENCE)
            if answer.commit_hash is None:
                raise FileMetadataError("not an answer of the Hub")
        except EntryNotFoundError:
            return None, local
        except (HFValidationError, HfHubHTTPError) as error:
            if not is_passing(error):
                raise
            unreached = error
        # The Hub client changed its HTTP library more than once; of no use is whatever else it raises.
        except Exception as error:
            unreached = error
        local = unreached is not None
    try:
        return Path(hf_hub_download(str(source), name, revision=revision, local_files_only=local)), local
    except LocalEntryNotFoundError:
        files = (DIFFUSION.file, VISION_LANGUAGE.file)
        if any(isinstance(try_to_load_from_cache(str(source), file, revision=revision), str) for file in files):
            return None, local  # the model is in the cache, and of another kind
        if unreached is None:
            raise
    raise unreached


def _what_it_is(source: str | Path, wanted: Wanted, revision: str | None, local: bool) -> str:
    """Why a model that is there, but lacks the wanted file, cannot be used."""
    other = VISION_LANGUAGE if wanted is DIFFUSION else DIFFUSION
    with explain_loading_errors(source):
        path, _ = find_file(source, other.file, revision, local)
        if path is not None:
            config = json.loads(path.read_text(encoding="utf-8"))
            return str(not_wanted(source, config, wanted)).removeprefix(f"{source}: ")
    where = "folder" if Path(source).is_dir() else "model"
    return (
        f"the {where} has no {wanted.file}, as {wanted.what} has; copy or download the whole model, "
        f"or give one such as {wanted.example}"
    )


def _named(config: Mapping[str, Any]) -> str:
    if "_class_name" in config:
        return f"a diffusion pipeline ({config['_class_name']})"
    kind = config.get("model_type")
    return f"a {kind} model" if kind else "a model of no known type"


def _use(config: Mapping[str, Any], wanted: Wanted) -> str:
    """What such a model is good for."""
    kind = config.get("model_type")
    other = f"give one such as {wanted.example}"
    if "_class_name" in config and wanted is not DIFFUSION:
        return f'read it with pipeline="refam", or {other}'
    if kind == "sam":
        return f"it works as the segmenter; here {other}"
    if kind in _SAM_2:
        return f"it works as the tracker of a video; here {other}"
    if wanted is not VISION_LANGUAGE and kind in FAMILIES.names:
        return f'read it with pipeline="vlsam", or {other}'
    return other
