"""One tiny, untrained model of every family, of the real classes, saved to a folder and loaded like a real one."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.models.vision_language.gemma3 import Gemma3Model
from groundkit.models.vision_language.internvl import InternVlModel
from groundkit.models.vision_language.llava import LlavaModel
from groundkit.models.vision_language.llava_onevision import LlavaOnevisionModel
from groundkit.models.vision_language.paligemma import PaliGemmaModel
from groundkit.models.vision_language.qwen2_vl import Qwen2VlModel
from groundkit.models.vision_language.qwen3_vl import Qwen3VlModel
from groundkit.models.vision_language.smolvlm import SmolVlmModel

FAMILIES: dict[str, type[VisionLanguageModel]] = {
    "llava": LlavaModel,
    "gemma3": Gemma3Model,
    "idefics3": SmolVlmModel,
    "internvl": InternVlModel,
    "internvl_whole": InternVlModel,
    "llava_onevision": LlavaOnevisionModel,
    "paligemma": PaliGemmaModel,
    "pixtral": LlavaModel,
    "qwen2_5_vl": Qwen2VlModel,
    "qwen2_vl": Qwen2VlModel,
    "qwen3_vl": Qwen3VlModel,
    "smolvlm": SmolVlmModel,
    "smolvlm_whole": SmolVlmModel,
}


@pytest.fixture(scope="session", params=FAMILIES)
def load_model(request: pytest.FixtureRequest, load_tiny: Callable[..., Any]) -> Callable[..., VisionLanguageModel]:
    """Loads, with options, each family in turn, from a folder that ``tiny_<family>.py`` saved."""
    return functools.partial(load_tiny, Path(__file__).parent, request.param, FAMILIES[request.param])


@pytest.fixture(scope="session")
def model(load_model: Callable[..., VisionLanguageModel]) -> VisionLanguageModel:
    """Each family in turn, on the CPU in float32."""
    return load_model()


@pytest.fixture(params=[(96, 160), (150, 90)], ids=["wide", "tall"])
def picture(request: pytest.FixtureRequest) -> npt.NDArray[np.uint8]:
    """Smooth noise, uint8 RGB."""
    height, width = request.param
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
