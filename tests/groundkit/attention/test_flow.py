"""Attention flow: the recursion against the whole product, and planted targets that it has to find."""

import pytest
import torch
from torch import Tensor

from groundkit.attention.flow import Flow, Regulariser, column_factor, flow_rows, image_flow
from groundkit.attention.layers import KeptMatrix, LayerAttention

LAYERS, BEFORE, AFTER, SIDE = 28, 10, 40, 18
IMAGE = torch.arange(BEFORE, BEFORE + SIDE * SIDE)


def layer(matrix: Tensor) -> LayerAttention:
    return KeptMatrix(len(matrix), torch.ones(1), (0,), (matrix,))


def causal(scores: Tensor) -> Tensor:
    return scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)


@pytest.mark.parametrize("flow", Flow)
@pytest.mark.parametrize("regularised", [False, True])
def test_one_row_equals_the_full_matrix_product(flow: Flow, regularised: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    size = 60
    matrices = [0.4 * causal(torch.randn(size, size, generator=generator, dtype=torch.float64)) for _ in range(6)]
    factor = column_factor(size) if regularised else None
    scaled = [m * factor for m in matrices] if factor is not None else matrices
    one = torch.eye(size, dtype=torch.float64)
    full = scaled[0] if flow is Flow.FLOW else one
    if flow is Flow.MEAN:
        full = torch.stack(scaled).mean(0)
    elif flow is Flow.ROLLOUT:
        for matrix in scaled:
            full = (one + matrix) / 2 @ full
    else:
        for matrix in scaled[1:]:
            full = (one + matrix) @ (one + full)
    word = torch.zeros(2, size, dtype=torch.float64)
    word[0, -1] = 1
    word[1, -4:-1] = 1 / 3
    rows = flow_rows([layer(m) for m in matrices], word, flow, factor)
    torch.testing.assert_close(rows, word @ full, rtol=1e-6, atol=1e-12)


def planted(seed: int, place: float) -> tuple[list[LayerAttention], Tensor, Tensor]:
    """Causal attention with a sink at the first token; the last words look at a 3x3 target, ``place`` 0 at the top."""
    generator = torch.Generator().manual_seed(seed)
    size = BEFORE + SIDE * SIDE + AFTER
    target = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    top = round(place * (SIDE - 3))
    target[top : top + 3, 7:10] = True
    target = target.flatten()
    layers = []
    for _ in range(LAYERS):
        scores = torch.randn(size, size, generator=generator)
        scores[:, 0] += 4
        scores[-5:, IMAGE[target]] += 1.5
        layers.append(layer(0.3 * causal(scores)))
    word = torch.zeros(1, size)
    word[0, -1] = 1
    return layers, word, target


def share_of_first_tenth(heat: Tensor) -> float:
    return float(heat[: len(heat) // 10].sum() / heat.sum())


@pytest.mark.parametrize("place", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_regularised_flow_finds_the_target_wherever_it_stands_and_unregularised_flow_collapses(place: float) -> None:
    layers, word, target = planted(0, place)
    (found,) = image_flow(layers, word, IMAGE)
    (collapsed,) = image_flow(layers, word, IMAGE, regulariser=Regulariser.NONE)
    assert target[found.argmax()]
    assert not target[collapsed.argmax()]
    assert share_of_first_tenth(collapsed) > 3 * share_of_first_tenth(found)


@pytest.mark.parametrize("place", [0.1, 0.6])
def test_the_factor_in_the_wrong_direction_finds_nothing(place: float) -> None:
    layers, word, target = planted(0, place)
    wrong = flow_rows(layers, word)[0] * column_factor(word.shape[1]).flip(0)
    assert not target[wrong[IMAGE].argmax()]


def test_the_factor_on_every_layer_finds_targets_but_those_at_the_top() -> None:
    hits = {}
    for place in (0.0, 0.6):
        layers, word, target = planted(0, place)
        (heat,) = image_flow(layers, word, IMAGE, regulariser=Regulariser.LAYER)
        hits[place] = bool(target[heat.argmax()])
    assert hits == {0.0: False, 0.6: True}
