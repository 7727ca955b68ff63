"""Memory that runs out is one line with what helps, whichever library says it, and the next picture is tried."""

from __future__ import annotations

import gc
import weakref
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch

import groundkit
from groundkit.errors import OutOfMemoryError
from groundkit.memory import explain_out_of_memory, is_out_of_memory, paused_garbage_collection
from groundkit.models.loading import explain_loading_errors
from groundkit.results import Grounding

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
ON_GPU = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of"),
    RuntimeError("MPS backend out of memory (MPS allocated: 18.13 GB, other allocations: 1.02 MB)"),
    RuntimeError("Invalid buffer size: 20.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
IN_MAIN_MEMORY = [
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError(),
]


@pytest.mark.parametrize("error", ON_GPU, ids=["cuda", "mps", "mps buffer", "cublas"])
def test_a_full_gpu_is_one_line_with_the_remedies(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError) as told, explain_out_of_memory():
        raise error
    for remedy in ("offload=True", "max_pixels", 'dtype="bfloat16"'):
        assert remedy in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("error", IN_MAIN_MEMORY, ids=["linux", "windows", "python"])
def test_full_main_memory_is_one_line_without_offloading(error: Exception) -> None:
    with pytest.raises(OutOfMemoryError, match="main memory is full") as told, explain_out_of_memory():
        raise error
    assert "offload" not in str(told.value)
    assert "\n" not in str(told.value)


def test_an_allocation_that_is_really_refused_is_known() -> None:
    with pytest.raises(OutOfMemoryError, match="main memory is full"), explain_out_of_memory():
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("out of memory"), ValueError("not enough memory")])
def test_other_errors_pass_unchanged(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as passed, explain_out_of_memory():
        raise error
    assert passed.value is error


def test_what_the_failed_step_held_is_let_go() -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def step() -> None:
        large = torch.zeros(10)
        held.append(weakref.ref(large))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(OutOfMemoryError) as told, explain_out_of_memory():
        step()
    gc.collect()
    assert held[0]() is None
    assert told.value.__cause__ is not None


def test_loading_says_what_helps_and_not_that_the_model_is_bad() -> None:
    with pytest.raises(OutOfMemoryError), explain_out_of_memory(), explain_loading_errors("owner/model"):
        raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("pipeline", ["refam", "vlsam", "ensemble"])
def test_the_next_picture_is_tried(pipeline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = "nano,nano" if pipeline == "ensemble" else "nano"
    loaded: Any = groundkit.load(pipeline, model=model, device="cpu", local_files_only=True)
    embed, full = loaded.segmenter.embed, [True]

    def full_at_first(image: Any) -> Any:
        if full[0]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(image)

    for each in (loaded, *getattr(loaded, "members", ())):
        monkeypatch.setattr(each.segmenter, "embed", full_at_first)
    (failed,) = loaded.ground_each(PICTURE, ["the red cup"])
    assert isinstance(failed.error, OutOfMemoryError)
    full[0] = False
    (found,) = loaded.ground_each(PICTURE, ["the red cup"])
    assert isinstance(found, Grounding)


@pytest.mark.parametrize("pipeline", ["refam", "ensemble"])
def test_a_step_between_pictures_and_phrases_says_it_too(pipeline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = "nano,nano" if pipeline == "ensemble" else "nano"
    loaded: Any = groundkit.load(pipeline, model=model, device="cpu", local_files_only=True)
    calls: list[int] = []

    def full_at_second(*arguments: Any, **options: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return run(*arguments, **options)

    if pipeline == "refam":  # the null phrase comes after the phrase
        run = loaded.diffusion.encode_text
        monkeypatch.setattr(loaded.diffusion, "encode_text", full_at_second)
        expected = [OutOfMemoryError]
    else:
        run = loaded._fuse
        monkeypatch.setattr(loaded, "_fuse", full_at_second)
        expected = [Grounding, OutOfMemoryError, Grounding]
    phrases = ["the red cup", "the cup", "the ball"][: len(expected)]
    assert [type(getattr(each, "error", each)) for each in loaded.ground_each(PICTURE, phrases)] == expected


def test_discovery_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: Any = groundkit.load("vlsam", device="cpu", local_files_only=True)

    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loaded.segmenter, "embed", full)
    with pytest.raises(OutOfMemoryError, match="offload=True"):
        loaded.discover(PICTURE)


@pytest.mark.parametrize("on", [True, False])
def test_a_paused_garbage_collection_is_put_back_as_it_was_and_freezes_nothing(on: bool) -> None:
    class Loop:
        def __init__(self) -> None:
            self.itself = self

    was_on, frozen = gc.isenabled(), gc.get_freeze_count()
    try:
        gc.enable() if on else gc.disable()
        with suppress(ValueError), paused_garbage_collection():
            assert not gc.isenabled()
            lost = weakref.ref(Loop())
            raise ValueError
        assert gc.isenabled() == on
        assert gc.get_freeze_count() == frozen
        gc.collect()
        assert lost() is None
    finally:
        gc.enable() if was_on else gc.disable()
