"""Turn the many ways in which loading a model fails into one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

from groundkit.errors import GroundkitError, ModelError
from groundkit.models.quiet import quiet_libraries

_VOCABULARIES = ("tokenizer.json", "vocab*", "*.model")  # of tokenizers, word pieces and byte pairs, SentencePiece


@contextmanager
def explain_loading_errors(source: str | Path) -> Iterator[None]:
    """Raise whatever the loading libraries raise inside the ``with`` block as one-line ``ModelError``.

    ``source`` is the Hub id or the folder that is loaded; it opens the message. The block should hold calls of
    ``from_pretrained`` and their like and nothing else, since every exception in it is taken for a failure to load.
    Errors of groundkit's own pass through unchanged.
    """
    try:
        with quiet_libraries():
            yield
    except GroundkitError:
        raise
    # diffusers, transformers and huggingface_hub share no base class and let KeyError or TypeError through as well.
    except Exception as error:
        raise ModelError(f"{source}: {_what_to_do(source, error)}") from error


def check_model_folder(source: str | Path, *required: str) -> None:
    """Raise ``ModelError`` when ``source`` is a folder that lacks one of the ``required`` files (names or globs).

    A source that is no folder is left to the Hub.
    """
    folder = Path(source)
    if not folder.is_dir():
        return
    for pattern in required:
        if not any(folder.glob(pattern)):
            missing = pattern.lstrip("*")
            raise ModelError(f"{source}: the folder has no {missing}; copy or download the whole model folder again")


def check_vocabulary(folder: Path) -> None:
    """Raise ``ModelError`` when a tokenizer's folder lacks its words: transformers would load it knowing none."""
    if folder.is_dir() and not any(file for kind in _VOCABULARIES for file in folder.glob(kind)):
        raise ModelError(f"{folder}: the tokenizer has no vocabulary; copy or download the whole model folder again")


def _what_to_do(source: str | Path, error: Exception) -> str:
    """The failure in plain words with its remedy; the first cause that is recognised decides."""
    causes = list(_causes(error))

    def any_is(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if any_is(GatedRepoError):
        return (
            f"this model is gated; accept its terms at https://huggingface.co/{source} "
            "and set HF_TOKEN to a token of that account"
        )
    if any_is(RepositoryNotFoundError):
        return "no such folder, and no such model on the Hub; check the name, or set HF_TOKEN if the model is private"
    if any_is(RevisionNotFoundError):
        return "the model has no such revision; check the branch, tag or commit"
    if any_is(HFValidationError):
        return "no such folder; give an existing model folder, or a Hub id such as facebook/sam-vit-base"
    if any_is(LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError):
        return (
            "no such folder, not in the local Hub cache, and the Hub was not reached; go online and run once "
            "without --offline or HF_HUB_OFFLINE to download it, or give a model folder"
        )
    if any_is(SafetensorError):
        return f"the weights are damaged or incomplete ({_first_line(error)}); copy or download them again"
    if any_is(JSONDecodeError, UnicodeDecodeError):
        return f"a JSON file of the model is damaged ({_first_line(error)}); copy or download it again"
    if any_is(EntryNotFoundError) or "no file named" in str(error):
        return f"a file is missing ({_first_line(error)}); download the whole model, or check the variant"
    if "ignore_mismatched_sizes" in str(error):
        tensor = re.search(r"because (\S+) expected shape (.+?), but got (.+?)\. ", str(error))
        named = f" ({tensor[1]} has the shape {tensor[3]} instead of {tensor[2]})" if tensor else ""
        return f"the weights do not fit config.json{named}; both must come from the same model"
    return f"cannot be loaded ({_first_line(error)})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:; ") if lines else type(error).__name__
