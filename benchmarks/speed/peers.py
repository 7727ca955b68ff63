"""The tap beside the peers, in an environment that has both: the same real classes, layers and tokens.

Time is measured in turns in one process, memory in a process of its own for each case, above the inputs. daam reads
Stable Diffusion's UNet alone; the others a FLUX transformer, or LLaVA and Qwen2.5-VL, all with random weights.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

sys.path.append(str(Path(__file__).parents[1]))
TEXT, GRID, FEW, ANSWER, IMAGE = 128, 32, 20, 16, 576
Case = Callable[[], Any]


@cache
def flux() -> Any:
    """Two double and two single blocks of FLUX, 8 heads of 64, 128 words before 1,024 patches."""
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=64,
        num_attention_heads=8,
        joint_attention_dim=64,
        pooled_projection_dim=32,
        axes_dims_rope=(16, 24, 24),
    ).eval()
    inputs = {
        "hidden_states": torch.randn(1, GRID**2, 16),
        "encoder_hidden_states": torch.randn(1, TEXT, 64),
        "pooled_projections": torch.randn(1, 32),
        "timestep": torch.full((1,), 0.5),
        "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(float(GRID)), torch.arange(float(GRID))),
        "txt_ids": torch.zeros(TEXT, 3),
        "return_dict": False,
    }
    return model, inputs


@cache
def language_model(name: str, attention: str) -> Any:
    """LLaVA or Qwen2.5-VL with 8 layers of 1,024, and a conversation of 624 tokens about a picture of 576."""
    import transformers

    torch.manual_seed(0)
    text = {"hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 8, "num_attention_heads": 16}
    text |= {"vocab_size": 1024, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    more: dict[str, Any] = {}
    if name == "llava":
        config = transformers.LlavaConfig(
            text_config=transformers.LlamaConfig(**text),
            vision_config=transformers.CLIPVisionConfig(
                hidden_size=256,
                intermediate_size=512,
                num_hidden_layers=3,
                num_attention_heads=4,
                image_size=336,
                patch_size=14,
            ),
            image_token_index=1000,
            vision_feature_layer=-2,
            attn_implementation=attention,
        )
        model = transformers.LlavaForConditionalGeneration(config).eval()
        pixels = torch.randn(1, 3, 336, 336)
    else:
        rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [8, 12, 12]}
        vision = {"depth": 3, "hidden_size": 256, "intermediate_size": 512, "num_heads": 4, "out_hidden_size": 1024}
        config = transformers.Qwen2_5_VLConfig(
            text_config={**text, "num_key_value_heads": 2, "rope_parameters": rope},
            vision_config={**vision, "fullatt_block_indexes": [2]},
            image_token_id=1000,
            attn_implementation=attention,
        )
        model = transformers.Qwen2_5_VLForConditionalGeneration(config).eval()
        pixels = torch.randn(48 * 48, 3 * 2 * 14 * 14)
        more = {"image_grid_thw": torch.tensor([[1, 48, 48]])}
    prompt = torch.cat([torch.arange(1, 9), torch.full((IMAGE,), 1000), torch.arange(10, 34)])[None]
    ids = torch.cat([prompt, torch.arange(40, 40 + ANSWER)[None]], 1)
    if more:
        more["mm_token_type_ids"] = (ids == 1000).int()
    inputs = {"input_ids": ids, "pixel_values": pixels, "attention_mask": torch.ones_like(ids), "use_cache": False}
    return model, {**inputs, **more}, prompt


def plain(subject: str) -> Case:
    """The forward pass alone."""
    if subject == "flux":
        model, inputs = flux()
    else:
        model, inputs, _ = language_model(subject, "sdpa")
        inputs = {**inputs, "logits_to_keep": 1}
    return torch.inference_mode()(lambda: model(**inputs)[0])


def tap(subject: str) -> Case:
    """Every word's map; of an answer's words every head's."""
    from groundkit.attention.tap import AttentionTap, Selection

    if subject == "flux":
        model, inputs = flux()
        blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
        selection = Selection(slice(TEXT, None), slice(TEXT))
    else:
        model, inputs, prompt = language_model(subject, "sdpa")
        inputs = {**inputs, "logits_to_keep": 1}
        blocks = list(model.get_decoder().layers)
        selection = Selection(slice(prompt.shape[1], None), slice(8, 8 + IMAGE), "all")
    layers = {str(number): block for number, block in enumerate(blocks)}

    @torch.inference_mode()
    def run() -> Any:
        with AttentionTap(layers, {"map": selection}) as opened:
            model(**inputs)
        return opened.read("map")

    return run


def flow(subject: str) -> Case:
    """The attention flow from the answer's words through all layers."""
    from groundkit.attention.flow import image_flow
    from groundkit.attention.heads import WeighedHeads
    from groundkit.attention.tap import AttentionTap

    model, inputs, prompt = language_model(subject, "sdpa")
    layers = {str(number): block for number, block in enumerate(model.get_decoder().layers)}
    image = torch.arange(8, 8 + IMAGE)
    rows = torch.zeros(1, inputs["input_ids"].shape[1])
    rows[0, prompt.shape[1] :] = 1 / ANSWER

    @torch.inference_mode()
    def run() -> Any:
        with AttentionTap(layers, {"heads": WeighedHeads(image)}) as opened:
            model(**inputs, logits_to_keep=1)
        return image_flow(opened.read_layers("heads"), rows, image)

    return run


def eager(subject: str) -> Case:
    """``output_attentions`` of transformers."""
    model, inputs, prompt = language_model(subject, "eager")

    @torch.inference_mode()
    def run() -> Any:
        found = model(**inputs, output_attentions=True, logits_to_keep=1).attentions
        return torch.stack([each[0, :, prompt.shape[1] :, 8 : 8 + IMAGE] for each in found])

    return run


def vl_saliency(subject: str) -> Case:
    """vl-saliency, without gradients."""
    from vl_saliency import SaliencyExtractor

    model, inputs, prompt = language_model(subject, "eager")
    tokenizer = SimpleNamespace(tokenizer=SimpleNamespace(pad_token_id=0))

    def run() -> Any:
        extractor = SaliencyExtractor(model, tokenizer, store_grads=False)
        return extractor.capture(inputs["input_ids"], input_ids=prompt, pixel_values=inputs["pixel_values"]).attn

    return run


def attention_map_diffusers(subject: str) -> Case:
    """attention-map-diffusers, its fast mode."""
    from attention_map_diffusers import AttentionCapture

    model, inputs = flux()

    @torch.inference_mode()
    def run() -> Any:
        capture = AttentionCapture(
            SimpleNamespace(transformer=model), relations="image->text", mode="fast", key_indices=None, heads="mean"
        )
        with capture:
            model(**inputs)
        return capture.compute()

    return run


@cache
def unet() -> Any:
    """A small Stable Diffusion, four steps of 64 x 64 latents."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    from groundkit.weights.catalog import source_of

    torch.manual_seed(0)
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=[32] * 4,
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            latent_channels=4,
        ),
        unet=UNet2DConditionModel(
            block_out_channels=(128, 256),
            layers_per_block=1,
            sample_size=64,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=64,
            attention_head_dim=8,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                hidden_size=64,
                intermediate_size=37,
                num_attention_heads=4,
                num_hidden_layers=2,
                vocab_size=1000,
                bos_token_id=0,
                eos_token_id=2,
                pad_token_id=1,
            )
        ),
        tokenizer=CLIPTokenizer.from_pretrained(f"{source_of('nano', 'flux')}/tokenizer"),
        scheduler=DDIMScheduler(clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def generation(**options: Any) -> Any:
    """One picture of the small Stable Diffusion."""
    seeded = torch.Generator().manual_seed(0)
    return unet()("red cup", num_inference_steps=4, output_type="np", generator=seeded, **options)


def unet_plain(subject: str) -> Case:
    """Generation alone."""
    return generation


def unet_tap(subject: str) -> Case:
    """Every cross-attention of every step, summed."""
    from groundkit.attention.tap import AttentionTap, Selection

    layers = {n: m for n, m in unet().unet.named_modules() if n.endswith("attn2") and "mid" not in n}

    def run() -> Any:
        total: dict[str, Any] = {}
        with AttentionTap(layers, {"map": Selection(slice(None), slice(None))}) as opened:

            def step(_: Any, __: int, ___: Any, kept: Any) -> Any:
                for name, entry in zip(layers, opened.read_layers("map"), strict=True):
                    total[name] = total.get(name, 0) + entry[1]
                return kept

            generation(callback_on_step_end=step)
        return total

    return run


def daam(subject: str) -> Case:
    """daam's global heat map."""
    import daam as peer

    def run() -> Any:
        with torch.no_grad(), peer.trace(unet()) as trace:
            generation()
            return trace.compute_global_heat_map()

    return run


CASES = {
    each.__name__: each
    for each in (plain, tap, flow, eager, vl_saliency, attention_map_diffusers, unet_plain, unet_tap, daam)
}


def peak(name: str, subject: str) -> float:
    """Peak MiB of one run above its inputs. Call it in a process of its own."""
    from memory import peak_mib

    run = CASES[name](subject)
    if name != "unet_plain":
        torch.randn(8, 8) @ torch.randn(8, 8)
    return peak_mib(run)


def peak_case(name: str, subject: str) -> Case:
    """The same in a new process."""
    from memory import in_fresh_process

    return lambda: in_fresh_process(peak, name, subject)


def without_result(make: Callable[..., Case]) -> Callable[..., Case]:
    """A case whose result stays here."""

    def made(**arguments: Any) -> Case:
        run = make(**arguments)
        return lambda: run() is None

    return made


if __name__ == "__main__":
    import worker

    worker.CASES.clear()
    worker.CASES.update({name: without_result(make) for name, make in CASES.items()} | {"peak": peak_case})
    worker.main()
