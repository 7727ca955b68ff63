"""One tiny, untrained model of every family, of the real classes, saved to a folder and loaded like a real one."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.models.vision_language.base import VisionLanguageModel

TINY = Path(__file__).parents[3] / "tiny" / "vision_language"
FAMILIES = sorted(path.stem.removeprefix("tiny_") for path in TINY.glob("tiny_*.py"))


@pytest.fixture(scope="session", params=FAMILIES)
def load_model(request: pytest.FixtureRequest, load_tiny: Callable[..., Any]) -> Callable[..., VisionLanguageModel]:
    """Loads, with options, each family in ``tests/tiny/vision_language`` in turn."""
    return functools.partial(load_tiny, request.param)


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
