"""Turn the many ways in which loading a model fails into one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

from huggingface_hub.constants import ENDPOINT
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError

from groundkit.errors import GroundkitError, ModelError
from groundkit.memory import is_out_of_memory
from groundkit.models.quiet import quiet_libraries
from groundkit.weights.catalog import similar

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
        if is_out_of_memory(error):
            raise
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


def is_passing(error: Exception) -> bool:
    """Whether the Hub may well answer otherwise in a while: it is overloaded, or not reached at all."""
    status = _status(error)
    return status is not None and (status in (408, 429) or status >= 500)


def _status(error: BaseException) -> int | None:
    """The HTTP status with which the Hub refused, None for other errors."""
    if not isinstance(error, HfHubHTTPError):
        return None
    status = getattr(error.response, "status_code", None)
    return status if isinstance(status, int) else None


def _what_to_do(source: str | Path, error: Exception) -> str:
    """The failure in plain words with its remedy; the first cause that is recognised decides."""
    causes = list(_causes(error))

    def any_is(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    status = next((found for found in map(_status, causes) if found is not None), None)
    if any_is(GatedRepoError):
        return (
            f"this model is gated; accept its terms at https://huggingface.co/{source} "
            "and set HF_TOKEN to a token of that account"
        )
    if any_is(RepositoryNotFoundError):
        return (
            f"no such folder, and no such model on the Hub; {_meant(source)}check the name, "
            "or set HF_TOKEN if the model is private"
        )
    if any_is(RevisionNotFoundError):
        return "the model has no such revision; check the branch, tag or commit"
    if any_is(HFValidationError):
        return "no such folder; give an existing model folder, or a Hub id such as facebook/sam-vit-base"
    if status == 401:
        return "the Hub does not accept the token; renew it (hf auth login), or unset HF_TOKEN: public models need none"
    if status == 403:
        return "the Hub refuses access (403); use a token that may read this model, and accept the model's terms"
    if status == 429:
        return "the Hub asks to wait (429, too many requests); try again in a few minutes, or log in (hf auth login)"
    if status is not None and status >= 500:
        return f"the Hub has a fault of its own ({status}); try again later"
    if any_is(OfflineModeIsEnabled) or (any_is(LocalEntryNotFoundError) and status is None):
        return (
            f"no such folder, and not in the local Hub cache; {_meant(source)}go online and run once without "
            "local_files_only=True or HF_HUB_OFFLINE to download it, or give a model folder"
        )
    if any_is(FileMetadataError):
        return f"what answers at {ENDPOINT} is not the Hub; sign in to the network, and check proxy and HF_ENDPOINT"
    if any_is(ConnectionError, TimeoutError) or any(is_of_network(cause) for cause in causes):
        return (
            f"no such folder, not in the local Hub cache, and the Hub was not reached at {ENDPOINT}; "
            f"{_meant(source)}check the network, or give a model folder"
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


def is_of_network(error: BaseException) -> bool:
    """The Hub client's HTTP library has no public name here, and other than Python's own errors."""
    return any(kind.__name__ in ("TransportError", "TimeoutException") for kind in type(error).__mro__)


def _meant(source: str | Path) -> str:
    near = similar(str(source))
    return f"did you mean {near.source}? If not, " if near and near.source != str(source) else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".:; ") if lines else type(error).__name__
