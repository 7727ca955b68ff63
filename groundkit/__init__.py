"""groundkit: a phrase and a picture go in, a mask comes out, with no training.

>>> import groundkit
>>> pipeline = groundkit.load("refam", model="black-forest-labs/FLUX.1-schnell", segmenter="facebook/sam-vit-huge")
>>> grounding = pipeline("photo.jpg", "the red cup")
>>> grounding.save("out", formats=("png", "overlay"))
"""

from groundkit.errors import AttentionError, ConfigError, GroundkitError, ImageError, InputError, ModelError, PhraseError
from groundkit.loading import load
from groundkit.results import Grounding

__version__ = "0.1.0"

__all__ = [
    "AttentionError",
    "ConfigError",
    "Grounding",
    "GroundkitError",
    "ImageError",
    "InputError",
    "ModelError",
    "PhraseError",
    "load",
]
