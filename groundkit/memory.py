"""Out of memory, on a GPU or in main memory, as one line with what helps."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from groundkit.errors import OutOfMemoryError

if TYPE_CHECKING:
    import torch

# What torch says of it as a plain RuntimeError: on MPS, of main memory, and in the libraries of CUDA.
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "Invalid buffer size",
    "ALLOC_FAILED",
    "Insufficient memory",  # OpenCV's
)
_ON_GPU = ("CUDA", "HIP", "MPS", "CUBLAS", "CUDNN", "buffer size", "ALLOC_FAILED")


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Leave out the search for garbage in a ``with`` block or function, and put it back as it was.

    Imports and weights make a million objects that all stay; searching them repeatedly takes about a second. At the end
    they go straight to the oldest generation, where they would be after two such searches.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():  # what the caller has frozen would be thawed, too
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of torch, OpenCV or Python says that memory ran out."""
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    is_from_library = isinstance(error, RuntimeError) or type(error).__module__.startswith("cv2")
    return is_from_library and any(sign in str(error) for sign in _SIGNS)


def free_bytes(device: torch.device | None = None) -> int | None:
    """How much memory a device has left, in bytes; by default main memory. None for kinds of devices that do not tell.

    What torch keeps of a GPU for later counts as free.
    """
    import psutil
    import torch

    if device is None or device.type == "cpu":
        return int(psutil.virtual_memory().available)
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return None


@contextmanager
def explain_out_of_memory() -> Iterator[None]:
    """Raise what says that memory ran out inside the ``with`` block as a one-line ``OutOfMemoryError``.

    What the failed step held is let go, so that the next picture can be tried.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        text, remedies = str(error), 'a smaller picture (config={"max_pixels": 500000} for a vision-language model)'
        cause = error.with_traceback(None)
    else:
        return
    import torch

    gc.collect()
    if any(sign in text for sign in _ON_GPU) or isinstance(cause, torch.OutOfMemoryError):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if torch.backends.mps.is_available():
            torch.mps.empty_cache()
        raise OutOfMemoryError(
            f'the GPU is out of memory: try offload=True, {remedies}, dtype="bfloat16", or device="cpu"'
        ) from cause
    raise OutOfMemoryError(f'main memory is full: try {remedies}, dtype="bfloat16", or a smaller model') from cause
