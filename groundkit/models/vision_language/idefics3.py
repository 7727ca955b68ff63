"""Idefics3, which is read as SmolVLM."""

from groundkit.models.vision_language.smolvlm import FAMILY as FAMILY
