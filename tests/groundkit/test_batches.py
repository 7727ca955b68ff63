"""Batches are halved where memory runs out, and give what the items give one by one."""

from __future__ import annotations

from collections.abc import Sequence

import psutil
import pytest
import torch

import groundkit
from groundkit.batches import BatchSize, batch_size, in_batches, read_batch_size
from groundkit.errors import ConfigError, OutOfMemoryError
from groundkit.memory import free_bytes


class Small:
    """A device that holds a few items at a time."""

    def __init__(self, holds: int) -> None:
        self.holds = holds
        self.tried: list[int] = []

    def run(self, batch: Sequence[int]) -> list[int]:
        self.tried.append(len(batch))
        if len(batch) > self.holds:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return [item * item for item in batch]


@pytest.mark.parametrize("holds", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 20])
@pytest.mark.parametrize("limit", ["auto", 1, 3, 100])
def test_every_item_gets_its_result_in_order_however_little_fits(holds: int, count: int, limit: BatchSize) -> None:
    device = Small(holds)
    assert in_batches(range(count), device.run, limit=limit) == [item * item for item in range(count)]
    refused = [size for size in device.tried if size > holds]
    assert len(refused) <= 7  # a size that was refused is not tried again
    assert len(set(refused)) == len(refused)


def test_what_does_not_fit_alone_is_the_usual_line() -> None:
    device = Small(0)
    with pytest.raises(OutOfMemoryError, match='dtype="bfloat16"') as told:
        in_batches(range(4), device.run, limit=4)
    assert device.tried == [4, 2, 1]
    assert "\n" not in str(told.value)


def test_memory_that_a_step_inside_reports_in_one_line_halves_the_batch_too() -> None:
    def run(batch: Sequence[int]) -> list[int]:
        if len(batch) > 1:
            raise OutOfMemoryError("the GPU is out of memory")
        return list(batch)

    assert in_batches([3, 4], run, limit=2) == [3, 4]


def test_other_errors_end_the_run_at_once() -> None:
    tried: list[int] = []

    def run(batch: Sequence[int]) -> list[int]:
        tried.append(len(batch))
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        in_batches(range(4), run)
    assert tried == [4]


def test_a_batch_that_lacks_results_is_a_bug() -> None:
    with pytest.raises(ValueError, match="a batch of 3 gave 2 results"):
        in_batches([1, 2, 3], lambda batch: batch[1:])


def test_auto_takes_no_more_than_half_of_the_free_memory() -> None:
    free = psutil.virtual_memory().available
    assert free_bytes() == pytest.approx(free, rel=0.2)
    assert batch_size("auto", item_bytes=free) == 1
    assert batch_size("auto", item_bytes=free // 9) in (3, 4, 5)
    assert batch_size("auto", item_bytes=1) == 8
    assert batch_size(3, item_bytes=free) == 3


@pytest.mark.parametrize("kind", ["xpu", "meta"])
def test_a_device_that_does_not_tell_its_free_memory_is_not_asked(kind: str) -> None:
    device = torch.device(kind)
    assert free_bytes(device) is None
    assert batch_size("auto", device, item_bytes=2**60) == 32
    assert in_batches([1, 2, 3], list, device=device, item_bytes=2**60) == [1, 2, 3]


def test_a_batch_size_is_auto_or_a_number() -> None:
    assert [read_batch_size(given) for given in ("auto", "12", 1)] == ["auto", 12, 1]
    for wrong in (0, -1, "0", "many", True, 1.5, None, ""):
        with pytest.raises(ConfigError, match="must be auto or a whole number from 1"):
            read_batch_size(wrong)


@pytest.mark.parametrize("pipeline", ["refam", "vlsam"])
def test_a_loaded_pipeline_reads_with_the_batch_size(pipeline: str) -> None:
    loaded = groundkit.load(pipeline, device="cpu", local_files_only=True, batch_size=3)
    assert loaded.batch_size == 3
    assert loaded.with_config(evidence=False).batch_size == 3
    with pytest.raises(ConfigError, match="batch_size='all'"):
        groundkit.load(pipeline, batch_size="all")  # type: ignore[call-overload]
