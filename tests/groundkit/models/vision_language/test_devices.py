"""Every family answers, reads and finds on a GPU what it does on the CPU: bit for bit on a make-believe one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from devices import Device, each_dtype, on_both
from fakes import SquareSegmenter

from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.pipelines.decaf import DecAF
from groundkit.pipelines.vlsam import VLSAM
from groundkit.pipelines.vlsam_config import PRESETS, read_config

# PaliGemma's processor makes an array of a tensor in a way that numpy will not allow for ever.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PICTURE = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
PHRASE = "the red cup"


def outcome(model: VisionLanguageModel) -> dict[str, Any]:
    talk = model.ask(model.encode(PICTURE), "list all the objects in this picture")
    answer = model.generate(talk, max_tokens=4)
    taught = {"evidence": True, "null_phrase": "ball", "refinement": "none"}
    found = VLSAM(model, SquareSegmenter(half=9), read_config(taught))(PICTURE, PHRASE)
    decaf = DecAF(model, SquareSegmenter(half=9), read_config(PRESETS["decaf"], {"evidence": False}))
    return {
        "answer": np.array(answer),
        "agreement": np.array(model.agrees(talk), np.float32),
        "words": model.embed_texts(["cup", "red ball"]).numpy(),
        "heatmap": found.heatmap,
        "points": found.points,
        "evidence": np.array(found.evidence.score, np.float32),
        "decaf": decaf(PICTURE, PHRASE).heatmap,
    }


@each_dtype
def test_a_family_finds_on_the_device_what_it_finds_on_the_cpu(
    device: Device, dtype: torch.dtype, load_model: Callable[..., VisionLanguageModel]
) -> None:
    for name, actual, expected in on_both(outcome, load_model, device, dtype):
        # On a real device an untrained model's choices hang on the last bit.
        if not (device.real and name in ("answer", "points")):
            device.assert_same(actual, expected)
