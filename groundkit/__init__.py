"""groundkit: a phrase and a picture go in, a mask comes out, with no training.

>>> import groundkit
>>> pipeline = groundkit.load("refam")  # model="black-forest-labs/FLUX.1-schnell", segmenter="facebook/sam-vit-huge"
>>> found = pipeline("scene.png", "the red cup")
>>> found
<Grounding 'the red cup': 1 mask, score 0.96, evidence ..., 256 x 256 pixels, refam on nano, ...>
>>> [path.name for path in found.save("out", formats=("png", "overlay"))]
['scene-the-red-cup.png', 'scene-the-red-cup-overlay.png']

What is public is what this module lists; each of it has an example in its docstring. Messages go to the logger
``groundkit``, what a user should look at to ``warnings``; nothing is printed.
"""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

# Threads that wait for each other spin, and on a machine whose cores others use they spin where those would work. How
# long they do is read once, when torch is imported. Rounds, not seconds: see benchmarks/crowded.py.
if "torch" not in sys.modules and "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

if not Path(__file__).with_name("pipelines").is_dir():
    raise ImportError(
        "groundkit/cli, groundkit/pipelines and groundkit/weights are symbolic links, which this checkout lacks: run "
        "`git config core.symlinks true` and `git checkout -- groundkit` (on Windows, in developer mode)"
    )

from groundkit.clock import timings
from groundkit.errors import (
    AttentionError,
    CancelledError,
    ConfigError,
    GroundkitError,
    ImageError,
    InputError,
    ModelError,
    PhraseError,
    StageError,
)
from groundkit.loading import load
from groundkit.version import __version__ as __version__

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps as AttentionMaps
    from groundkit.results import Discovery as Discovery
    from groundkit.results import Failure as Failure
    from groundkit.results import FrameMask as FrameMask
    from groundkit.results import Grounding as Grounding
    from groundkit.results import VideoGrounding as VideoGrounding
    from groundkit.tracing import Trace as Trace
    from groundkit.tracing import trace as trace
    from groundkit.video import follow as follow

__all__ = [
    "AttentionError",
    "AttentionMaps",
    "CancelledError",
    "ConfigError",
    "Discovery",
    "Failure",
    "FrameMask",
    "Grounding",
    "GroundkitError",
    "ImageError",
    "InputError",
    "ModelError",
    "PhraseError",
    "StageError",
    "Trace",
    "VideoGrounding",
    "follow",
    "load",
    "timings",
    "trace",
]


_LATE = {
    "AttentionMaps": "attention.maps",
    "Discovery": "results",
    "Failure": "results",
    "FrameMask": "results",
    "Grounding": "results",
    "Trace": "tracing",
    "VideoGrounding": "results",
    "follow": "video",
    "trace": "tracing",
}


def __getattr__(name: str) -> object:
    """These need NumPy, which ``groundkit --help`` should not wait for."""
    if name in _LATE:
        found: object = getattr(import_module(f"groundkit.{_LATE[name]}"), name)
        return found
    raise AttributeError(f"module 'groundkit' has no attribute {name!r}")
