"""A part that does not fit on the GPU leaves it again, so that the others can come."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from groundkit.models.offload import Stage, stage_of


class Part(nn.Module):
    """Tells where it was moved to, and runs out of memory on a GPU as often as it is too large."""

    def __init__(self, too_large: int = 0) -> None:
        super().__init__()
        self.too_large = too_large
        self.moves: list[str] = []

    def to(self, place: Any) -> Part:  # type: ignore[override]
        self.moves.append(str(place))
        if str(place) != "cpu" and self.too_large:
            self.too_large -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self


def test_a_part_that_does_not_fit_leaves_nothing_on_the_gpu_and_can_be_tried_again() -> None:
    stage, large, small = Stage(torch.device("cuda", 0)), Part(too_large=1), Part()
    with pytest.raises(torch.OutOfMemoryError):
        stage.enter(large)
    assert large.moves == ["cuda:0", "cpu"]
    stage.enter(small)
    assert (large.moves, small.moves) == (["cuda:0", "cpu"], ["cuda:0"])
    stage.enter(large)
    assert (large.moves[2:], small.moves) == (["cuda:0"], ["cuda:0", "cpu"])


def test_a_gpu_has_one_stage_with_and_without_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert stage_of(torch.device("cuda")) is stage_of(torch.device("cuda:1"))
    assert stage_of(torch.device("cuda")) is not stage_of(torch.device("cuda:0"))
    assert stage_of(torch.device("mps")) is stage_of(torch.device("mps:0"))
    assert stage_of(torch.device("cpu")).device == torch.device("cpu")
