"""VL-SAM: attention as prompts for open-ended detection and segmentation (Lin et al., NeurIPS 2024, arXiv 2410.05963).

A vision-language model names what it sees; the attention of each name's tokens flows back through the layers to the
picture; a positive and a negative point are drawn from the map, and a Segment Anything model turns them into a mask.
With S the causal attention of a layer, of N tokens::

    w_h = mean_i max_j S[h, i, j]                                    (1)  head weights,         attention/heads.py
    A = mean_h(w_h S[h])                                             (2)  one matrix per layer, attention/heads.py
    F^1 = A^1,  F^l = (I + A^l)(I + F^(l-1))                         (3)  attention flow,       attention/flow.py
    column j of F times 1 - (L_0 - 1) / L = (j + 1) / N                   regulariser,          attention/flow.py

For a given phrase the model is asked where it is, and the phrase itself is put into its answer. ``discover`` lets the
model name the objects: see :mod:`groundkit.pipelines.discover`.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from groundkit import clock
from groundkit.attention.maps import AttentionMaps
from groundkit.batches import batch_size
from groundkit.errors import GroundkitError, PhraseError
from groundkit.language import Phrase, Role, Token, parse_phrase
from groundkit.language.objects import token_offsets
from groundkit.language.tokens import SPACE_PIECE, check_known
from groundkit.masks.heat import before_picture
from groundkit.media.images import ImageSource, read_image
from groundkit.memory import explain_out_of_memory
from groundkit.models.options import FlowOptions
from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.models.vision_language.look import Reading, VisionLanguageLook
from groundkit.pipelines.base import attempt, made_by
from groundkit.pipelines.discover import discover
from groundkit.pipelines.method import Method
from groundkit.pipelines.vlsam_config import (
    ASK_FOR_QUESTIONS,
    PHRASE_QUESTION,
    PRESETS,
    QUESTIONS,
    VLSAMConfig,
    read_config,
)
from groundkit.progress import Cancel, Report
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.prompting.peaks import Peaks
from groundkit.prompting.point_pair import PointPair
from groundkit.results import Discovery, Failure, Grounding, Making
from groundkit.segmenters.base import Segmenter
from groundkit.stages.base import Scene, Stage
from groundkit.stages.evidence import Evidence
from groundkit.stages.trace import Trace

__all__ = ["ASK_FOR_QUESTIONS", "PRESETS", "QUESTIONS", "VLSAM", "VLSAMConfig", "read_config"]


class VLSAMLook(VisionLanguageLook):
    """A picture about which the model is asked where a phrase is, with the phrase itself as its answer."""

    def __init__(self, *arguments: Any, question: str, without_directions: bool, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.question = question
        self.without_directions = without_directions
        self._expected: Sequence[Phrase] = ()
        self._ahead: dict[tuple[float, Phrase], AttentionMaps] = {}  # by scale: looks at other sizes share it

    def expect(self, phrases: Sequence[Phrase]) -> None:
        """Say what will be read, in this order: once the picture is kept, several phrases are read together."""
        self._expected = phrases

    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        """The flow from the words that are read."""
        if (self.scale, phrase) not in self._ahead:
            readings = {phrase: self.reading(phrase), **dict(self._next(phrase))}
            maps = self.flows(list(readings.values()))
            self._ahead.update(zip([(self.scale, each) for each in readings], maps, strict=True))
        return self._ahead.pop((self.scale, phrase))

    def _next(self, phrase: Phrase) -> Iterator[tuple[Phrase, Reading]]:
        """The phrases that come after one that is read, as many as go through the model with it."""
        if phrase not in self._expected or self.picture.kept.prefix is None:
            return
        after = self._expected[self._expected.index(phrase) + 1 :]
        for each in after[: batch_size(self.options.batch_size, self.model.device) - 1]:
            with contextlib.suppress(PhraseError):  # raised when its turn comes
                yield each, self.reading(each)

    def reading(self, phrase: Phrase) -> Reading:
        """The words that name the object; every row costs, so that no other is followed."""
        reading = self.asked(phrase)
        kept = phrase.kept_words(without_directions=self.without_directions)
        inside = [index for index, token in enumerate(reading.tokens) if token.word in kept]
        return reading.of(inside) if inside else reading

    def attention(self, phrase: Phrase) -> AttentionMaps:
        """The direct attention of all of the phrase's tokens, in every layer and head."""
        return self.rows(self.asked(phrase))

    def asked(self, phrase: Phrase) -> Reading:
        """The question, and the phrase's tokens in the answer.

        Raises:
            PhraseError: the model has no token for the phrase.
        """
        ids = self.known_ids(phrase)
        if not ids:
            raise PhraseError(f"the model has no token for {phrase.text[:40]!r}: say it in other words")
        talk = self.ask(self.question.format(phrase=phrase.text), ids)
        return Reading(talk, self.tokens_of(phrase, ids), tuple(talk.answer))

    def tokens_of(self, phrase: Phrase, ids: Sequence[int]) -> tuple[Token, ...]:
        """Tokens of a text that holds a phrase, each with the phrase's word that it belongs to, if any."""
        text, offsets = token_offsets(self.model.tokenizer, ids)
        start = text.lower().find(phrase.text.lower())
        words = [(i, word, start + word.start, start + word.end) for i, word in enumerate(phrase.words) if start >= 0]
        pieces, tokens = self.model.tokenizer.convert_ids_to_tokens(ids), []
        for id_, piece, (first, last) in zip(ids, pieces, offsets, strict=True):
            # A token of two words belongs to the one that says what the object is.
            over = [(i, word) for i, word, begin, end in words if first < end and last > begin]
            index, word = min(over, key=lambda each: each[1].role is not Role.CONTENT, default=(None, None))
            role, spelling = (word.role, word.text) if word else (Role.SPECIAL, "")
            tokens.append(Token(id_, piece, index, role, spelling))
        return tuple(tokens)

    def known_ids(self, phrase: Phrase) -> list[int]:
        """The phrase as tokens of an answer. Raises PhraseError where the model's tokenizer has none of its words."""
        ids = self.model.answer_ids(phrase.text)
        pieces = zip(self.model.tokenizer.convert_ids_to_tokens(ids), ids, strict=True)
        check_known(
            [(phrase.text, id_) for piece, id_ in pieces if piece != SPACE_PIECE], self.model.tokenizer.unk_token_id
        )
        return ids


class VLSAM(Method):
    """A vision-language model, a segmenter and a configuration."""

    config: VLSAMConfig
    look: type[VLSAMLook] = VLSAMLook

    def __init__(
        self,
        model: VisionLanguageModel,
        segmenter: Segmenter,
        config: VLSAMConfig | None = None,
        *,
        name: str = "vlsam",
    ) -> None:
        self.vlm = model
        self.segmenter = segmenter
        self.config = config or VLSAMConfig()
        self.name = name
        self.model = model.name

    @property
    def families(self) -> tuple[VisionLanguageModel, ...]:
        return () if self._closed else (self.vlm,)

    @property
    def stages(self) -> list[Stage]:
        """From the flow of each word to the heatmap over the picture."""
        config = self.config
        return [each for each in config.stages if config.weighs_evidence or not isinstance(each, Evidence)]

    @property
    def token_stages(self) -> list[Stage]:
        """What is done to the maps of the image tokens, before they are laid over the picture."""
        names = [each.kind_name() for each in self.config.stages]
        ends = [names.index(name) for name in ("evidence", "sizes", "picture") if name in names]
        return list(self.config.stages[: min(ends, default=len(names))])

    @property
    def prompter(self) -> Prompter:
        """The paper's pair of points, or DecAF's hot cells."""
        return self.config.prompter

    @property
    def peaks(self) -> Peaks:
        """What draws a point for each of several objects."""
        rule = self.prompter.mask_rule if isinstance(self.prompter, PointPair) else "agreement"
        return self.prompter if isinstance(self.prompter, Peaks) else Peaks(min_peak_height=0.3, mask_rule=rule)

    def open(self, image: npt.NDArray[np.uint8], *, whole: npt.NDArray[np.uint8] | None = None) -> VLSAMLook:
        """A picture, or a crop of a ``whole`` one, opened for the model and the segmenter."""
        reading = self.config.reading
        # A crop is a closer look: where tokens grow with the picture, it gets as many as the whole.
        shown = image if whole is None or self.vlm.picture_size is None else whole
        look = self.look(
            image,
            self.segmenter,
            self.vlm,
            FlowOptions(
                reading.layers,
                reading.heads,
                reading.head_weights,
                reading.flow,
                reading.regulariser,
                batch_size=self.batch_size,
            ),
            pixels=self._pixels(*shown.shape[:2]),
            scale=reading.scale,
            framing=reading.framing,
            max_prefix_mib=reading.max_prefix_mib,
            question=reading.phrase_question or self.vlm.phrase_question or PHRASE_QUESTION,
            without_directions=self.config.weighs_places,
        )
        # Masks of a crop are compared with those of the whole: both have one scale.
        return self.bounded(look, (image if whole is None else whole).shape)

    def _pixels(self, height: int, width: int) -> int:
        """How many pixels of a picture of this size the model is given."""
        allowed, of_model = self.config.reading.max_pixels, self.vlm.picture_size
        pixels = height * width
        if allowed is None and of_model and of_model.max_pixels and pixels > of_model.max_pixels:
            allowed = of_model.max_pixels
            warnings.warn(
                f"pictures above {allowed / 1e6:.1f} megapixels are reduced to that for {self.model}, as its authors "
                'advise: config={"max_pixels": 4000000} shows finer detail, and needs more memory',
                stacklevel=2,
            )
        if of_model and of_model.min_pixels:
            pixels = max(pixels, of_model.min_pixels)
        return min(pixels, allowed or pixels)

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        look = self.open(image)
        with contextlib.suppress(GroundkitError):  # raised when the turn of each comes
            look.expect([parse_phrase(text) for text in phrases])
        for text in phrases:
            yield attempt(text, self.ground_phrase, look, text, seed)

    def ground_phrase(self, look: VLSAMLook, text: str, seed: int) -> Grounding:
        """Ground one phrase in an open picture."""
        started = time.perf_counter()
        phrase = parse_phrase(text)
        maps, steps = Scene(look, phrase, self.stages, seed=seed).run()
        heatmap = Heatmap.of(maps, look.working_size, before_picture(steps, self.stages, look.size))
        return self.point(look, text, heatmap, Trace(phrase, steps, page="answer"), started)

    def made_by(self) -> Making:
        return made_by(self.vlm, self.segmenter, self.config)

    @explain_out_of_memory()
    def attention(self, image: ImageSource, phrase: str, *, seed: int = 0) -> AttentionMaps:
        """The direct attention from each of a phrase's tokens to each image token, before any flow.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB.
            phrase: what to look for.
            seed: not used: nothing is random here.

        Returns:
            Maps of every layer and head, ``(L, H, T, P)``.

        Raises:
            ImageError, PhraseError: an input that cannot be used.
        """
        return self.open(read_image(image)).attention(parse_phrase(phrase))

    @explain_out_of_memory()
    def discover(
        self, image: ImageSource, *, seed: int = 0, progress: bool | Report = False, cancel: Cancel | None = None
    ) -> Discovery:
        """Find everything that the model names.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB.
            seed: of the model's words, where the temperature is above 0.
            progress: told how many views are searched, the whole picture and its crops, and of how many; True draws a
                bar on stderr.
            cancel: asked before the first view and after each one whether to stop: a function, or a
                ``threading.Event``.

        Raises:
            ImageError: a picture that cannot be read.
            ConfigError: a seed that is not a whole number from 0 to 2**62.
            CancelledError: ``cancel`` said so.

        Example:
            >>> import groundkit
            >>> groundkit.load("vlsam").discover("scene.png", progress=lambda done, total: None)
            <Discovery: ...>
        """
        with clock.part("ours"):
            return discover(self, image, seed=seed, progress=progress, cancel=cancel)
