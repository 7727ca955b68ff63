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

import functools
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import numpy.typing as npt
import torch

from groundkit.attention.flow import Flow, Regulariser, image_flow
from groundkit.attention.grids import finest_grid, lay_over, smooth_views
from groundkit.attention.maps import check_finite
from groundkit.errors import GroundkitError, PhraseError
from groundkit.language import Phrase, parse_phrase
from groundkit.language.objects import token_offsets
from groundkit.language.tokens import SPACE_PIECE, check_known
from groundkit.masks.evidence import weigh_evidence
from groundkit.masks.geometry import boxes_of
from groundkit.media.images import ImageSource
from groundkit.media.resize import resize
from groundkit.memory import explain_out_of_memory
from groundkit.models.vision_language.base import Conversation, EncodedPicture, VisionLanguageModel
from groundkit.pipelines.base import Pipeline, made_by
from groundkit.pipelines.discover import discover
from groundkit.pipelines.vlsam_config import (
    ASK_FOR_QUESTIONS,
    PHRASE_QUESTION,
    PRESETS,
    QUESTIONS,
    VLSAMConfig,
    read_config,
)
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.prompting.hot_cells import HotCells
from groundkit.prompting.objects import Objects
from groundkit.prompting.peaks import Peaks
from groundkit.prompting.point_pair import PointPair
from groundkit.results import Discovery, Failure, Grounding, judged
from groundkit.segmenters.base import Propose, Segmenter
from groundkit.stages.fusion import fuse_sizes, is_left, leave_out
from groundkit.stages.normalise import reduce_maps
from groundkit.stages.places import minmax

__all__ = ["ASK_FOR_QUESTIONS", "PRESETS", "QUESTIONS", "VLSAM", "VLSAMConfig", "VLSAMTrace", "read_config"]

Heat = npt.NDArray[np.float32]


@dataclass(frozen=True)
class VLSAMTrace:
    """What each step saw.

    Attributes:
        answer: what the model said, or was made to say.
        tokens: its pieces.
        heat: float32 ``(h, w)``, the map over the whole picture; of several sizes of it, what they were fused to.
        area: bool ``(height, width)``, the positive area; None where no points were drawn from one.
    """

    page: ClassVar[str] = "answer"  # of groundkit explain
    answer: str
    tokens: tuple[str, ...]
    heat: Heat
    area: npt.NDArray[np.bool_] | None


@dataclass(frozen=True)
class Look:
    """A picture, opened once: encoded by the model at each size at which it is read, and by the segmenter."""

    image: npt.NDArray[np.uint8]
    pictures: Sequence[EncodedPicture]
    segmenter: Segmenter

    @functools.cached_property
    def propose(self) -> Propose:
        """The segmenter, once it has embedded the picture."""
        return functools.partial(self.segmenter.segment, self.segmenter.embed(self.image))


@dataclass(frozen=True)
class Reading:
    """What flowed to the image tokens, ``(R, P)`` for R names or phrases, and the conversation it was read from."""

    talk: Conversation
    maps: torch.Tensor

    def over_picture(self, row: int = 0) -> Heat:
        """One map over the whole picture, float32 ``(h, w)``, in the finest tokens of all views."""
        grids = self.talk.grids
        return lay_over(self.maps[row], grids, finest_grid(grids), interpolation=cv2.INTER_LINEAR)


class VLSAM(Pipeline):
    """A vision-language model, a segmenter and a configuration."""

    config: VLSAMConfig

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
    def prompter(self) -> Prompter:
        """What draws points from a heatmap."""
        if self.config.points == "cells":
            return HotCells.of(self.config)
        return PointPair.of(self.config, negative_point=self.config.points == "pair")

    @explain_out_of_memory()
    def discover(self, image: ImageSource, *, seed: int = 0) -> Discovery:
        """Find everything that the model names.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB.
            seed: of the model's words, where the temperature is above 0.

        Raises:
            ImageError: a picture that cannot be read.
            ConfigError: a seed that is not a whole number from 0 to 2**62.
        """
        return discover(self, image, seed=seed)

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        look: Look | None = None
        null: Heat | None = None
        for text in phrases:
            started = time.perf_counter()
            try:
                with explain_out_of_memory():
                    phrase = parse_phrase(text)
                    if look is None:
                        look = self.open(image)
                        null = self.read_null(look)
                    grounding = self._ground(look, text, phrase, null, started)
            except GroundkitError as error:
                yield Failure(text, error)
            else:
                yield grounding

    def _ground(self, look: Look, text: str, phrase: Phrase, null: Heat | None, started: float) -> Grounding:
        config, size = self.config, look.image.shape[:2]

        # 1. Ask where the phrase is, and follow the attention of its words back to the picture.
        readings = [self.read_phrase(picture, phrase) for picture in look.pictures]

        # 2. A heatmap, weighted by the phrase's places; what is not meant is left out.
        heatmap = whole = self._weighted(readings, phrase, size)
        if phrase.negated:
            others = [self.read_phrase(picture, phrase.negated, negated=True) for picture in look.pictures]
            other = self._weighted(others, phrase.negated, size)
            heatmap = Heatmap(leave_out(whole.pixels, other.pixels), leave_out(whole.cells, other.cells))

        # 3. Points, and a mask for them.
        selection, prompter = config.selection_of(phrase), self.prompter
        if not selection.is_best:
            prompter = Objects(selection=selection, peaks=Peaks.of(config))
        candidates = prompter(heatmap, look.propose)
        if prompter.alternatives and candidates:
            candidates = [max(candidates, key=lambda each: each.score)]
        if phrase.negated:
            candidates = [each for each in candidates if is_left(each.mask.whole(), heatmap.pixels, whole.pixels)]

        masks = np.array([each.mask.whole() for each in candidates], np.bool_).reshape(-1, *size)
        talk, first = readings[0].talk, readings[0].over_picture()
        ids = talk.inputs["input_ids"][0, talk.answer.start : talk.answer.stop].tolist()
        area = candidates[0].area if candidates else None
        grounding = Grounding(
            image=look.image,
            phrase=text,
            masks=masks,
            scores=np.array([each.score for each in candidates], dtype=np.float32),
            boxes=boxes_of(masks),
            points=np.concatenate([np.zeros((0, 3), np.float32), *(each.points for each in candidates)]),
            heatmap=minmax(heatmap.pixels),
            pipeline=self.name,
            model=self.model,
            seconds=time.perf_counter() - started,
            **made_by(self.vlm, self.segmenter, config),
            steps=VLSAMTrace(
                answer=self.vlm.tokenizer.decode(ids),
                tokens=tuple(self.vlm.tokenizer.convert_ids_to_tokens(ids)),
                heat=first if len(readings) == 1 else heatmap.cells,
                area=area.whole() if area else None,
            ),
        )
        # 4. If asked for: is there more evidence than for a phrase that names nothing?
        if null is None:
            return grounding
        return judged(grounding, weigh_evidence(first, null, grounding.mask), config.min_evidence)

    def _weighted(self, readings: Sequence[Reading], phrase: Phrase, size: tuple[int, ...]) -> Heatmap:
        heatmap = self.heatmap(readings, 0, size)
        return Heatmap(self.config.weigh(heatmap.pixels, phrase), self.config.weigh(heatmap.cells, phrase))

    def open(self, image: npt.NDArray[np.uint8], *, whole: npt.NDArray[np.uint8] | None = None) -> Look:
        """Encode a picture, or a crop of a ``whole`` one, at each size at which it is read, and for the segmenter."""
        height, width = image.shape[:2]
        # A crop is a closer look: where tokens grow with the picture, it gets as many as the whole.
        shown = image if whole is None or self.vlm.picture_size is None else whole
        scale = (self._pixels(*shown.shape[:2]) / (height * width)) ** 0.5
        sizes = [
            tuple(max(1, round(side * scale * size)) for side in (height, width)) for size in self.config.resolutions
        ]
        images = [image if size == (height, width) else resize(image, *size) for size in sizes]
        pictures = [self.vlm.encode(each, self.config.framing) for each in images]
        return Look(image, pictures, self.segmenter)

    def _pixels(self, height: int, width: int) -> int:
        """How many pixels of a picture of this size the model is given."""
        allowed, of_model = self.config.most_pixels, self.vlm.picture_size
        pixels = height * width
        if allowed is None and of_model and of_model.max_pixels and pixels > of_model.max_pixels:
            allowed = of_model.max_pixels
            warnings.warn(
                f"pictures above {allowed / 1e6:.1f} megapixels are reduced to that for {self.model}, as its authors "
                'advise: config={"most_pixels": 4000000} shows finer detail, and needs more memory',
                stacklevel=2,
            )
        if of_model and of_model.min_pixels:
            pixels = max(pixels, of_model.min_pixels)
        return min(pixels, allowed or pixels)

    def read_phrase(self, picture: EncodedPicture, phrase: Phrase, *, negated: bool = False) -> Reading:
        """The map of a given phrase, from its words in the model's answer.

        Args:
            negated: whether the phrase says what is not meant: that is where all of its words look, not what has a
                part of them; for "red cup", no other cup.

        Raises:
            PhraseError: the model has no token for a word.
        """
        ids = self._known_ids(phrase)
        if not ids:
            raise PhraseError(f"the model has no token for {phrase.text[:40]!r}: say it in other words")
        text, offsets = token_offsets(self.vlm.tokenizer, ids)
        start = text.lower().find(phrase.text.lower())
        kept = [phrase.words[i] for i in phrase.kept_words(without_directions=self.config.spatial_bias)]
        spans = [(start + word.start, start + word.end) for word in kept if start >= 0]
        inside = [i for i, (a, b) in enumerate(offsets) if any(a < end and b > begin for begin, end in spans)]
        talk = self.vlm.ask(picture, self.question(phrase), ids)
        return self.read_words(talk, [inside or range(len(ids))], negated=negated)

    def question(self, phrase: Phrase) -> str:
        """What the model is asked of a given phrase."""
        asked = self.config.phrase_question or self.vlm.phrase_question or PHRASE_QUESTION
        return asked.format(phrase=phrase.text)

    def _known_ids(self, phrase: Phrase) -> list[int]:
        """The phrase as tokens of an answer. Raises PhraseError for a word that the model does not know."""
        ids = self.vlm.answer_ids(phrase.text)
        pieces = zip(self.vlm.tokenizer.convert_ids_to_tokens(ids), ids, strict=True)
        check_known(
            [(phrase.text, id_) for piece, id_ in pieces if piece != SPACE_PIECE], self.vlm.tokenizer.unk_token_id
        )
        return ids

    def read_null(self, look: Look) -> Heat | None:
        """The map of the null phrase, float32 ``(h, w)``; None where evidence is not asked for."""
        if not self.config.weighs_evidence:
            return None
        with self.config.reading_null_phrase():
            return self.read_phrase(look.pictures[0], parse_phrase(self.config.null_phrase)).over_picture()

    def read_words(self, talk: Conversation, tokens: Sequence[Sequence[int]], *, negated: bool = False) -> Reading:
        """One map per word or name, of its tokens, which count from the answer's start; see ``read_phrase``."""
        reduction = "product" if negated and self.config.word_tokens == "mean" else self.config.word_tokens
        wanted = [places[-1:] if reduction == "last" else places for places in tokens]
        maps = self.flow(talk, [talk.answer.start + place for places in wanted for place in places]).maps
        parts = torch.split(maps, [len(places) for places in wanted])
        return Reading(talk, torch.stack([reduce_maps(m, "mean" if reduction == "last" else reduction) for m in parts]))

    def flow(self, talk: Conversation, tokens: Sequence[int]) -> Reading:
        """Equations 1 to 3: one map per token of the conversation."""
        config = self.config
        rows = torch.zeros(len(tokens), talk.inputs["input_ids"].shape[1], dtype=torch.float32)
        rows[range(len(rows)), list(tokens)] = 1
        layers = self.vlm.read_layers(talk, weights=config.head_weights, heads=config.heads, layers=config.layers)
        # Without a causal mask nothing piles up on the first tokens, and there is nothing to regularise.
        by_default = Regulariser.END if config.flow is Flow.FLOW else Regulariser.NONE
        regulariser = (config.regulariser or by_default) if self.vlm.causal else Regulariser.NONE
        maps = image_flow(layers, rows, talk.image_positions, flow=config.flow, regulariser=regulariser)
        check_finite(maps, self.vlm)
        if config.smoothing:
            maps = smooth_views(maps, talk.grids, config.smoothing, config.smoothing_kernel)
        return Reading(talk, maps)

    @staticmethod
    def heatmap(readings: Sequence[Reading], row: int, size: tuple[int, ...]) -> Heatmap:
        """One map of each reading over a picture of ``size``: (height, width) in pixels."""
        height, width = size
        parts = [(reading.maps[row], reading.talk.grids) for reading in readings]
        grid = max((finest_grid(views) for _, views in parts), key=lambda grid: grid[0] * grid[1])
        cells = fuse_sizes([lay_over(maps, views, grid, interpolation=cv2.INTER_LINEAR) for maps, views in parts])
        if len(parts) == 1:
            ((maps, views),) = parts
            return Heatmap(lay_over(maps, views, (height, width), interpolation=cv2.INTER_CUBIC), cells)
        pixels = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
        return Heatmap(pixels.astype(np.float32), cells)
