"""What every vision-language model offers to a pipeline that asks it questions and reads where its words look.

A family (one file each) adds what cannot be known in general: where the picture's tokens stand in the sequence, which
part of the picture each grid of them shows, and whether words see later words.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from groundkit import clock
from groundkit.errors import ConfigError
from groundkit.exclusive import exclusive
from groundkit.models.loading import explain_loading_errors
from groundkit.models.locate import VISION_LANGUAGE, Located, locate
from groundkit.models.offload import check_offload, offload_blocks, refuse_offloaded, stage_of
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.conversations import Conversation as Conversation
from groundkit.models.vision_language.conversations import EncodedPicture as EncodedPicture
from groundkit.models.vision_language.conversations import PlacedGrid as PlacedGrid
from groundkit.models.vision_language.conversations import tiles_then_whole as tiles_then_whole
from groundkit.models.vision_language.passes import ReadModel
from groundkit.models.vision_language.picture_sizes import PICTURE_SIZES, PictureSize
from groundkit.models.weights_check import load_weights

# What a checkpoint's own generation settings say of its tokens; the rest of them (penalties, top_k) is not taken over.
_TOKEN_SETTINGS = ("bos_token_id", "eos_token_id", "pad_token_id", "bad_words_ids", "suppress_tokens")


class VisionLanguageModel(ReadModel):
    """A vision-language model of transformers, loaded by its own class and processor.

    The attributes of :class:`ReadModel` and :class:`~groundkit.models.vision_language.chat.ChatModel`, and:

    Attributes:
        picture_size: how large a picture it is given, where its image tokens grow with the picture; else None.
        causal: whether a token sees none of the tokens after it, image tokens included.
        listing_questions: what makes it name the objects of a picture, for a family that knows set tasks alone.
        phrase_question: what it is asked where a given phrase is to be its answer, for such a family; may hold
            ``{phrase}``.
    """

    causal: ClassVar[bool] = True
    listing_questions: ClassVar[tuple[str, ...]] = ()
    phrase_question: ClassVar[str] = ""

    def __init__(self, model: Any, processor: Any, name: str, device: torch.device, *, offload: bool = False) -> None:
        if offload:
            offload_blocks(model, stage_of(device))
            stage_of(device).lock_with(self)
        elif not getattr(model, "is_quantized", False):  # what is quantised was loaded to its device, and stays there
            model.to(device)
        self.model = model.eval()
        clock.watch(model, "language model", passes=0)  # with the head, which a decoder has not
        clock.watch(model.get_decoder(), "language model")
        self.model.generation_config = GenerationConfig(
            **{name: getattr(model.generation_config, name, None) for name in _TOKEN_SETTINGS}
        )
        self.offload = offload
        self.processor = processor
        self.tokenizer = processor.tokenizer
        if not processor.chat_template:  # older checkpoints keep it with the tokenizer
            processor.chat_template = self.tokenizer.chat_template
        self.name = name
        self.device = device
        self._layers = {f"layers.{i}": layer for i, layer in enumerate(model.get_decoder().layers)}
        self.layer_names = tuple(self._layers)
        kinds = (model.config.model_type, model.config.vision_config.model_type)
        self.picture_size: PictureSize | None = next((PICTURE_SIZES[k] for k in kinds if k in PICTURE_SIZES), None)

    @exclusive
    def to(self, device: torch.device) -> None:
        """Move the model to a device.

        Raises:
            ConfigError: its blocks move by themselves, or it is quantised.
        """
        refuse_offloaded(self.offload)
        if getattr(self.model, "is_quantized", False):
            raise ConfigError(f"{self.name} is quantised, and stays on {self.device}: load it where it shall run")
        self.model.to(device)
        self.device = device

    @classmethod
    def beside(cls, model: Any, processor: Any) -> Self:
        """The family of a model that is somebody else's, for where its tokens stand: nothing of it is changed."""
        family = cls.__new__(cls)
        family.model, family.processor, family.tokenizer = model, processor, processor.tokenizer
        family._layers = {f"layers.{i}": layer for i, layer in enumerate(model.get_decoder().layers)}
        family.layer_names = tuple(family._layers)
        return family

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on {self.device}, {str(self.dtype).removeprefix('torch.')}>"

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Located,
        options: LoadOptions | None = None,
    ) -> Self:
        """Load model and processor.

        Args:
            source: a hub id, a folder, or what ``locate`` found there.
            options: where it goes, and which files are read. With ``offload`` each block of the model waits in main
                memory until it runs.

        Raises:
            ModelError: with one line that says what is missing or refused, and what to do.
        """
        options = options or LoadOptions()
        located = source if isinstance(source, Located) else locate(source, VISION_LANGUAGE, options)
        source, device = located.source, options.device
        if options.offload:
            check_offload(device)
        where: dict[str, Any] = {"revision": options.revision, "local_files_only": located.local_files_only}
        # A checkpoint that was saved quantised.
        placed: dict[str, Any] = {"device_map": {"": str(device)}} if "quantization_config" in located.config else {}
        with explain_loading_errors(source):
            processor = AutoProcessor.from_pretrained(source, **where)
            # Values of its configuration without a meaning show when a picture is read, and not before.
            if image_processor := getattr(processor, "image_processor", None):
                image_processor(images=[Image.new("RGB", (64, 64), "grey")], return_tensors="pt")
            # The tap needs it where the words are read; vision towers without any attention would refuse it.
            attention = {"text_config": "sdpa"}
            model = load_weights(
                AutoModelForImageTextToText,
                source,
                source=source,
                dtype=options.dtype,
                attn_implementation=attention,
                variant=options.variant,
                **placed,
                **where,
            )
        loaded = cls(model, processor, options.name or str(source), device, offload=options.offload)
        loaded.chat("")  # better refused here than at the first picture
        return loaded

    @exclusive
    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Float32 ``(texts, width)``: the mean of each text's token embeddings, less the mean of the vocabulary."""
        table = self.model.get_input_embeddings().weight
        centre = table.float().mean(dim=0)
        vectors = []
        for text in texts:
            ids = torch.tensor(self.tokenizer(text, add_special_tokens=False).input_ids, device=table.device)
            vectors.append(table[ids].float().mean(dim=0) - centre)
        return torch.stack(vectors).cpu()
