"""Commands when memory runs out: one line with options that help, and the next picture is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch


@pytest.fixture
def full_at_first(pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline of ``command`` meets a full GPU at its first picture."""
    ground, pictures = pipeline.outcomes, []

    def run(image: Any, *arguments: Any, **options: Any) -> Iterator[Any]:
        pictures.append(image)
        if len(pictures) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee documentation")
        yield from ground(image, *arguments, **options)

    monkeypatch.setattr(pipeline, "outcomes", run)


def test_segment_tells_of_the_first_picture_and_does_the_second(command: Any, full_at_first: None) -> None:
    answer = command("segment", "a.png", "b.png", "the red cup", "-f", "png", "--quiet")
    assert answer.code == 1
    assert answer.out == "groundkit-out/b-the-red-cup.png\n"
    (line,) = answer.err.splitlines()
    assert line.startswith("groundkit: error: a.png: the GPU is out of memory: try --offload, a smaller picture ")
    assert "--set max_pixels=500000" in line
    assert "--dtype bfloat16" in line


def test_explain_tells_it_in_one_line(command: Any, full_at_first: None) -> None:
    answer = command("explain", "a.png", "the red cup", "--quiet")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert "the GPU is out of memory: try --offload" in line


def test_loading_tells_it_in_one_line(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import groundkit
    from groundkit.memory import explain_out_of_memory

    @explain_out_of_memory()
    def load(*_: Any, **__: Any) -> Any:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 18.13 GB)")

    monkeypatch.setattr(groundkit, "load", load)
    answer = command("segment", "a.png", "the red cup", "--quiet")
    assert answer.code == 1
    (line,) = answer.err.splitlines()
    assert "the GPU is out of memory: try --offload" in line
