"""Models of the real classes, tiny and untrained, loaded from a folder like a real checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from groundkit.models.diffusion.families import diffusion_family
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.families import load_vision_language


@pytest.fixture(scope="session")
def load_tiny(save_tiny: Callable[[str], Path]) -> Callable[..., Any]:
    """Loads a tiny model with the fields of ``LoadOptions``, as the family that its folder names."""

    def load(family: str, *, device: str = "cpu", **options: Any) -> Any:
        folder = save_tiny(family)
        wanted = LoadOptions(device=torch.device(device), local_files_only=True, **options)
        if (folder / "model_index.json").exists():
            return diffusion_family(folder, wanted).from_pretrained(folder, wanted)
        return load_vision_language(folder, wanted)

    return load


@pytest.fixture(scope="session")
def flux_folder(save_tiny: Callable[[str], Path]) -> Path:
    return save_tiny("flux")
