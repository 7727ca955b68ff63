"""Cases on models with the shapes of real ones: the libraries' own classes, random weights, few layers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))
IS_BEFORE = find_spec("groundkit.clock") is None
Case = Callable[[], Any]


if IS_BEFORE:  # modules under the names that they have now
    import groundkit.models.qwen2_vl as family
    import groundkit.models.vision_language as base
    import groundkit.pipelines.vlsam_config as config

    sys.modules["groundkit.models.vision_language.base"] = base
    sys.modules["groundkit.models.vision_language.qwen2_vl"] = family
    config.AnswerReading = SimpleNamespace(model_fields={})


@cache
def qwen() -> Any:
    """VL-SAM on Qwen2.5-VL with the shapes of its 3B checkpoint, 2 of its 36 layers, and nano's SAM."""
    import prefix

    import groundkit
    from groundkit.pipelines.vlsam import VLSAM
    from groundkit.pipelines.vlsam_config import read_config

    check, pixels = ("verify", "most_pixels") if IS_BEFORE else ("min_verification", "max_pixels")
    settings = {"evidence": False, check: 1e-9, pixels: 10**8}
    return VLSAM(prefix.qwen(2), groundkit.load("vlsam", device="cpu").segmenter, read_config(settings))


def qwen_first(tokens: int) -> Case:
    """A first phrase, through to its mask."""
    import prefix

    image = prefix.picture(tokens)
    return lambda: int(next(iter(qwen().ground(image, prefix.PHRASES))).mask.any())


def qwen_further(tokens: int) -> Case:
    """A further phrase on the open picture."""
    import prefix

    found = qwen().ground(prefix.picture(tokens), prefix.PHRASES)
    next(found)
    return lambda: int(next(found).mask.any())


def qwen_full_pass(tokens: int) -> Case:
    """One whole pass of the model over a question."""
    import prefix
    import torch

    model = qwen().vlm
    talk = model.ask(qwen().open(prefix.picture(tokens)).picture, "Is there a cup in the image?")

    @torch.inference_mode()
    def run() -> int:
        model.model(**model._arguments(talk), use_cache=False, logits_to_keep=1)
        return 0

    return run


def qwen_one_check(tokens: int) -> Case:
    """A question for yes or no on the open picture."""
    return _checks(tokens, 1)


def qwen_eight_checks(tokens: int) -> Case:
    """Eight of them in a batch."""
    return _checks(tokens, 8)


def _checks(tokens: int, count: int) -> Case:
    import prefix

    run = prefix.checks(qwen(), prefix.picture(tokens), count)
    return lambda: run() and 0


def qwen_discover(tokens: int) -> Case:
    """Everything in five views."""
    import prefix

    def run() -> list[str]:
        return list(qwen().discover(prefix.picture(tokens)).labels)

    return run


def qwen_models_share(tokens: int, flow: str) -> Case:
    """Which share of a warm phrase's time the models' forward passes take."""
    import prefix

    import groundkit

    method = qwen().with_config(flow=flow)
    image = prefix.picture(tokens)

    def run() -> float:
        with groundkit.timings() as timings:
            list(method.ground(image, prefix.PHRASES[:2]))
        return timings.models

    return run


def flux(blocks: tuple[int, int] = (19, 38)) -> Any:
    """A FLUX transformer with all of its blocks, of small width, and its inputs."""
    import torch
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    model = FluxTransformer2DModel(
        in_channels=16,
        num_layers=blocks[0],
        num_single_layers=blocks[1],
        attention_head_dim=64,
        num_attention_heads=4,
        joint_attention_dim=64,
        pooled_projection_dim=32,
        axes_dims_rope=(16, 24, 24),
    ).eval()
    text, grid = 64, 16
    inputs = {
        "hidden_states": torch.randn(1, grid**2, 16),
        "encoder_hidden_states": torch.randn(1, text, 64),
        "pooled_projections": torch.randn(1, 32),
        "timestep": torch.full((1,), 0.5),
        "img_ids": torch.cartesian_prod(torch.zeros(1), torch.arange(float(grid)), torch.arange(float(grid))),
        "txt_ids": torch.zeros(text, 3),
        "return_dict": False,
    }
    return model, inputs, text


def flux_plain() -> Case:
    """A whole pass."""
    import torch

    model, inputs, _ = flux()
    return torch.inference_mode()(lambda: model(**inputs) and 0)


def flux_double_blocks(stop: bool) -> Case:
    """A pass whose double blocks alone are read, to its end or no further than it must run."""
    import torch

    from groundkit.attention.tap import AttentionTap, Selection

    model, inputs, text = flux()
    layers = {str(number): block for number, block in enumerate(model.transformer_blocks)}

    @torch.inference_mode()
    def run() -> int:
        with AttentionTap(layers, {"map": Selection(slice(text, None), slice(text))}, stop=stop) as tap:
            model(**inputs)
        return len(tap.read("map"))

    return run


def flux_double_blocks_alone() -> Case:
    """The double blocks alone, which is what must run."""
    import torch

    model, inputs, _ = flux((19, 0))
    return torch.inference_mode()(lambda: model(**inputs) and 0)


def bounded_masks(method: str, limit: int) -> Case:
    """IoU of masks that are chosen at the bounded size with those at the full one: the mean and the lowest."""
    import picture_size

    cases = Path(picture_size.ROOT) / "samples/cases.jsonl"

    def run() -> list[float]:
        ious = [row["iou"] for row in picture_size.compare(method, cases, 8, limit)]
        return [sum(ious) / len(ious), min(ious)]

    return run


def memory_of_large(method: str, megapixels: float) -> Case:
    """What twenty phrases on a large picture take, in a process of its own: MiB at the peak, and kept."""
    import picture_size
    from memory import in_fresh_process

    def run() -> list[float]:
        told: Any = in_fresh_process(picture_size.measure, method, megapixels)
        return [told["peak MiB"], told["kept MiB"]]

    return run


CASES: dict[str, Callable[..., Case]] = {
    each.__name__: each
    for each in (
        qwen_first,
        qwen_further,
        qwen_full_pass,
        qwen_one_check,
        qwen_eight_checks,
        qwen_discover,
        qwen_models_share,
        flux_plain,
        flux_double_blocks,
        flux_double_blocks_alone,
        bounded_masks,
        memory_of_large,
    )
}
