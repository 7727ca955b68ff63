"""Parts of the training scripts that a wrong sign or axis would spoil silently."""

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

from groundkit.weights.training import flux, optimisers, sam, vae
from groundkit.weights.training.optimisers import rate_factor
from groundkit.weights.training.tokenizers import t5_tokenizer


def test_latents_are_packed_and_placed_as_flux_does_it():
    latents = torch.randn(2, 8, 6, 4)
    torch.testing.assert_close(flux.pack(latents), FluxPipeline._pack_latents(latents, 2, 8, 6, 4), rtol=0, atol=0)
    expected = FluxPipeline._prepare_latent_image_ids(1, 3, 2, "cpu", torch.float32)
    torch.testing.assert_close(flux.positions(3, 2), expected, rtol=0, atol=0)


def test_all_text_of_nano_passes_through_attention():
    model = flux.build_transformer(heads=1, double=1, single=1)
    torch.nn.init.normal_(model.proj_out.weight)
    torch.nn.init.normal_(model.norm_out.linear.weight)
    inputs = {
        "hidden_states": torch.randn(1, 4, 4 * vae.LATENT_CHANNELS),
        "encoder_hidden_states": torch.randn(1, 3, flux.TEXT_WIDTH),
        "timestep": torch.tensor([0.5]),
        "img_ids": flux.positions(2, 2),
        "txt_ids": torch.zeros(3, 3),
        "return_dict": False,
    }
    first, second = (model(**inputs, pooled_projections=torch.randn(1, 32))[0] for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_words_are_exchanged_for_words_of_the_same_kind_alone():
    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    exchange = flux.Exchange(tokenizer)
    ids = torch.tensor(tokenizer("a red cup and the small blue dog on the left").input_ids).expand(2000, -1)
    shown = exchange.noise(ids)
    for kind in exchange.kinds:
        torch.testing.assert_close(torch.isin(shown, kind), torch.isin(ids, kind))
    others = ~torch.isin(ids, exchange.all)
    torch.testing.assert_close(shown[others], ids[others])
    nouns = torch.isin(ids, exchange.kinds[0])
    assert 0.25 < (shown[nouns] != ids[nouns]).float().mean() < 0.35  # 0.6 at most, 0.3 in the mean

    def swapped(*words: str) -> float:
        first, second = (tokenizer(word, add_special_tokens=False).input_ids[0] for word in words)
        places = (ids[0] == first) | (ids[0] == second)
        return float((shown[:, places] == torch.tensor([second, first])).all(dim=1).float().mean())

    assert 0.1 < swapped("red", "blue") < 0.2
    assert swapped("cup", "dog") < 0.01


def test_the_caption_loss_is_zero_for_true_answers_and_blind_to_words_that_name_nothing():
    tokenizer = t5_tokenizer()
    exchange = flux.Exchange(tokenizer)
    ids, shown = (torch.tensor([tokenizer(text).input_ids]) for text in ("a red cup", "a red dog"))
    logits = torch.where(ids == shown, 1000.0, -1000.0)
    logits[~torch.isin(ids, exchange.all)] = float("nan")
    assert exchange.loss(logits, ids, shown) == 0
    assert exchange.loss(-logits, ids, shown) == 1000


def test_a_step_in_float32_agrees_with_muons_own_in_bfloat16(monkeypatch):
    changes = []
    for native in (False, True):
        monkeypatch.setattr(optimisers, "NATIVE_BFLOAT16", native)
        torch.manual_seed(0)
        layer = torch.nn.Linear(8, 4)
        before = layer.weight.detach().clone()
        layer.weight.grad, layer.bias.grad = torch.randn(4, 8), torch.zeros(4)
        optimisers.take_step(optimisers.build_optimisers(layer, 1.0, matrices="weight"))
        changes.append(before - layer.weight.detach())
    exact, rounded = changes
    torch.testing.assert_close(exact, rounded, rtol=0, atol=0.02 * exact.abs().max().item())
    assert not torch.equal(exact, rounded)


def test_a_kernel_is_turned_as_the_matrix_of_its_outputs():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    before, pixels = layer.weight.detach().clone(), torch.randn(5, 3, 6, 6)
    built = optimisers.build_optimisers(layer, 1.0, matrices="weight")
    torch.autograd.backward((layer(pixels) - 1).square().sum())
    matrix = torch.nn.Linear(12, 4)
    with torch.no_grad():
        matrix.weight.copy_(before.flatten(1))
    matrix.weight.grad, matrix.bias.grad = layer.weight.grad.flatten(1).clone(), torch.zeros(4)
    optimisers.take_step(built)
    optimisers.take_step(optimisers.build_optimisers(matrix, 1.0, matrices="weight"))
    torch.testing.assert_close(layer.weight.detach().flatten(1), matrix.weight.detach(), rtol=0, atol=0.02)
    assert not torch.equal(layer.weight, before)


def test_the_autoencoders_loss_sees_a_shift_from_green_to_magenta_that_keeps_the_brightness():
    pixels = torch.zeros(1, 3, 16, 16)
    shifted = pixels + torch.tensor([0.1, -0.2, 0.1])[None, :, None, None]
    brighter = pixels + 0.1
    assert vae.reconstruction_loss(shifted, pixels)[1] > 5 * vae.reconstruction_loss(brighter, pixels)[1]


def test_a_point_is_encoded_like_the_patch_it_lies_on():
    model = sam.build()
    grid = model.get_image_wide_positional_embeddings()[0].flatten(1).T
    side = sam.SIZE // sam.PATCH
    patches = torch.cartesian_prod(torch.arange(0, side, 5), torch.arange(0, side, 5))  # row, column
    points = (patches.flip(1) * sam.PATCH + sam.PATCH / 2).float()[None, :, None]
    own = model.prompt_encoder.shared_embedding(points, (sam.SIZE, sam.SIZE))[0, :, 0]
    nearest = (own @ grid.T).argmax(dim=1)
    torch.testing.assert_close(nearest, patches[:, 0] * side + patches[:, 1])


def test_weights_of_coarser_patches_are_interpolated_to_the_finer_model_s_shapes():
    model = sam.build()
    state = model.state_dict()
    fine = state["vision_encoder.patch_embed.projection.weight"]
    coarse = fine.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) / 4  # the same sum over four times the pixels
    grown = sam.fitted(state | {"vision_encoder.patch_embed.projection.weight": coarse}, model)
    torch.testing.assert_close(grown["vision_encoder.patch_embed.projection.weight"], fine)
    model.load_state_dict(grown)


def test_only_the_best_of_three_masks_learns_and_its_overlap_is_reported():
    truth = torch.zeros(1, 1, 8, 8)
    truth[..., :4] = 1
    right, wrong = (truth * 2 - 1) * 20, (1 - truth * 2) * 20
    logits = torch.stack([wrong, right, wrong], dim=2).requires_grad_()
    loss, iou, best = sam.losses(logits, torch.tensor([[[0.0, 1.0, 0.0]]]), truth)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-3)
    assert iou.item() == 1
    assert best.tolist() == [[[1]]]
    assert logits.grad is not None
    assert not logits.grad[:, :, [0, 2]].any()


def test_boxes_are_those_of_the_true_masks_off_by_a_tenth_at_most():
    truth = torch.zeros(50, sam.LOW_RESOLUTION, sam.LOW_RESOLUTION)
    truth[:, 10:30, 40:80] = 1
    error = sam.loose_boxes(truth) * (sam.LOW_RESOLUTION / sam.SIZE) - torch.tensor([40.0, 10.0, 80.0, 30.0])
    assert (error.abs() <= torch.tensor([4.0, 2.0, 4.0, 2.0]) + 1e-4).all()
    assert (error.abs().amax(dim=0) > 0.5).all()


def test_the_rate_warms_up_stays_and_falls():
    factors = np.array([rate_factor(step, 100, warm_up=10, decay=20) for step in range(100)])
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert (factors[10:80] == 1).all()
    assert (np.diff(factors[80:]) <= 0).all()
    assert factors[-1] == 0.05
