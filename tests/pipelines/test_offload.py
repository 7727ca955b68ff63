"""Who is on the GPU when, under ``--offload``: seen from the weights themselves, on a make-believe GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pretend_device import pretend
from torch import nn

import groundkit
from groundkit.attention import fused
from groundkit.models import offload as offloading
from groundkit.pipelines.ensemble import Ensemble
from groundkit.pipelines.refam import RefAM
from groundkit.results import Grounding

SCENE = Path(__file__).parents[2] / "samples" / "scene_2.png"
PHRASES = ["the red hat", "the yellow dog on the left"]


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fused, "_TRUSTED", {})  # as on the make-believe GPU
    with pretend("cuda"):
        yield
    offloading._stage_of.cache_clear()


def load(pipeline: str, *, offload: bool = True, **options: Any) -> Any:
    device = "cuda" if offload else "cpu"
    return groundkit.load(pipeline, device=device, dtype="float32", offload=offload, local_files_only=True, **options)


def record(parts: Mapping[str, nn.Module]) -> list[tuple[str, tuple[str, ...]]]:
    """A list that grows by (the part that runs, the parts of which a weight is on the GPU) as the parts run."""
    seen: list[tuple[str, tuple[str, ...]]] = []

    def look(name: str) -> None:
        there = tuple(each for each, part in parts.items() if any(p.device.type == "cuda" for p in part.parameters()))
        if not seen or seen[-1] != (name, there):
            seen.append((name, there))

    for name, part in parts.items():
        for module in part.modules():
            if not list(module.children()):
                module.register_forward_pre_hook(lambda *_, name=name: look(name))
    return seen


def parts_of_flux(pipeline: Any, segmenter: Any) -> dict[str, nn.Module]:
    flux = pipeline.diffusion.pipeline
    return {
        "clip": flux.text_encoder,
        "t5": flux.text_encoder_2,
        "vae": flux.vae.encoder,
        "transformer": flux.transformer,
        "sam": segmenter.model.vision_encoder,
    }


def there_of(seen: list[tuple[str, tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """The parts on the GPU; the one that runs is always among them."""
    assert all(running in there for running, there in seen)
    return [there for _, there in seen]


@pytest.mark.parametrize("evidence", [False, True], ids=["", "evidence"])
def test_the_parts_of_flux_come_to_the_gpu_one_after_the_other_and_once_for_all_phrases(
    evidence: bool,
) -> None:
    pipeline = load("refam", config={"evidence": evidence})
    assert isinstance(pipeline, RefAM)
    seen = record(parts_of_flux(pipeline, pipeline.segmenter))
    found = pipeline(SCENE, PHRASES)
    turns = [there for there, before in zip(there_of(seen), [(), *there_of(seen)], strict=False) if there != before]
    assert turns == [("clip", "t5"), ("vae",), ("transformer",), ("sam",)]
    expected = load("refam", offload=False, config={"evidence": evidence})(SCENE, PHRASES)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.heatmap, other.heatmap)
        np.testing.assert_array_equal(one.masks, other.masks)


def test_the_segmenter_leaves_the_gpu_before_a_block_of_a_vision_language_model_comes() -> None:
    pipeline = load("vlsam")
    layers = pipeline.vlm.model.get_decoder().layers
    sam = pipeline.segmenter.model
    seen: list[tuple[bool, int]] = []

    def look(*_: Any) -> None:
        blocks = sum(any(p.device.type == "cuda" for p in layer.parameters()) for layer in layers)
        seen.append((any(p.device.type == "cuda" for p in sam.parameters()), blocks))

    for layer in layers:
        next(module for module in layer.modules() if not list(module.children())).register_forward_pre_hook(look)
    found = pipeline(SCENE, PHRASES)
    assert seen
    assert max(seen) <= (False, 1)  # a block's weights come layer by layer, after this look
    expected = load("vlsam", offload=False)(SCENE, PHRASES)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.heatmap, other.heatmap)
        np.testing.assert_array_equal(one.masks, other.masks)


def test_members_of_an_ensemble_take_turns_too() -> None:
    pipeline = load("ensemble", model="nano,nano")
    assert isinstance(pipeline, Ensemble)
    refam: Any = pipeline.members[0]
    seen = record(
        {
            **parts_of_flux(refam, pipeline.segmenter._segmenter),
            "vlm": pipeline.members[1].vlm.model.get_decoder().layers[1],
        }
    )  # type: ignore[attr-defined]
    assert isinstance(pipeline(SCENE, PHRASES[0]), Grounding)
    turns = set(there_of([look for look in seen if look[0] != "vlm"]))
    assert turns == {("clip", "t5"), ("vae",), ("transformer",), ("sam",)}
    assert all(not there for running, there in seen if running == "vlm")  # its weights come layer by layer
    assert {running for running, _ in seen} == {"clip", "t5", "vae", "transformer", "sam", "vlm"}


def test_a_family_for_videos_has_one_part_on_the_gpu_at_a_time(save_tiny: Callable[[str], Path]) -> None:
    pipeline = load(
        "refam", model=save_tiny("wan_2_2"), segmenter="nano", config={"evidence": True, "magnets": ("with",)}
    )
    wan = pipeline.diffusion
    step = wan.compression[1] * wan.patch[1]
    wan.size = (3 * step, 5 * step)
    parts = {
        "t5": wan.pipeline.text_encoder,
        "vae": wan.pipeline.vae.encoder,
        "transformer": wan.pipeline.transformer,
        "transformer_2": wan.pipeline.transformer_2,
        "sam": pipeline.segmenter.model.vision_encoder,
    }
    seen = record(parts)
    pipeline.ground_clip([np.zeros((48, 80, 3), np.uint8)] * 5, "the red cup")
    assert all(there == (running,) for running, there in seen)
    order = [running for running, _ in seen]
    assert order[:2] == ["t5", "vae"]
    assert order[-1] == "sam"
    assert set(order[2:-1]) <= {"transformer", "transformer_2"}
