"""What every family has to prove: parity, the same output bit for bit, where each patch of the clip stands in space and
time, and that text, noise and time steps are those of the family's own pipeline."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
import torch
from diffusers import FluxPipeline, LTXPipeline
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from reference import QueriesAndKeys
from torch import Tensor

from groundkit.attention.choices import AttentionDirection
from groundkit.attention.tap import AttentionTap, Selection
from groundkit.errors import ConfigError
from groundkit.models.diffusion import base as diffusion_base
from groundkit.models.diffusion.base import DiffusionModel, EncodedClip, Text
from groundkit.models.diffusion.cogvideo import CogVideoXModel
from groundkit.models.diffusion.flux import FluxModel
from groundkit.models.diffusion.hunyuan_video import HunyuanVideoModel
from groundkit.models.diffusion.ltx import LtxVideoModel
from groundkit.models.diffusion.mochi import MochiModel
from groundkit.models.diffusion.wan import WanModel
from groundkit.models.options import ReadOptions
from groundkit.stages.sinks import find_sinks

Pixels = npt.NDArray[np.uint8]
TINY = Path(__file__).parents[3] / "tiny" / "diffusion"
CLIPS = sorted(path.stem.removeprefix("tiny_") for path in TINY.glob("tiny_*.py") if path.stem != "tiny_flux")
PHRASE, OTHER = "the red cup", "the blue cup"


def encode(model: DiffusionModel, clip: Pixels, phrase: str = PHRASE) -> tuple[EncodedClip, Text]:
    return model.encode(clip), model.encode_text([model.tokenizer(phrase).input_ids], phrase)


def layers(model: DiffusionModel, noise_level: float = 0.3) -> dict[str, torch.nn.Module]:
    return model.layers(model.transformer(noise_level))


@torch.inference_mode()
def calls(
    model: DiffusionModel, clip: EncodedClip, text: Text, noise_level: float = 0.05
) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    noise = model.noise(clip.latents, 1)
    with QueriesAndKeys(layers(model, noise_level)) as reference:
        model.run(model.noised(clip.latents, noise, noise_level), text, ReadOptions(noise_level=noise_level))
    return reference.calls


def whole_pass(model: DiffusionModel, noise_level: float) -> AttentionTap:
    """A reading in it does not end the pass of the transformer."""
    return AttentionTap(layers(model, noise_level), {"one": Selection(slice(1), slice(1))})


def directions(model: DiffusionModel) -> list[AttentionDirection]:
    return list(AttentionDirection) if model.joint else [AttentionDirection.IMAGE_TO_TEXT]


def test_maps_equal_a_float64_softmax_of_the_same_queries_and_keys(model: DiffusionModel, clip: Pixels) -> None:
    encoded, text = encode(model, clip)
    patches = encoded.grid.size
    for direction in directions(model):
        maps = model.read_attention(
            encoded, text, ReadOptions(noise_level=0.3, seed=1, layers="all", direction=direction)
        )
        found = calls(model, encoded, text, 0.3)
        assert len(found) == len(model.layer_names) == len(maps.layers) > 1
        for layer, (query, key, mask) in enumerate(found):
            scores = query.double() @ key.double().mT / query.shape[-1] ** 0.5
            if mask is not None:
                mask = mask.expand(1, *scores.shape)[0]
                scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
            full = scores.softmax(-1).mean(dim=0)
            states = text.states.shape[1]
            if not model.joint:
                assert full.shape[0] == patches
                across = full[:, : text.tokens].mT
            elif model.text_first:
                assert full.shape == (states + patches,) * 2
                across = full[states:, : text.tokens].mT if direction is directions(model)[0] else full[:, states:]
                words = full[: text.tokens, : text.tokens]
            else:
                assert full.shape == (patches + states,) * 2
                across = full[:patches, patches:].mT if direction is directions(model)[0] else full[patches:, :patches]
                words = full[patches:, patches:]
            assert maps.grids[0] == encoded.grid
            across = across[: text.tokens]
            torch.testing.assert_close(maps.values[layer, 0].double(), across, atol=1e-6, rtol=1e-4)
            if maps.text is not None:
                torch.testing.assert_close(maps.text[layer].double(), words, atol=1e-6, rtol=1e-4)


def test_a_direction_that_the_attention_does_not_have_is_refused_in_one_line(
    model: DiffusionModel, clip: Pixels
) -> None:
    encoded, text = encode(model, clip)
    arguments: dict[str, Any] = {"noise_level": 0.3, "seed": 1, "layers": "0-0"}
    wanted = AttentionDirection.TEXT_TO_IMAGE
    if model.joint:
        maps = model.read_attention(encoded, text, ReadOptions(direction=wanted, **arguments))
        assert maps.text is not None
    else:
        with pytest.raises(ConfigError, match=r"^direction=text_to_image: words of this model look at no patch.*$"):
            model.read_attention(encoded, text, ReadOptions(direction=wanted, **arguments))
        maps = model.read_attention(encoded, text, ReadOptions(**arguments))
        assert maps.text is None
    assert find_sinks(maps).shape == (text.tokens,)


@torch.inference_mode()
def test_the_transformer_returns_bit_for_bit_what_it_returns_without_the_tap(
    model: DiffusionModel, clip: Pixels
) -> None:
    encoded, text = encode(model, clip)
    outputs: list[Tensor] = []
    hook = model.transformer(0.4).register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0]))
    with whole_pass(model, 0.4):
        model.read_attention(encoded, text, ReadOptions(noise_level=0.4, seed=3, layers="all"))
    noise = model.noise(encoded.latents, 3)
    model.run(model.noised(encoded.latents, noise, 0.4), text, ReadOptions(noise_level=0.4))
    hook.remove()
    assert torch.equal(*outputs)


def test_a_pass_ends_with_the_last_layer_that_is_read_and_the_maps_stay_bit_for_bit(
    model: DiffusionModel, clip: Pixels
) -> None:
    encoded, text = encode(model, clip)
    options = ReadOptions(noise_level=0.4, seed=3, layers="0-0")
    with whole_pass(model, 0.4):
        expected = model.read_attention(encoded, text, options)
    ended: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: ended.append(name))  # type: ignore[misc]
        for name, layer in layers(model, 0.4).items()
    ]
    found = model.read_attention(encoded, text, options)
    for hook in hooks:
        hook.remove()
    assert not ended
    assert torch.equal(found.values, expected.values)
    assert found.text is expected.text or torch.equal(found.text, expected.text)


@pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")  # of Mochi's own making
def test_noises_and_texts_of_one_length_in_one_pass_are_read_as_one_by_one(model: DiffusionModel, clip: Pixels) -> None:
    encoded, text = encode(model, clip)
    _, other = encode(model, clip, OTHER)
    assert text.states.shape == other.states.shape
    items, options = [(text, 3), (text, 4), (other, 3)], ReadOptions(noise_level=0.4)
    passes: list[None] = []
    hook = model.transformer(0.4).register_forward_pre_hook(lambda *_: passes.append(None))
    together = model.read_each(encoded, items, options)
    assert len(passes) == (1 if model.batched else 3)
    singly = model.read_each(encoded, items, replace(options, batch_size=1))
    hook.remove()
    for (words, seed), batched, single in zip(items, together, singly, strict=True):
        alone = model.read_attention(encoded, words, replace(options, seed=seed))
        assert torch.equal(single.values, alone.values)
        torch.testing.assert_close(batched.values, alone.values, atol=2e-6, rtol=1e-4)
        if alone.text is not None:
            torch.testing.assert_close(batched.text, alone.text, atol=2e-6, rtol=1e-4)
    assert not torch.allclose(together[0].values, together[1].values, atol=2e-6, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:In CPU autocast:UserWarning")  # of Mochi's own making
def test_a_pass_is_that_of_the_familys_own_pipeline(model: DiffusionModel, clip: Pixels) -> None:
    """The first step of the pipeline itself, from the same noise: same text, padded by it, same time step."""
    encoded, text = encode(model, clip)
    outputs: list[Tensor] = []
    first = 0.999 if isinstance(model, WanModel) else 1.0  # the noise of the first step
    hook = model.transformer(first).register_forward_hook(lambda _module, _inputs, output: outputs.append(output[0]))
    with whole_pass(model, first):
        model.read_attention(encoded, text, ReadOptions(noise_level=first, seed=3, layers="0-0", guidance=1.0))
    noise = model.noise(encoded.latents, 3)
    own_pipeline(model, model.noised(encoded.latents, noise, first), clip)
    hook.remove()
    torch.testing.assert_close(outputs[0], outputs[1], atol=2e-5, rtol=1e-4)


def own_pipeline(model: DiffusionModel, latents: Tensor, clip: Pixels) -> None:
    frames, height, width = clip.shape[:3]
    more: dict[str, Any] = {}
    if isinstance(model, CogVideoXModel):
        latents = latents.permute(0, 2, 1, 3, 4)
    elif isinstance(model, LtxVideoModel):
        latents = LTXPipeline._pack_latents(latents)
    elif isinstance(model, FluxModel):
        latents = FluxPipeline._pack_latents(latents, 1, latents.shape[1], *latents.shape[3:])
        more = {
            "max_sequence_length": len(model.tokenizer(PHRASE).input_ids)
        }  # without the padding that it does not mask
    elif isinstance(model, HunyuanVideoModel):  # 95 is the length that the real tokenizer makes of the template
        more = {"prompt_template": {**DEFAULT_PROMPT_TEMPLATE, "crop_start": len(model.template)}}
    model.pipeline(
        prompt=PHRASE,
        height=height,
        width=width,
        **({"num_frames": frames} if model.clips else {}),
        num_inference_steps=2,
        guidance_scale=1.0,
        latents=latents,
        output_type="latent",
        **more,
    )


@pytest.mark.parametrize("load_model", ["wan", "cogvideox_1_5"], indirect=True)
def test_padding_that_no_mask_hides_takes_its_share_and_leaves_proportions_alone(
    model: DiffusionModel, clip: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is masked, the pass of the family's own pipeline is the proof; here the first layer is, head by head."""

    def shares(text: Text) -> tuple[Tensor, Tensor]:
        maps = model.read_attention(encoded, text, ReadOptions(noise_level=0.3, seed=1, layers="0-0", heads=(1,)))
        maps = torch.from_numpy(maps.numpy()[0, 0])
        return maps.sum(dim=0), maps / maps.sum(dim=0)

    encoded, text = encode(model, clip)
    seen, padded = shares(text)
    monkeypatch.setattr(model, "max_tokens", text.tokens)  # Wan is filled up when it runs, CogVideoX was before
    alone, bare = shares(Text(text.states[:, : text.tokens], slice(0, text.tokens)))
    assert (seen < 0.9 * alone).all()
    torch.testing.assert_close(padded, bare)


@pytest.mark.parametrize("step", [3, 7, 9])
def test_noise_and_time_step_are_the_schedulers_own(model: DiffusionModel, step: int) -> None:
    """Given the true direction, the scheduler takes a clip noised by us one step on to a clip noised by us."""
    clean, noise = torch.randn(2, 1, 4, 2, 3, 5, generator=torch.Generator().manual_seed(2)).unbind()
    scheduler, config = model.pipeline.scheduler, model.pipeline.scheduler.config
    scheduler.set_timesteps(10, **({"mu": 0.7} if config.get("use_dynamic_shifting") else {}))
    timestep = scheduler.timesteps[step]
    if isinstance(model, CogVideoXModel):
        kept = scheduler.alphas_cumprod[[int(timestep), int(timestep) - config.num_train_timesteps // 10]]
        level, later = ((1 - kept).sqrt() / (kept.sqrt() + (1 - kept).sqrt())).tolist()
        direction = kept[0].sqrt() * noise - (1 - kept[0]).sqrt() * clean
    else:
        scheduler.set_begin_index(step)
        sigmas = scheduler.sigmas[step : step + 2]
        inverted = config.get("invert_sigmas", False)
        level, later = (1 - sigmas if inverted else sigmas).tolist()
        direction = clean - noise if inverted else noise - clean
    whole = 1.0 if isinstance(model, WanModel) else 1e-2  # its scheduler gives whole time steps
    assert model.timestep(level).item() == pytest.approx(float(timestep), abs=whole)
    moved = scheduler.step(direction, timestep, model.noised(clean, noise, level), return_dict=False)[0]
    # The first time step of CogVideoX has some noise, and its last step ends without any.
    expected = model.noised(clean, noise, later) if step < 9 else clean
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "load_model", CLIPS, indirect=True
)  # an untrained autoencoder of pictures blurs: see test_flux
def test_changed_pixels_of_one_patch_change_the_query_of_that_patch_most(model: DiffusionModel, clip: Pixels) -> None:
    """The locality probe, in space and time: from pixels to the place in the sequence whose row is read."""
    before, text = encode(model, clip)
    assert before.grid.shape == (3, 3, 5)
    queries = calls(model, before, text)[0][0]
    side = model.compression[1] * model.patch[1]
    for slice_, row, column in [(0, 0, 0), (0, 2, 4), (1, 1, 2), (2, 2, 0)]:
        covered = before.grid.frames[slice_]
        changed = clip.copy()
        changed[covered.start : covered.stop, row * side : (row + 1) * side, column * side : (column + 1) * side] = 255
        moved = (calls(model, model.encode(changed), text)[0][0] - queries).norm(dim=-1).norm(dim=0)
        first = text.states.shape[1] if model.text_first else 0
        assert int(moved.argmax()) == first + (slice_ * 3 + row) * 5 + column, (slice_, row, column)


@torch.inference_mode()
@pytest.mark.parametrize("load_model", CLIPS, indirect=True)
def test_a_large_clip_is_encoded_in_tiles_that_leave_every_latent_where_it_is(
    load_model: Callable[..., DiffusionModel], clip: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model()
    vae, step = model.pipeline.vae, model.compression[1] * model.patch[1]
    # Tiles of 2 x 2 patches at every patch. CogVideoX lays them 5/6 of their height and 4/5 of their width apart.
    sizes = (6, 5) if isinstance(model, CogVideoXModel) else (2 * model.patch[1],) * 2
    for side, latents in zip(("height", "width"), sizes, strict=True):
        setattr(vae, f"tile_sample_min_{side}", latents * model.compression[1])
        if hasattr(vae, f"tile_sample_stride_{side}"):
            setattr(vae, f"tile_sample_stride_{side}", step)
    whole = model.encode(clip)
    assert not vae.use_tiling
    monkeypatch.setattr(diffusion_base, "ENCODER_BYTES", 0)
    tiled = model.encode(clip)
    assert vae.use_tiling
    assert tiled.grid == whole.grid
    assert tiled.latents.shape == whole.latents.shape
    assert not torch.equal(tiled.latents, whole.latents), "nothing was tiled"
    for row, column in [(0, 0), (2, 4), (1, 2)]:
        changed = clip.copy()
        changed[:, row * step : (row + 1) * step, column * step : (column + 1) * step] = 255
        moved = (model.encode(changed).latents - tiled.latents).norm(dim=1)[0].norm(dim=0)
        latents = model.patch[1]  # a side of a patch
        sums = moved.reshape(3, latents, 5, latents).sum(dim=(1, 3))
        assert divmod(int(sums.argmax()), 5) == (row, column)


NATIVE = {  # frames, height, width; whether bfloat16 and float32 need tiles
    HunyuanVideoModel: ((17, 720, 1280), True, True),
    CogVideoXModel: ((49, 480, 720), False, True),
    MochiModel: ((19, 480, 848), False, True),
    WanModel: ((81, 480, 832), False, False),
    LtxVideoModel: ((161, 512, 704), False, True),
}


@pytest.mark.parametrize("kind", NATIVE, ids=lambda kind: kind.__name__)
def test_tiles_are_taken_where_one_tensor_of_the_encoder_is_above_a_gibibyte(
    kind: type[DiffusionModel],
) -> None:
    size, *expected = NATIVE[kind]
    for dtype, tiled in zip((torch.bfloat16, torch.float32), expected, strict=True):
        vae = SimpleNamespace(dtype=dtype, enable_tiling=Mock(), disable_tiling=Mock())
        model = object.__new__(kind)
        model.pipeline = SimpleNamespace(vae=vae)
        model.tile_large(*size)
        assert vae.enable_tiling.called is tiled
        assert vae.disable_tiling.called is not tiled


@pytest.mark.parametrize("load_model", CLIPS, indirect=True)
def test_the_slices_of_a_clip_cover_its_frames_in_order_and_each_once(model: DiffusionModel) -> None:
    compression = model.compression[0]
    for count in (1, 2 * compression):
        frames = np.zeros((count, 16, 16, 3), np.uint8)
        encoded = model.encode(frames)
        assert [frame for covered in encoded.grid.frames for frame in covered] == list(range(count))
        assert encoded.latents.shape[2] == encoded.grid.shape[0] * model.patch[0]
        assert model.clip_length(count) <= max(count, model.clip_length(1))


@pytest.mark.parametrize("shape", [(16, 16), (100, 3000), (480, 640), (2000, 20)])
def test_any_shape_of_clip_becomes_whole_patches(model: DiffusionModel, shape: tuple[int, int]) -> None:
    step = model.compression[1] * model.patch[1]
    height, width = model.clip_size(*shape)
    assert height % step == width % step == 0
    assert min(height, width) >= step


@pytest.mark.parametrize("load_model", ["cogvideox", "cogvideox_1_5"], indirect=True)
def test_a_tall_clip_stays_within_the_positions_that_the_model_has(model: DiffusionModel) -> None:
    encoded, text = encode(model, np.zeros((5, 160, 40, 3), np.uint8))
    maps = model.read_attention(encoded, text, ReadOptions(noise_level=0.3, seed=1, layers="0-0"))
    assert maps.grids[0].shape[-2:] == encoded.grid.shape[1:]
    assert encoded.grid.shape[1] > encoded.grid.shape[2]


def test_a_words_column_is_where_its_states_are(model: DiffusionModel, clip: Pixels) -> None:
    """Another colour in the phrase changes the key of that word most: words stand where their columns are read."""
    encoded, text = encode(model, clip)
    _, other = encode(model, clip, OTHER)
    keys = [calls(model, encoded, each)[0][1] for each in (text, other)]
    moved = (keys[1] - keys[0]).norm(dim=-1).norm(dim=0)
    first = encoded.grid.size if model.joint and not model.text_first else 0
    ids, others = (model.tokenizer(phrase).input_ids for phrase in (PHRASE, OTHER))
    (word,) = [index for index, (one, two) in enumerate(zip(ids, others, strict=True)) if one != two]
    assert int(moved.argmax()) == first + word


def test_pieces_of_text_are_encoded_alone_and_laid_end_to_end(model: DiffusionModel) -> None:
    one, two = model.tokenizer(PHRASE).input_ids, model.tokenizer("with").input_ids
    whole, alone = model.encode_text([one, two], PHRASE), model.encode_text([one], PHRASE)
    assert whole.tokens == len(one) + len(two)
    torch.testing.assert_close(whole.states[:, : len(one)], alone.states[:, : len(one)])
