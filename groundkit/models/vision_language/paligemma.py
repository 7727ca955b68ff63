"""PaliGemma: one view of the whole picture, first in the sequence; picture and question see each other both ways."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from math import isqrt
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from groundkit.attention.grids import TokenGrid
from groundkit.models.vision_language.base import PlacedGrid, VisionLanguageModel

# The tasks that it was trained on (ai.google.dev/gemma/docs/paligemma/prompt-system-instructions).
_TASK = re.compile(r"(?:cap|caption|describe|answer|question) [a-z]{2}\b|ocr\b|(?:detect|segment) ")


class PaliGemmaModel(VisionLanguageModel):
    """PaliGemma: 16 x 16 tokens at 224 pixels, 32 x 32 at 448, 64 x 64 at 896; no tiles, no thumbnail.

    The processor stretches the picture to a square, without cut or padding. Not causal: every token of picture and
    question sees all of both; an answer's token sees them and the answer up to itself, and they do not see it.
    PaliGemma 2 cannot be loaded: its Gemma 2 has no attention through ``scaled_dot_product_attention`` to be read.

    It follows no free instructions, but answers short questions and does set tasks, "caption en" among them. Objects
    are asked for as in its training ("What objects are in the image?", arXiv 2407.07726, appendix B), and a given
    phrase is read as its caption. Only the ``mix`` checkpoints do all tasks; the ``pt`` ones wait for fine-tuning.
    """

    causal = False
    keeps_prefix = False
    answer_marks: ClassVar[Mapping[str, int]] = {"attention_mask": 1, "token_type_ids": 1}
    listing_questions: ClassVar[tuple[str, ...]] = (
        "answer en What objects are in the image?",
        "caption en",
        "describe en",
    )
    phrase_question: ClassVar[str] = "caption en"
    _gap = ""  # its processor encodes an answer to train on by itself, after the line break that ends the task

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, *, offload: bool = False) -> None:
        super().__init__(model, processor, name, device, offload=offload)
        if re.search(r"\bpt\b", Path(name).name.replace("_", "-")):
            warnings.warn(
                f"{name}: a pt checkpoint of PaliGemma answers no questions before it is fine-tuned: use a mix one, "
                "such as google/paligemma-3b-mix-448",
                stacklevel=2,
            )

    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        positions = self.image_tokens(inputs)
        side = isqrt(self.processor.image_seq_length)
        return (PlacedGrid(positions, TokenGrid((side, side))),)

    def chat(self, question: str) -> str:
        """The picture's mark and a task: PaliGemma has no chat template, and its processor adds the rest."""
        task = question if _TASK.match(question) else f"answer en {question}"
        return f"{self.processor.image_token}{task}"

    def _process(self, image: npt.NDArray[np.uint8], question: str, processor: Any = None) -> dict[str, Tensor]:
        inputs = super()._process(image, question, processor)
        inputs.pop("labels", None)  # for training
        return inputs


FAMILY = PaliGemmaModel
