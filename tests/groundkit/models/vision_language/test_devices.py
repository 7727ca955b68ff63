"""Every family answers, reads and finds on a GPU what it does on the CPU: bit for bit on a make-believe one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from devices import DTYPES, Device

from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.pipelines.vlsam import VLSAM, read_config
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts

# PaliGemma's processor makes an array of a tensor in a way that numpy will not allow for ever.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
PHRASE = "the red cup"


class Squares:
    """A square around the first point."""

    name = "squares"

    def embed(self, image: npt.NDArray[np.uint8]) -> tuple[int, int]:
        return image.shape[0], image.shape[1]

    def segment(self, embedding: tuple[int, int], prompts: PointPrompts, **_: object) -> MaskProposals:
        masks = np.zeros((1, *embedding), np.bool_)
        x, y = prompts.xy[0].astype(int)
        masks[0, max(0, y - 9) : y + 9, max(0, x - 9) : x + 9] = True
        return MaskProposals(masks, np.array([0.8], np.float32))


def outcome(model: VisionLanguageModel) -> dict[str, Any]:
    talk = model.ask(model.encode(PICTURE), "list all the objects in this picture")
    answer = model.generate(talk, max_tokens=4)
    taught = {"evidence": True, "null_phrase": "ball", "refine": "none"}
    found = VLSAM(model, Squares(), read_config(taught))(PICTURE, PHRASE)
    rollout = {"flow": "rollout", "head_weights": "image_max", "grounding": "decaf", "evidence": False}
    decaf = VLSAM(model, Squares(), read_config(rollout))
    return {
        "answer": np.array(answer),
        "agreement": np.array(model.agrees(talk), np.float32),
        "words": model.embed_texts(["cup", "red ball"]).numpy(),
        "heatmap": found.heatmap,
        "points": found.points,
        "evidence": np.array(found.evidence.score, np.float32),
        "decaf": decaf(PICTURE, PHRASE).heatmap,
    }


@functools.lru_cache(maxsize=len(DTYPES))  # for both devices
def outcome_on_cpu(load_model: Callable[..., VisionLanguageModel], dtype: torch.dtype) -> dict[str, Any]:
    return outcome(load_model(dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))
def test_a_family_finds_on_the_device_what_it_finds_on_the_cpu(
    device: Device, dtype: torch.dtype, load_model: Callable[..., VisionLanguageModel]
) -> None:
    if device.name == "mps" and dtype is torch.float16:
        pytest.skip("float32 and bfloat16 are enough of an Apple device: float16 takes the same path")
    expected = outcome_on_cpu(load_model, dtype)
    with device.used():
        actual = outcome(load_model(dtype=dtype, device=device.name))
    for name, value in actual.items():
        if not (
            device.real and name in ("answer", "points")
        ):  # choices that hang on the last bit of an untrained model
            device.assert_same(value, expected[name])
