"""CLIP's text encoder: how alike two texts are for a model that learnt what pictures they go with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, CLIPTextModelWithProjection

from groundkit.errors import ModelError
from groundkit.exclusive import exclusive
from groundkit.models.loading import check_model_folder, explain_loading_errors
from groundkit.models.weights_check import load_weights

_KINDS = ("clip", "clip_text_model")
_OTHER_HALF = ("vision_model.", "visual_projection.", "logit_scale")


class ClipText:
    """The text half of a CLIP, with its projection."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self.model = model.eval().to(device)
        self.tokenizer = tokenizer
        self.device = device

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, device: str | torch.device = "cpu", local_files_only: bool = False
    ) -> ClipText:
        """Load it from the hub id or folder of a whole CLIP, or of its text half alone.

        Raises:
            ModelError: with one line that says what is missing, refused or of another kind, and what to do.
        """
        check_model_folder(source, "config.json")
        where: dict[str, Any] = {"local_files_only": local_files_only}
        with explain_loading_errors(source):
            config = AutoConfig.from_pretrained(source, trust_remote_code=False, **where)
        # Another model's folder would load, with random weights in place of those it does not have.
        if config.model_type not in _KINDS:
            raise ModelError(
                f"{source}: a model of type {config.model_type}, not CLIP; try openai/clip-vit-base-patch32"
            )
        with explain_loading_errors(source):
            tokenizer = AutoTokenizer.from_pretrained(source, **where)
            model = load_weights(CLIPTextModelWithProjection, source, source=source, others=_OTHER_HALF, **where)
        return cls(model, tokenizer, torch.device(device))

    @exclusive
    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Float32 ``(texts, width)``: the projected features, of any length. What is too long is cut."""
        longest = self.model.config.max_position_embeddings
        inputs = self.tokenizer(list(texts), padding=True, truncation=True, max_length=longest, return_tensors="pt")
        features: Tensor = self.model(**inputs.to(self.device)).text_embeds
        return features.float().cpu()
