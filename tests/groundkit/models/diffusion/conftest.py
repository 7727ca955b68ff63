"""One tiny, untrained model of every family, of the real classes, saved to a folder and loaded like a real one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.models.diffusion.base import DiffusionModel

TINY = Path(__file__).parents[3] / "tiny" / "diffusion"
FAMILIES = sorted(path.stem.removeprefix("tiny_") for path in TINY.glob("tiny_*.py"))


@pytest.fixture(scope="session", params=FAMILIES)
def load_model(request: pytest.FixtureRequest, load_tiny: Callable[..., Any]) -> Callable[..., DiffusionModel]:
    """Loads, with options, each family in ``tests/tiny/diffusion`` in turn."""

    def load(**options: Any) -> DiffusionModel:
        loaded: DiffusionModel = load_tiny(request.param, **options)
        step = loaded.compression[1] * loaded.patch[1]
        loaded.size = (3 * step, 5 * step)
        return loaded

    return load


@pytest.fixture(scope="session")
def model(load_model: Callable[..., DiffusionModel]) -> DiffusionModel:
    """Each family in turn, on the CPU in float32."""
    return load_model()


@pytest.fixture
def clip(model: DiffusionModel) -> npt.NDArray[np.uint8]:
    """Noise that fills 3 slices, or one of a picture, of 3 x 5 patches, so that nothing is resampled: uint8 RGB."""
    frames = model.clip_length(3 * model.compression[0] * model.patch[0])
    return np.random.default_rng(0).integers(0, 256, (frames, *model.size, 3), dtype=np.uint8)
