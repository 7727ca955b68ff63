"""``groundkit.trace`` inside real generation loops: its maps are a softmax of the loop's own queries and keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from PIL import Image
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from groundkit.errors import AttentionError, ConfigError, ModelError
from groundkit.tracing import trace

PROMPTS = ["the red cup", "a small blue ball on the left"]
SIZES: dict[str, dict[str, int]] = {
    "flux": {"height": 64, "width": 96},
    "ltx_video": {"height": 64, "width": 96, "num_frames": 9},
    "wan": {"height": 64, "width": 96, "num_frames": 5},
    "cogvideox": {"height": 64, "width": 96, "num_frames": 9},
    "hunyuan_video": {"height": 64, "width": 96, "num_frames": 9},
}


class Softmaxes(TorchFunctionMode):
    """The attention of a module's passes by float64 softmax, one list per pass: heads averaged, ``(B, N, S)``."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.passes: list[list[torch.Tensor]] = []
        self._running = False
        self._hooks = [module.register_forward_pre_hook(self._begin), module.register_forward_hook(self._end)]

    def __exit__(self, *error: Any) -> None:
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*error)

    def _begin(self, *_: Any) -> None:
        self._running = True
        self.passes.append([])

    def _end(self, *_: Any) -> None:
        self._running = False

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is scaled_dot_product_attention and self._running:
            given = dict(zip(("query", "key", "value", "attn_mask"), args, strict=False)) | kwargs
            query, key, mask = given["query"].double(), given["key"].double(), given.get("attn_mask")
            key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            scores = query @ key.mT * (given.get("scale") or query.shape[-1] ** -0.5)
            if given.get("is_causal"):
                scores = scores.masked_fill(torch.ones(scores.shape[-2:]).triu(1).bool(), -torch.inf)
            if mask is not None:
                scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.double()
            self.passes[-1].append(scores.softmax(dim=-1).mean(dim=1))
        return function(*args, **kwargs)


def generate(pipe: Any, size: dict[str, int], prompt: str | list[str], **options: Any) -> Any:
    frames = {"output_type": "latent", "num_inference_steps": 3, "generator": torch.Generator().manual_seed(0)}
    return pipe(prompt=prompt, **{**size, **frames, **options})


def reads_words(call: torch.Tensor, patches: int, *, joint: bool) -> bool:
    """Whether an attention call is one of words and patches, not of patches or words alone."""
    queries, keys = call.shape[1:]
    return queries == keys > max(patches, 256) if joint else queries == patches != keys


@pytest.mark.parametrize("family", SIZES)
def test_every_step_of_every_picture_is_a_float64_softmax_with_guidance_and_batches(
    load_tiny: Callable[..., Any], family: str
) -> None:
    model = load_tiny(family)
    pipe, size = model.pipeline, SIZES[family]
    guided = {"true_cfg_scale" if family in ("flux", "hunyuan_video") else "guidance_scale": 3.0}
    options: dict[str, Any] = {"negative_prompt": ["green", "pink dog"], **guided}
    if family == "hunyuan_video":  # the template's length is that of the real tokenizer
        options["prompt_template"] = {**DEFAULT_PROMPT_TEMPLATE, "crop_start": len(model.template)}
    with Softmaxes(pipe.transformer) as reference:
        plain = generate(pipe, size, PROMPTS, **options)
    with trace(pipe) as traced:
        read = generate(pipe, size, PROMPTS, **options)
    torch.testing.assert_close(read[0], plain[0], atol=0, rtol=0)  # bit for bit
    assert len(traced) == 2
    assert [len(traced.steps(picture)) for picture in range(2)] == [3, 3]

    patches, layers = traced.steps(0)[0].grids[0].size, traced.steps(0)[0].layers
    passes = [[call for call in each if reads_words(call, patches, joint=model.joint)] for each in reference.passes]
    assert all(len(each) == len(layers) for each in passes)
    # Both prompts in one pass, the negative ones first; or two passes per step, the prompts first.
    wanted = [[layer[2:] for layer in each] for each in passes] if len(passes) == 3 else passes[::2]
    assert len(wanted) == 3
    for picture, prompt in enumerate(PROMPTS):
        for step, maps in enumerate(traced.steps(picture)):
            count = len(maps.tokens)
            spelled = [token.spelling for token in maps.tokens if token.spelling]
            assert spelled
            assert set(spelled) <= set(prompt.split())
            for index, layer in enumerate(wanted[step]):
                of_row = layer[picture]
                if model.joint and getattr(model, "text_first", True):
                    across = of_row[-patches:, :count]
                elif model.joint:
                    across = of_row[:patches, patches : patches + count]
                else:
                    across = of_row[:, :count]
                torch.testing.assert_close(maps.values[index, 0].double(), across.mT, atol=1e-6, rtol=1e-4)
    mean = torch.stack([each.values for each in traced.steps(1)]).mean(dim=0)
    torch.testing.assert_close(traced.of(1).values, mean)
    with pytest.raises(AttentionError, match=r"2 pictures were read: take one with of\(picture\)"):
        traced.maps  # noqa: B018


PICTURES = [np.random.default_rng(seed).integers(0, 256, (96, 96, 3), np.uint8) for seed in range(2)]


def ask(model: Any, questions: list[str]) -> Any:
    """The processor's inputs for a batch of questions, one about each picture, padded on the left."""
    model.processor.tokenizer.padding_side = "left"
    images = [Image.fromarray(picture) for picture in PICTURES[: len(questions)]]
    return model.processor(images=images, text=[model.chat(q) for q in questions], padding=True, return_tensors="pt")


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
@torch.inference_mode()
def test_a_forward_pass_over_a_batch_is_read_as_eager_attention_has_it(
    load_tiny: Callable[..., Any], family: str
) -> None:
    loaded = load_tiny(family)
    model, inputs = loaded.model, ask(loaded, ["the red cup", "where is the small blue ball of the dog"])
    plain = model(**inputs).logits
    with trace(model, loaded.processor, images=PICTURES) as traced:
        assert torch.equal(model(**inputs).logits, plain)
    attention = "sdpa"
    model.set_attn_implementation({"text_config": "eager"})
    try:
        eager = model(**inputs, output_attentions=True).attentions
    finally:
        model.set_attn_implementation({"text_config": attention})
    assert len(traced) == 2
    for picture in range(2):
        (maps,) = traced.steps(picture)
        ids, real = inputs["input_ids"][picture], inputs["attention_mask"][picture].bool()
        of_image = ids == model.config.image_token_id
        assert [token.id for token in maps.tokens] == ids[~of_image & real].tolist()
        for index, layer in enumerate(eager):
            expected = layer[picture].mean(dim=0)[~of_image & real][:, of_image]
            torch.testing.assert_close(maps.values[index, 0], expected, atol=1e-6, rtol=1e-4)
    assert traced.of(1)["ball"].numpy().shape[2] >= 1


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
@torch.inference_mode()
def test_every_word_of_generate_has_the_map_of_one_pass_over_the_whole_text(
    load_tiny: Callable[..., Any], family: str
) -> None:
    loaded = load_tiny(family)
    model, inputs = loaded.model, ask(loaded, ["the red cup"])
    plain = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    with trace(model, loaded.processor, images=PICTURES) as traced:
        answer = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert torch.equal(answer, plain)
    assert len(traced.steps()) == answer.shape[1] - inputs["input_ids"].shape[1]  # the last word is not fed again
    fed = {**inputs, "input_ids": answer[:, :-1], "attention_mask": torch.ones_like(answer[:, :-1])}
    if "mm_token_type_ids" in fed:
        more = answer.shape[1] - 1 - inputs["input_ids"].shape[1]
        fed["mm_token_type_ids"] = torch.nn.functional.pad(fed["mm_token_type_ids"], (0, more))
    with trace(model, loaded.processor, images=PICTURES) as whole:
        model(**fed)
    assert [token.id for token in traced.maps.tokens] == [token.id for token in whole.maps.tokens]
    torch.testing.assert_close(traced.maps.values, whole.maps.values, atol=1e-6, rtol=1e-4)


@pytest.mark.filterwarnings("ignore:In CPU autocast")  # Mochi asks for autocast to float32, to have none
def test_mochi_is_read_one_video_at_a_time_and_a_batch_is_refused_in_words(load_tiny: Callable[..., Any]) -> None:
    pipe = load_tiny("mochi").pipeline
    size = {"height": 64, "width": 96, "num_frames": 7}
    with trace(pipe) as traced:
        generate(pipe, size, PROMPTS[0], guidance_scale=1.0)
    assert [len(traced), len(traced.steps())] == [1, 3]
    with trace(pipe), pytest.raises(AttentionError, match="generate one video at a time, without classifier-free"):
        generate(pipe, size, PROMPTS[0], guidance_scale=3.0)
    generate(pipe, size, PROMPTS[0], guidance_scale=3.0)  # no hook is left behind


def test_several_pictures_of_a_prompt_and_several_calls_are_pictures_of_their_own(
    load_tiny: Callable[..., Any],
) -> None:
    pipe = load_tiny("flux").pipeline
    with trace(pipe) as traced:
        generate(pipe, SIZES["flux"], PROMPTS[0], num_images_per_prompt=2)
        generate(pipe, SIZES["flux"], PROMPTS[1])
    assert [traced.of(picture).tokens[0].spelling for picture in range(3)] == ["the", "the", "a"]
    assert not torch.equal(traced.of(0).values, traced.of(1).values)
    with pytest.raises(IndexError, match="pictures 0 to 2, not 3"):
        traced.of(3)


@pytest.mark.parametrize(("direction", "keep"), [("text_to_image", False), ("image_to_text", True)])
def test_layers_heads_and_direction_are_chosen_as_in_a_reading(
    load_tiny: Callable[..., Any], direction: str, keep: bool
) -> None:
    pipe = load_tiny("flux").pipeline
    with trace(pipe, layers="1-2", heads=[1], keep_heads=keep, direction=direction) as traced:
        generate(pipe, SIZES["flux"], PROMPTS[0])
    maps = traced["cup"]
    assert maps.layers == ("transformer_blocks.1", "single_transformer_blocks.0")
    assert maps.heads == (("1",) if keep else ("mean",))
    assert maps.numpy().shape == (2, 1, 1, 4, 6)


def test_what_cannot_be_traced_is_refused_in_one_line(load_tiny: Callable[..., Any]) -> None:
    flux, qwen = load_tiny("flux").pipeline, load_tiny("qwen2_vl")
    with pytest.raises(ConfigError, match="no direction named 'sideways'"):
        trace(flux, direction="sideways")
    with pytest.raises(ConfigError, match="layers='90-99'"):
        trace(flux, layers="90-99")
    with pytest.raises(ConfigError, match=r"traced with its processor: groundkit\.trace\(model, processor\)"):
        trace(qwen.model)
    for given in ("nano", Path("nano"), object()):
        with pytest.raises(
            ConfigError, match=r"give a loaded diffusers pipeline, .*groundkit\.load\(\.\.\.\)\.attention"
        ):
            trace(given)
    with pytest.raises(ModelError, match="this is a t5 model, not a vision-language model"):
        trace(flux.text_encoder_2, qwen.processor)
    with pytest.raises(AttentionError, match="nothing was read"):
        trace(flux).maps  # noqa: B018
    states, pooled, _ = flux.encode_prompt(PROMPTS[0], None)
    with trace(flux), pytest.raises(AttentionError, match="no text was encoded inside"):
        generate(flux, SIZES["flux"], None, prompt_embeds=states, pooled_prompt_embeds=pooled)  # type: ignore[arg-type]
    smol = load_tiny("smolvlm")
    with trace(smol.model, smol.processor), pytest.raises(ConfigError, match=r"\) needs the pictures, one per text"):
        smol.model(**ask(smol, ["the cup"]))


@pytest.mark.parametrize("beams", [1, 3])
@torch.inference_mode()
def test_beam_search_is_refused_and_several_sampled_answers_are_read(load_tiny: Callable[..., Any], beams: int) -> None:
    loaded = load_tiny("qwen2_vl")
    inputs = ask(loaded, ["the red cup"])
    torch.manual_seed(0)
    with trace(loaded.model, loaded.processor) as traced:
        if beams == 1:
            loaded.model.generate(**inputs, max_new_tokens=6, do_sample=True, num_return_sequences=3, temperature=5.0)
            assert len(traced) == 3
        else:
            with pytest.raises(AttentionError, match="as in beam search"):
                loaded.model.generate(**inputs, max_new_tokens=12, do_sample=False, num_beams=beams)


@pytest.mark.parametrize("family", ["qwen2_vl", "llava"])
@torch.inference_mode()
def test_each_row_of_a_padded_batch_of_generate_is_read_as_it_is_alone(
    load_tiny: Callable[..., Any], family: str
) -> None:
    loaded = load_tiny(family)
    questions = ["the red cup", "where is the small blue ball of the dog"]
    with trace(loaded.model, loaded.processor, images=PICTURES) as together:
        loaded.model.generate(**ask(loaded, questions), max_new_tokens=3, do_sample=False)
    with trace(loaded.model, loaded.processor, images=PICTURES[:1]) as alone:
        loaded.model.generate(**ask(loaded, questions[:1]), max_new_tokens=3, do_sample=False)
    question, expected = together.steps(0)[0], alone.steps(0)[0]
    assert question.tokens == expected.tokens
    torch.testing.assert_close(question.values, expected.values, atol=1e-5, rtol=1e-3)
