"""Items that go through a model several at a time, and fewer at a time where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from groundkit.errors import ConfigError, OutOfMemoryError
from groundkit.memory import explain_out_of_memory, free_bytes

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

BatchSize: TypeAlias = int | Literal["auto"]
"""The maximum number of items in a batch; ``auto``: see :func:`batch_size`."""

_log = logging.getLogger("groundkit")
_ON_CPU = 8  # a CPU gains nothing beyond: its cores are busy
_ON_GPU = 32


def in_batches(
    items: Sequence[Item],
    run: Callable[[Sequence[Item]], Sequence[Result]],
    *,
    limit: BatchSize = "auto",
    device: torch.device | None = None,
    item_bytes: int = 0,
) -> list[Result]:
    """Run items in batches; where memory runs out, the batch is halved and run again, down to single items.

    Args:
        items: in any number.
        run: gives one result per item of a batch, in their order.
        limit: the maximum size of a batch, or ``auto``.
        device: where ``run`` computes; by default the CPU.
        item_bytes: an estimate of the memory that one item takes while it runs, for ``auto``; 0 for little.

    Returns:
        One result per item, in their order.

    Raises:
        OutOfMemoryError: memory does not suffice for one item.

    Example:
        >>> in_batches([1, 2, 3], lambda batch: [2 * item for item in batch], limit=2)
        [2, 4, 6]
    """
    size = batch_size(limit, device, item_bytes) if len(items) > 1 else 1
    results: list[Result] = []
    while len(results) < len(items):
        batch = items[len(results) : len(results) + size]
        try:
            with explain_out_of_memory():
                found = run(batch)
        except OutOfMemoryError:
            if len(batch) == 1:
                raise
            size = len(batch) // 2
            _log.info("memory does not suffice for a batch of %d: going on with %d", len(batch), size)
            continue
        if len(found) != len(batch):
            raise ValueError(f"a batch of {len(batch)} gave {len(found)} results")
        results += found
    return results


def batch_size(limit: BatchSize, device: torch.device | None = None, item_bytes: int = 0) -> int:
    """The size with which batches begin: ``limit``, or for ``auto`` what half of the free memory holds, and at most 8
    on a CPU and 32 on a GPU. A GPU that does not tell its free memory begins with 32."""
    if limit != "auto":
        return limit
    most = _ON_CPU if device is None or device.type == "cpu" else _ON_GPU
    free = free_bytes(device) if item_bytes else None
    return most if free is None else max(1, min(most, free // 2 // item_bytes))


def read_batch_size(given: object) -> BatchSize:
    """``auto``, or a whole number from 1, also as text.

    Raises:
        ConfigError: something else.
    """
    if given == "auto":
        return "auto"
    if isinstance(given, int | str) and not isinstance(given, bool) and str(given).isdecimal() and int(given) >= 1:
        return int(given)
    raise ConfigError(f"batch_size={given!r}: must be auto or a whole number from 1")
