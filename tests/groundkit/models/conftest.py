"""Models of the real classes, tiny and untrained, loaded from a folder like a real checkpoint."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from groundkit.models.diffusion.families import diffusion_family
from groundkit.models.vision_language.families import load_vision_language


@pytest.fixture(scope="session")
def load_tiny(save_tiny: Callable[[str], Path]) -> Callable[..., Any]:
    """Loads a tiny model with options, as the family that its folder names."""

    def load(family: str, **options: Any) -> Any:
        folder = save_tiny(family)
        if (folder / "model_index.json").exists():
            kind = diffusion_family(folder, local_files_only=True)
            return kind.from_pretrained(folder, local_files_only=True, **options)
        return load_vision_language(folder, local_files_only=True, **options)

    return load


@pytest.fixture(scope="session")
def flux_folder(save_tiny: Callable[[str], Path]) -> Path:
    return save_tiny("flux")
