from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.weights.training.scenes import SceneMaker
from groundkit.weights.training.vocabulary import EMOJI


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> SceneMaker:
    """Scenes of discs and bars in place of the drawings, on procedural grounds."""
    folder: Path = tmp_path_factory.mktemp("emoji")
    y, x = np.mgrid[:64, :64]
    disc = (x - 32) ** 2 + (y - 32) ** 2 < 28**2
    bar = abs(y - 32) < 12
    for index, codes in enumerate(EMOJI.values()):
        for code in codes:
            solid = disc if index % 2 else bar
            pixels = np.dstack([x * 4, y * 4, np.full_like(x, 90), solid * 255]).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{code}.webp", lossless=True)
    return SceneMaker(folder, None, None)
