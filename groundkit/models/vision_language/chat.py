"""How a model is asked about a picture: its chat template, its processor, and the ids of answers."""

from __future__ import annotations

import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from jinja2 import TemplateError
from PIL import Image
from torch import Tensor

from groundkit import clock
from groundkit.errors import ImageError, ModelError, PhraseError
from groundkit.exclusive import exclusive
from groundkit.models.vision_language.conversations import Conversation, EncodedPicture, PlacedGrid, once
from groundkit.models.vision_language.picture_sizes import Framing

# A thought that a template opens for the model ("<think>\n"), and how Qwen3's templates write one that is empty.
_OPEN_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>\s*\Z")


class ChatModel(ABC):
    """The part of a vision-language model that lays pictures, questions and answers out as conversations.

    Attributes:
        model: a model of transformers.
        processor: its processor.
        tokenizer: its tokenizer.
        name: the hub id or folder it came from.
        device: where it runs.
        answer_marks: what the model's masks and types, named as its processor names them, say of an answer's token; 0
            where they are not named here.
    """

    answer_marks: ClassVar[Mapping[str, int]] = {"attention_mask": 1}
    model: Any
    processor: Any
    tokenizer: Any
    name: str
    device: torch.device

    @abstractmethod
    def views(self, inputs: Mapping[str, Tensor], picture: npt.NDArray[np.uint8]) -> tuple[PlacedGrid, ...]:
        """Where the picture's tokens are, from what the processor returned for a question about it."""

    def image_tokens(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """int64 ``(P,)``: where the picture's tokens stand, as the processor laid them out."""
        of_picture: Tensor = inputs["input_ids"][0] == self.model.config.image_token_id
        return of_picture.nonzero()[:, 0]

    def chat(self, question: str) -> str:
        """The question about one picture in the model's own chat template, up to where its answer begins.

        A model that thinks first is given an empty thought: what is read of its answer is no thought.

        Raises:
            ModelError: the checkpoint has no chat template, or one that takes no picture.
        """
        return self._render(question)

    def _render(self, question: str, answer: str | None = None) -> str:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        messages: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is not None:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        # Said only to the templates that know it: the others would take it for an option of the processor.
        options = {"enable_thinking": False} if "enable_thinking" in str(self.processor.chat_template) else {}
        try:
            text: str = self.processor.apply_chat_template(
                messages, add_generation_prompt=answer is None, tokenize=False, **options
            )
        except (ValueError, TypeError, TemplateError) as error:
            if self.processor.chat_template:
                raise ModelError(f"{self.name}: its chat template takes no picture ({error})") from error
            raise ModelError(
                f"{self.name}: a base model without a chat template, which answers no questions; use the checkpoint "
                "that was trained on conversations (its name often ends in -it or -Instruct)"
            ) from error
        return _OPEN_THOUGHT.sub(r"<\1>\n\n</\1>\n\n", text)

    def answer_ids(self, text: str) -> list[int]:
        """The token ids of a text at the place of the model's answer, as it would write the text there itself.

        Raises:
            PhraseError: the text holds a mark of the model's own, such as ``<image>``.
        """
        self._refuse_marks(text)
        if self._gap:
            prompt = self.chat("")
            begun, whole = self.tokenizer([prompt, prompt + self._gap + text], add_special_tokens=False).input_ids
            if whole[: len(begun)] == begun:
                return list(whole[len(begun) :])
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    @functools.cached_property
    def _gap(self) -> str:
        """The space that the chat template writes between the prompt and an answer, as in "Assistant: a cup"."""
        prompt, probe = self.chat(""), "answer"
        written = self._render("", probe)
        gap = written[len(prompt) :].partition(probe)[0] if written.startswith(prompt) else ""
        return gap if gap.isspace() else ""

    @exclusive
    @torch.inference_mode()
    def encode(self, image: npt.NDArray[np.uint8], framing: Framing = "pad") -> EncodedPicture:
        """Encode an RGB picture, uint8 ``(height, width, 3)``, once for all questions.

        ``framing`` is for models whose processor cuts the middle out of the picture: ``pad`` shows them all of it.
        """
        processor = once(self.processor)
        inputs = self._process(image, "", processor)
        # Most vision towers cast pixels themselves, but not all of them.
        inputs = {
            name: value.to(self.device, self.model.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
            if name in self.pixel_inputs(inputs)
        }
        with clock.part("vision tower", passes=1):
            features = self.model.get_image_features(**inputs, return_dict=True)
        return EncodedPicture(image, features, processor=processor)

    def _refuse_marks(self, text: str) -> None:
        if mark := next((mark for mark in self._marks if mark in text), None):
            raise PhraseError(f"{mark!r} is a mark of {self.name} and no word: leave it out")

    @functools.cached_property
    def _marks(self) -> frozenset[str]:
        """The tokens for a picture, a turn or an end in the model's input; they would act as such in a question too."""
        added = self.tokenizer.added_tokens_decoder.values()
        return frozenset(token.content for token in added if token.special and token.content.strip())

    def pixel_inputs(self, inputs: Mapping[str, Tensor]) -> tuple[str, ...]:
        """The processor's outputs that ``get_image_features`` takes."""
        return ("pixel_values",)

    @exclusive
    def ask(self, picture: EncodedPicture, question: str, answer: Sequence[int] = ()) -> Conversation:
        """Lay a question, and perhaps the token ids of its answer, beside a picture.

        Raises:
            PhraseError: the question holds a mark of the model's own, such as ``<image>``.
        """
        self._refuse_marks(question)
        inputs = self._process(picture.image, question, picture.processor)
        views = tuple(picture.place(view) for view in self.views(inputs, picture.image))
        asked = {key: value for key, value in inputs.items() if not key.startswith("pixel_")}
        length = inputs["input_ids"].shape[1]
        return self.add_answer(Conversation(picture, asked, views, range(length, length)), answer)

    def add_answer(self, conversation: Conversation, answer: Sequence[int]) -> Conversation:
        """Lay the token ids of an answer behind a question that has none; the picture is not processed again."""
        length = conversation.answer.start
        extended = {}
        for key, value in conversation.inputs.items():
            if value.shape[:2] == (1, length):  # ids, masks and token types
                more = [list(answer) if key == "input_ids" else [self.answer_marks.get(key, 0)] * len(answer)]
                value = torch.cat([value, torch.tensor(more, dtype=value.dtype)], dim=1)
            extended[key] = value
        return replace(conversation, inputs=extended, answer=range(length, length + len(answer)))

    def _process(self, image: npt.NDArray[np.uint8], question: str, processor: Any = None) -> dict[str, Tensor]:
        text = self.chat(question)
        begun = self.tokenizer.bos_token is not None and text.startswith(self.tokenizer.bos_token)
        options = {"add_special_tokens": False} if begun else {}
        try:
            process = processor or self.processor
            return dict(process(images=[Image.fromarray(image)], text=[text], return_tensors="pt", **options))
        except ValueError as error:  # Qwen-VL's, say, of a strip 200 times as long as it is wide
            height, width = image.shape[:2]
            reason = str(error).splitlines()[0]
            raise ImageError(f"{self.name} takes no picture of {width} x {height} pixels here ({reason})") from error
