"""The parts of the two last trainings that a wrong axis or a wrong name would spoil silently."""

import torch
from torch.testing import assert_close

from groundkit.attention.choices import Flow, Regulariser
from groundkit.attention.flow import image_flow
from groundkit.attention.layers import KeptMatrix
from groundkit.weights.training import questions, reading
from groundkit.weights.training.flux import Nano
from groundkit.weights.training.vae import LATENT_CHANNELS


def tiny() -> Nano:
    torch.manual_seed(0)
    nano = Nano(20, heads=3, double=2, single=1)
    for parameter in nano.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return nano


def test_keeping_the_attention_changes_nothing_and_its_rows_sum_to_one():
    nano = tiny()
    inputs = torch.randn(2, 16, 4 * LATENT_CHANNELS), torch.tensor([0.2, 0.4]), torch.tensor([[5, 6, 1], [7, 8, 1]])
    with torch.inference_mode():
        expected = nano(*inputs)
        kept = reading.keep_attention(nano)
        out = reading.look(nano, kept, *inputs)
    assert out is not None
    assert_close(out, expected)
    assert [tuple(layer.shape) for layer in kept.layers] == [(2, 3, 19, 19)] * 3
    assert_close(reading.shared_out(kept.layers, words=3).sum(dim=-1), torch.ones(2, 16))


def test_queries_and_keys_of_the_first_block_and_all_before_it_are_not_trained():
    nano = tiny()
    reading.free(nano)
    trained = {name for name, parameter in nano.named_parameters() if parameter.requires_grad}
    assert not any(part in name for name in trained for part in ("text_encoder", "embedder"))
    first = {name for name in trained if "transformer.transformer_blocks.0" in name and "single" not in name}
    assert first
    assert not any(part in name for name in first for part in ("to_q", "to_k", "add_q", "add_k", "norm"))


def test_the_flow_that_is_learnt_is_the_one_that_is_read():
    torch.manual_seed(0)
    size = questions.BEFORE + 5
    layers = [torch.rand(1, 2, size, size).tril().softmax(-1) for _ in range(3)]
    rows, real = torch.eye(size)[-2:], torch.ones(1, size)
    weighed = [(layer[0] * layer[0].amax(-1).mean(-1)[:, None, None]).mean(0) for layer in layers]  # equations 1 and 2
    matrices = [KeptMatrix(size, torch.ones(2), (0,), (matrix,)) for matrix in weighed]
    image = torch.arange(size)[questions.IMAGE]
    expected = image_flow(matrices, rows, image, flow=Flow.FLOW, regulariser=Regulariser.END)
    assert_close(questions.flow(layers, rows[None], real)[0], expected)
