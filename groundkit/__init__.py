"""groundkit: a phrase and a picture go in, a mask comes out, with no training.

>>> import groundkit
>>> pipeline = groundkit.load("refam", model="black-forest-labs/FLUX.1-schnell", segmenter="facebook/sam-vit-huge")
>>> grounding = pipeline("photo.jpg", "the red cup")
>>> grounding.save("out", formats=("png", "overlay"))
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Threads that wait for each other spin, and on a machine whose cores others use they spin where those would work. How
# long they do is read once, when torch is imported. Rounds, not seconds: see benchmarks/crowded.py.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if not Path(__file__).with_name("pipelines").is_dir():
    raise ImportError(
        "groundkit/cli, groundkit/pipelines and groundkit/weights are symbolic links, which this checkout lacks: run "
        "`git config core.symlinks true` and `git checkout -- groundkit` (on Windows, in developer mode)"
    )

from groundkit.errors import (
    AttentionError,
    ConfigError,
    GroundkitError,
    ImageError,
    InputError,
    ModelError,
    PhraseError,
)
from groundkit.loading import load

if TYPE_CHECKING:
    from groundkit.results import Discovery, Grounding

__version__ = "0.1.0"

__all__ = [
    "AttentionError",
    "ConfigError",
    "Discovery",
    "Grounding",
    "GroundkitError",
    "ImageError",
    "InputError",
    "ModelError",
    "PhraseError",
    "load",
]


def __getattr__(name: str) -> Any:
    """Results need NumPy, which ``groundkit --help`` should not wait for."""
    if name in ("Discovery", "Grounding"):
        from groundkit import results

        return getattr(results, name)
    raise AttributeError(f"module 'groundkit' has no attribute {name!r}")
