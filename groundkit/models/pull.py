"""Download a checkpoint into the Hugging Face cache: only the files that are read, checked against their hashes."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from groundkit.errors import ModelError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEXTS = (".json", ".jinja", ".txt", ".model")  # configurations, chat templates, vocabularies
_PICKLED = (".bin", ".pt", ".pth")
_SHARE_FREE = 1.02  # of the size of a download; the file system needs a little itself


@dataclass(frozen=True)
class Download:
    """What is to be downloaded.

    Attributes:
        source: the Hub id.
        revision: the commit.
        files: the names of all files that are read.
        missing: bytes that are not on disk yet.
        cache: the folder of the Hugging Face cache.
    """

    source: str
    revision: str
    files: tuple[str, ...]
    missing: int
    cache: Path


def plan(source: str, *, revision: str | None = None, variant: str | None = None) -> Download:
    """Ask the Hub what a model consists of, and how much of it is missing here.

    Args:
        source: a Hub id.
        revision: branch, tag or commit.
        variant: of the weight files, such as ``fp16``.

    Raises:
        ModelError: the Hub does not give it, in one line with the remedy, or the disk has too little room.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    from groundkit.models.loading import explain_loading_errors
    from groundkit.models.locate import DIFFUSION, VISION_LANGUAGE, find_file

    cache = Path(constants.HF_HUB_CACHE)
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"{source}: HF_HUB_OFFLINE is set; unset it to download models")
    with explain_loading_errors(source):
        # Asked once and without retries: what refuses this refuses all.
        path, offline = find_file(source, VISION_LANGUAGE.file, revision, False)
        if path is None:
            path, offline = find_file(source, DIFFUSION.file, revision, offline)
        if offline:
            raise ModelError(f"{source}: the Hub was not reached, so that nothing can be downloaded; check the network")
        about = HfApi().model_info(source, revision=revision)
        files = wanted_files([each.rfilename for each in about.siblings or ()], variant)
        listed = snapshot_download(source, revision=about.sha, allow_patterns=_exactly(files), dry_run=True)
    if path is None or not files:
        raise ModelError(f"{source}: the model has no weights that groundkit reads; {_a_known_one()}")
    missing = sum(each.file_size or 0 for each in listed if not isinstance(each, str) and each.will_download)
    free = shutil.disk_usage(_existing(cache)).free
    if missing * _SHARE_FREE > free:
        raise ModelError(
            f"{source}: needs {missing / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {cache}; free some space, "
            "or set HF_HOME to a folder on another disk"
        )
    return Download(source, about.sha or "main", files, missing, cache)


def pull(download: Download) -> Path:
    """Download the files that are missing, and check what came. A connection that breaks is taken up where it broke.

    Returns:
        The folder of the model in the cache.

    Raises:
        ModelError: the connection broke, the disk is full, or a file is not what the Hub says it is.
    """
    from huggingface_hub import snapshot_download

    from groundkit.models.loading import explain_loading_errors, is_of_network

    with explain_loading_errors(download.source):
        try:
            folder = Path(
                snapshot_download(download.source, revision=download.revision, allow_patterns=_exactly(download.files))
            )
        except Exception as error:  # the Hub client changed its HTTP library more than once
            if isinstance(error, OSError) and error.errno in _FULL:
                why = f"the disk with {download.cache} is full; free some space and"
            elif is_of_network(error) or "Consistency check failed" in str(error):
                why = "the download broke off; check the network, and"
            else:
                raise
            raise ModelError(f"{download.source}: {why} pull again: files that are complete are kept") from error
    for name in download.files:
        _check(download.source, folder / name)
    return folder


def wanted_files(names: Sequence[str], variant: str | None = None) -> tuple[str, ...]:
    """The files of a model that are read: of a diffusion pipeline those in its parts' folders, never its single file.

    Weights are taken as safetensors where a folder has them, and of one variant.

    >>> wanted_files(["config.json", "README.md", "model.safetensors", "pytorch_model.bin", "model.fp16.safetensors"])
    ('config.json', 'model.safetensors')
    """
    parts = "model_index.json" in names
    kept = [name for name in names if not any(part.startswith(".") for part in PurePosixPath(name).parts)]
    texts = [name for name in kept if name.endswith(_TEXTS) and _variant_of(name) in (None, variant)]
    weights = [name for name in kept if name.endswith((".safetensors", *_PICKLED)) and ("/" in name) == parts]
    wanted = []
    for folder in dict.fromkeys(str(PurePosixPath(name).parent) for name in weights):
        here = [name for name in weights if str(PurePosixPath(name).parent) == folder]
        safe = [name for name in here if name.endswith(".safetensors")] or here
        wanted += [name for name in safe if _variant_of(name) == variant] or [n for n in safe if not _variant_of(n)]
    return tuple(sorted({*texts, *wanted}))


def _variant_of(name: str) -> str | None:
    """``fp16`` of ``model.fp16.safetensors`` and of ``model.fp16-00001-of-00002.safetensors``."""
    match = re.search(r"\.(fp16|bf16|fp32|non_ema|ema)[.-]", name)
    return match[1] if match else None


def _exactly(files: Sequence[str]) -> list[str]:
    """Patterns that match these names alone."""
    return [re.sub(r"([*?\[])", r"[\1]", name) for name in files]


def _check(source: str, file: Path) -> None:
    """Compare a large file with its SHA-256, which is its name in the cache; what differs is removed.

    Raises:
        ModelError: it differs.
    """
    blob = file.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return
    with blob.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if digest != blob.name:
        file.unlink()
        blob.unlink()
        raise ModelError(
            f"{source}: {file.name} is not what the Hub says it is (its SHA-256 differs) and was removed; pull again"
        )


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())


def _a_known_one() -> str:
    from groundkit.weights.catalog import entries

    return f"known ones: {', '.join(entry.alias for entry in entries() if entry.alias)}"
