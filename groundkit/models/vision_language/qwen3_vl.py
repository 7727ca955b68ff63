"""Qwen3-VL: one view of the picture at about its own size, row by row; causal throughout."""

from __future__ import annotations

from groundkit.models.vision_language.qwen2_vl import Qwen2VlModel


class Qwen3VlModel(Qwen2VlModel):
    """Qwen3-VL: a token for each 32 x 32 pixels, which are 2 x 2 patches of the vision tower; else as Qwen2-VL.

    Features of earlier layers of the vision tower are added to the same tokens after the language model's first layers.
    """


FAMILY = Qwen3VlModel
