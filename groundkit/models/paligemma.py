"""PaliGemma: one view of the whole picture, first in the sequence; picture and question see each other both ways."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from groundkit.models.vision_language import View, VisionLanguageModel


class PaliGemmaModel(VisionLanguageModel):
    """PaliGemma: 16 x 16 tokens at 224 pixels, 32 x 32 at 448, 64 x 64 at 896; no tiles, no thumbnail.

    The processor stretches the picture to a square, without cut or padding. Not causal: every token of picture and
    question sees all of both; an answer's token sees them and the answer up to itself, and they do not see it.
    PaliGemma 2 cannot be loaded: its Gemma 2 has no attention through ``scaled_dot_product_attention`` to be read.
    """

    model_types = ("paligemma",)
    causal = False
    answer_marks: ClassVar[Mapping[str, int]] = {"attention_mask": 1, "token_type_ids": 1}

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[View, ...]:
        positions = self.image_tokens(inputs)
        side = isqrt(self.processor.image_seq_length)
        return (View(positions, (side, side)),)

    def chat(self, question: str) -> str:
        """The picture's mark and the question: PaliGemma has no chat template, and its processor adds the rest."""
        return f"{self.processor.image_token}{question}"

    def _process(self, image: npt.NDArray[np.uint8], question: str) -> dict[str, Tensor]:
        inputs = super()._process(image, question)
        inputs.pop("labels", None)  # for training
        return inputs
