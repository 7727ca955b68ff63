"""Qwen2.5-VL, which is read as Qwen2-VL."""

from groundkit.models.vision_language.qwen2_vl import FAMILY as FAMILY
