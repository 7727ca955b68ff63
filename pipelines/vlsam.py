"""VL-SAM: attention as prompts for open-ended detection and segmentation (Lin et al., NeurIPS 2024, arXiv 2410.05963).

A vision-language model lists what it sees; the attention of each name's tokens, heads weighed, flows back through the
layers to the picture; a positive and a negative point are drawn from what arrives there, and a Segment Anything model
turns them into a mask. No list of categories is given.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from groundkit.attention.flow import Flow, Regulariser, image_flow
from groundkit.attention.grids import finest_grid, lay_over, smooth_views
from groundkit.attention.maps import check_finite
from groundkit.errors import GroundkitError, PhraseError
from groundkit.language import Phrase, Selection, parse_phrase
from groundkit.language.objects import is_unfinished_thought, object_names, token_offsets, with_article
from groundkit.language.tokens import SPACE_PIECE, check_known
from groundkit.masks.choose import choose_mask
from groundkit.masks.evidence import weigh_evidence
from groundkit.masks.geometry import agreement, boxes_of
from groundkit.masks.packed import PackedMask
from groundkit.masks.refine import cascade, suppress
from groundkit.masks.votes import Candidate, fuse_views
from groundkit.media.crops import Crop, crops
from groundkit.media.images import ImageSource, read_image
from groundkit.media.resize import resize
from groundkit.memory import explain_out_of_memory
from groundkit.models.vision_language.base import Conversation, EncodedPicture, VisionLanguageModel
from groundkit.pipelines.base import PhrasePipeline, check_seed, made_by
from groundkit.pipelines.vlsam_config import (
    ASK_FOR_QUESTIONS,
    BACKGROUND,
    PHRASE_QUESTION,
    PRESETS,
    QUESTIONS,
    VLSAMConfig,
    read_config,
)
from groundkit.prompting.cell_masks import masks_of_cells
from groundkit.prompting.pointing import point_at, with_rim
from groundkit.prompting.regions import point_pair, positive_area
from groundkit.results import Discovery, Grounding, judged
from groundkit.segmenters.base import MaskProposals, Segmenter
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.fusion import contrast, fuse_sizes, is_left, leave_out
from groundkit.stages.normalise import reduce_maps
from groundkit.stages.places import minmax

__all__ = ["ASK_FOR_QUESTIONS", "PRESETS", "QUESTIONS", "VLSAM", "VLSAMConfig", "VLSAMTrace", "read_config"]

Heat = npt.NDArray[np.float32]
Belief = Callable[[str], float]  # in a name, see verify

_AROUND_QUESTIONS = " \t-*_`\"'“”"  # what models write around what they were asked to write
ANOTHER = 0.5  # outside a mask, what is less than half as hot as the hottest place is no other object


@dataclass(frozen=True)
class VLSAMTrace:
    """What each step saw.

    Attributes:
        answer: what the model said, or was made to say.
        tokens: its pieces.
        heat: float32 ``(h, w)``, the map over the whole picture; of several sizes of it, what they were fused to.
        area: bool ``(height, width)``, the positive area.
    """

    answer: str
    tokens: tuple[str, ...]
    heat: Heat
    area: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Reading:
    """What flowed to the image tokens, ``(R, P)`` for R names or phrases, and the conversation it was read from."""

    talk: Conversation
    maps: torch.Tensor

    def over_picture(self, row: int = 0) -> Heat:
        """One map over the whole picture, float32 ``(h, w)``, in the finest tokens of all views."""
        views = self.talk.views
        return lay_over(self.maps[row], views, finest_grid(views), interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True)
class _Heat:
    """One map, float32 ``(height, width)``, and the cells it came from, float32 ``(h, w)`` in [0, 1]."""

    pixels: Heat
    cells: Heat

    def without(self, negated: _Heat) -> _Heat:
        """What is not meant left out."""
        return _Heat(leave_out(self.pixels, negated.pixels), leave_out(self.cells, negated.cells))


class VLSAM(PhrasePipeline):
    """A vision-language model, a segmenter and a configuration."""

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
        check_seed(seed)
        started = time.perf_counter()
        pixels = read_image(image)
        views: list[tuple[Crop, list[Candidate]]] = []
        answers: list[str] = []
        questions: Sequence[str] = ()
        of_whole: Belief | None = None
        for crop in crops(pixels, self.config.crop_shares if self.config.multi_scale else ()):
            pictures, embedding = self._encode(crop.pixels, pixels), self.segmenter.embed(crop.pixels)
            questions = questions or self._questions(pictures[0], seed)  # those for the whole picture serve its crops
            of_crop: Belief = functools.cache(functools.partial(self._belief, pictures[0]))
            of_whole = of_whole or of_crop
            belief = {"crop": of_crop, "whole": of_whole, "both": _mean(of_crop, of_whole)}[self.config.verify_on]
            null = self._read_null(pictures[0]) if self.config.min_evidence else None
            for question in questions:
                answer, found = self._look(crop, pictures, embedding, question, belief, null, seed)
                answers.append(answer)
                views.append((crop, found))
        chosen = self._choose(views, answers)
        empty = np.zeros((0, *pixels.shape[:2]))
        return Discovery(
            image=pixels,
            labels=tuple(c.label for c in chosen),
            masks=np.stack([c.mask.whole() for c in chosen]) if chosen else empty.astype(np.bool_),
            scores=np.array([c.score for c in chosen], dtype=np.float32),
            points=tuple(c.points for c in chosen),
            answers=tuple(answers),
            pipeline=self.name,
            model=self.model,
            seconds=time.perf_counter() - started,
            **made_by(self.vlm, self.segmenter, self.config),
        )

    def _choose(self, views: Sequence[tuple[Crop, list[Candidate]]], answers: Sequence[str]) -> list[Candidate]:
        """Of what all views found, each object once."""
        config = self.config
        if config.suppression == "votes":
            return fuse_views(views, least=config.least_votes, overlap=config.overlap, power=config.agreement_power)
        candidates = [each for _, found in views for each in found]
        kept = suppress(
            np.array([c.mask.box for c in candidates], dtype=np.float32).reshape(-1, 4),
            np.array([c.score for c in candidates], dtype=np.float32),
            [c.noun if config.suppression == "same_name" else "" for c in candidates],
            overlap=config.overlap,
        )
        chosen = [candidates[index] for index in kept]
        return _as_often_as_named(chosen, answers) if config.count else chosen

    def ground(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | GroundkitError]:
        pictures: Sequence[EncodedPicture] = ()
        embedding = null = None
        for text in phrases:
            started = time.perf_counter()
            try:
                with explain_out_of_memory():
                    phrase = parse_phrase(text)
                    if not pictures:
                        pictures, embedding = self._encode(image), self.segmenter.embed(image)
                        null = self._read_null(pictures[0])
                    readings, heat = self._read_places(pictures, phrase, image.shape[:2])
                    if phrase.negated:
                        other = self._read_places(pictures, phrase.negated, image.shape[:2], negated=True)
                        whole, heat = heat, heat.without(other[1])
                    candidates, area = self._segment(embedding, text, heat, self.config.selection_of(phrase))
                    if phrase.negated:
                        candidates = [
                            each for each in candidates if is_left(each.mask.whole(), heat.pixels, whole.pixels)
                        ]
            except GroundkitError as error:
                yield error
                continue
            masks = np.array([c.mask.whole() for c in candidates], np.bool_).reshape(-1, *image.shape[:2])
            talk, first = readings[0].talk, readings[0].over_picture()
            ids = talk.inputs["input_ids"][0, talk.answer.start : talk.answer.stop].tolist()
            grounding = Grounding(
                image=image,
                phrase=text,
                masks=masks,
                scores=np.array([c.score for c in candidates], dtype=np.float32),
                boxes=boxes_of(masks),
                points=np.concatenate([np.zeros((0, 3), np.float32), *(c.points for c in candidates)]),
                heatmap=minmax(heat.pixels),
                pipeline=self.name,
                model=self.model,
                seconds=time.perf_counter() - started,
                **made_by(self.vlm, self.segmenter, self.config),
                steps=VLSAMTrace(
                    self.vlm.tokenizer.decode(ids),
                    tuple(self.vlm.tokenizer.convert_ids_to_tokens(ids)),
                    first if len(readings) == 1 else heat.cells,
                    area,
                ),
            )
            if null is None:
                yield grounding
            else:
                yield judged(grounding, weigh_evidence(first, null, grounding.mask), self.config.min_evidence)

    def _read_places(
        self, pictures: Sequence[EncodedPicture], phrase: Phrase, size: tuple[int, int], *, negated: bool = False
    ) -> tuple[list[_Reading], _Heat]:
        """What flows from a phrase at each size of the picture, and the map of it, weighted by the phrase's places."""
        readings = [self._read_phrase(picture, phrase, negated=negated) for picture in pictures]
        heat = self._heat(readings, 0, size)
        return readings, _Heat(*(self.config.weigh(each, phrase) for each in (heat.pixels, heat.cells)))

    def _read_null(self, picture: EncodedPicture) -> Heat | None:
        """The map of the null phrase, float32 ``(h, w)``, where evidence is weighed."""
        if not self.config.weighs_evidence:
            return None
        with self.config.reading_null_phrase():
            return self._read_phrase(picture, parse_phrase(self.config.null_phrase)).over_picture()

    def _encode(self, image: npt.NDArray[np.uint8], whole: npt.NDArray[np.uint8] | None = None) -> list[EncodedPicture]:
        """A picture, or a crop of a ``whole`` one, at each size at which it is read."""
        height, width = image.shape[:2]
        # A crop is a closer look: where tokens grow with the picture, it gets as many as the whole.
        shown = image if whole is None or self.vlm.picture_size is None else whole
        scale = (self._pixels(*shown.shape[:2]) / (height * width)) ** 0.5
        sizes = [
            tuple(max(1, round(side * scale * size)) for side in (height, width)) for size in self.config.resolutions
        ]
        images = [image if size == (height, width) else resize(image, *size) for size in sizes]
        return [self.vlm.encode(each, self.config.framing) for each in images]

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

    def _questions(self, picture: EncodedPicture, seed: int) -> Sequence[str]:
        """What the model is asked: one question, the built-in ones, or those it writes itself."""
        built_in = self.vlm.listing_questions or QUESTIONS
        if self.config.questions == "one":
            return built_in[:1]
        if self.config.questions == "built_in":
            return built_in
        written = self._say(self.vlm.ask(picture, ASK_FOR_QUESTIONS), seed)[1]
        lines = [
            line.strip(_AROUND_QUESTIONS).lstrip(f"0123456789.){_AROUND_QUESTIONS}") for line in written.splitlines()
        ]
        return [line for line in lines if line.endswith(("?", "."))][:10] or built_in

    def _say(self, talk: Conversation, seed: int) -> tuple[list[int], str, list[tuple[int, int]]]:
        """The model's answer: token ids, text, and where each token's characters stand in it."""
        config = self.config
        ids = self.vlm.generate(
            talk, max_tokens=config.max_tokens, temperature=config.temperature, top_p=config.top_p, seed=seed
        )
        text, offsets = token_offsets(self.vlm.tokenizer, ids)
        if is_unfinished_thought(text):
            warnings.warn(
                f"{self.model} was still thinking after {len(ids)} tokens and named nothing: give it more by "
                f'config={{"max_tokens": {8 * self.config.max_tokens}}}',
                stacklevel=2,
            )
        return ids, text, offsets

    def _belief(self, picture: EncodedPicture, label: str) -> float:
        """How much the model stands by a name: the probability that it says yes when asked; 1 if it is not asked."""
        if not self.config.verify:
            return 1.0
        return self.vlm.agrees(self.vlm.ask(picture, self.config.verify_question.format(name=with_article(label))))

    def _look(
        self,
        crop: Crop,
        pictures: Sequence[EncodedPicture],
        embedding: Any,
        question: str,
        belief: Belief,
        null: Heat | None,
        seed: int,
    ) -> tuple[str, list[Candidate]]:
        """1. Ask, and read the names from the answer. 2. One map a name. 3. Points and a mask for each."""
        asked = [self.vlm.ask(picture, question) for picture in pictures]
        ids, answer, offsets = self._say(asked[0], seed)
        names = [name for name in object_names(answer) if belief(name.label) >= self.config.verify]
        if not names:
            return answer, []
        tokens = [[i for i, (a, b) in enumerate(offsets) if a < name.end and b > name.start] for name in names]
        readings = [self._read(self.vlm.add_answer(talk, ids), tokens) for talk in asked]
        found = []
        free: dict[str, npt.NDArray[np.bool_]] = {}  # where objects of a name have not been found yet
        for row, name in enumerate(names):
            heat = self._heat(readings, row, crop.pixels.shape[:2])
            if name.label in free:
                hottest, heat = heat.pixels.max(), _Heat(heat.pixels * free[name.label], heat.cells)
                if heat.pixels.max() < ANOTHER * hottest:
                    continue
            for _, candidate in self._candidates(embedding, name.label, heat):
                if self.config.count:
                    free[name.label] = free.get(name.label, np.True_) & _outside(candidate.mask.whole())
                if null is not None:
                    evidence = weigh_evidence(readings[0].over_picture(row), null, candidate.mask.whole())
                    if evidence.score < self.config.min_evidence:
                        continue
                placed = candidate.points + np.array([crop.x, crop.y, 0], dtype=np.float32)
                found += [
                    replace(
                        each,
                        mask=each.mask.placed(crop.x, crop.y, crop.size),
                        score=each.score * belief(name.label),
                        points=placed,
                    )
                    for each in (candidate, *self._rivals(embedding, candidate, heat.pixels))
                    if not crop.cuts(each.mask.whole())
                ]
        return answer, found

    def _read(self, talk: Conversation, tokens: Sequence[Sequence[int]], *, negated: bool = False) -> _Reading:
        """What flows from words of the answer to the image tokens; ``tokens`` count from the answer's start.

        What is ``negated`` is where all of its words look, not what has a part of them: of "red cup", no other cup.
        """
        reduction = "product" if negated and self.config.word_tokens == "mean" else self.config.word_tokens
        wanted = [places[-1:] if reduction == "last" else places for places in tokens]
        rows = torch.zeros(sum(map(len, wanted)), talk.inputs["input_ids"].shape[1], dtype=torch.float32)
        rows[range(len(rows)), [talk.answer.start + place for places in wanted for place in places]] = 1
        parts = torch.split(self._flow(talk, rows).maps, [len(places) for places in wanted])
        return _Reading(
            talk, torch.stack([reduce_maps(m, "mean" if reduction == "last" else reduction) for m in parts])
        )

    def _flow(self, talk: Conversation, rows: torch.Tensor) -> _Reading:
        config = self.config
        layers = self.vlm.read_layers(talk, weights=config.head_weights, heads=config.heads, layers=config.layers)
        causal = self.vlm.causal  # where tokens see later ones too, nothing piles up on the first
        by_default = Regulariser.END if config.flow is Flow.FLOW else Regulariser.NONE
        regulariser = (config.regulariser or by_default) if causal else Regulariser.NONE
        maps = image_flow(layers, rows, talk.image_positions, flow=config.flow, regulariser=regulariser)
        check_finite(maps, self.vlm)
        if config.smoothing:
            maps = smooth_views(maps, talk.views, config.smoothing, config.smoothing_kernel)
        return _Reading(talk, maps)

    def _read_phrase(self, picture: EncodedPicture, phrase: Phrase, *, negated: bool = False) -> _Reading:
        """The map of a given phrase."""
        asked = self.config.phrase_question or self.vlm.phrase_question or PHRASE_QUESTION
        question = asked.format(phrase=phrase.text)
        ids = self.vlm.answer_ids(phrase.text)
        pieces = zip(self.vlm.tokenizer.convert_ids_to_tokens(ids), ids, strict=True)
        check_known(
            [(phrase.text, id_) for piece, id_ in pieces if piece != SPACE_PIECE], self.vlm.tokenizer.unk_token_id
        )
        if self.config.grounding == "decaf":
            noun = next((name.label for name in object_names(phrase.head)), phrase.head).split()[-1]
            seen = [self._last_token(picture, q) for q in (question, BACKGROUND.format(noun=noun))]
            return _Reading(seen[0].talk, contrast(seen[0].maps, seen[1].maps))
        if not ids:
            raise PhraseError(f"the model has no token for {phrase.text[:40]!r}: say it in other words")
        text, offsets = token_offsets(self.vlm.tokenizer, ids)
        start = text.lower().find(phrase.text.lower())
        kept = [phrase.words[i] for i in phrase.kept_words(without_directions=self.config.spatial_bias)]
        spans = [(start + word.start, start + word.end) for word in kept if start >= 0]
        inside = [i for i, (a, b) in enumerate(offsets) if any(a < end and b > begin for begin, end in spans)]
        return self._read(self.vlm.ask(picture, question, ids), [inside or range(len(ids))], negated=negated)

    def _last_token(self, picture: EncodedPicture, question: str) -> _Reading:
        talk = self.vlm.ask(picture, question)
        rows = torch.zeros(1, talk.inputs["input_ids"].shape[1], dtype=torch.float32)
        rows[0, -1] = 1
        return self._flow(talk, rows)

    @staticmethod
    def _heat(readings: Sequence[_Reading], row: int, size: tuple[int, int]) -> _Heat:
        """One map of each reading over a picture of ``size``: (height, width) in pixels."""
        parts = [(reading.maps[row], reading.talk.views) for reading in readings]
        grid = max((finest_grid(views) for _, views in parts), key=lambda grid: grid[0] * grid[1])
        cells = fuse_sizes([lay_over(maps, views, grid, interpolation=cv2.INTER_LINEAR) for maps, views in parts])
        if len(parts) == 1:
            ((maps, views),) = parts
            return _Heat(lay_over(maps, views, size, interpolation=cv2.INTER_CUBIC), cells)
        return _Heat(cv2.resize(cells, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32), cells)

    def _segment(
        self, embedding: Any, label: str, heat: _Heat, selection: Selection
    ) -> tuple[list[Candidate], npt.NDArray[np.bool_]]:
        """The best mask for one map, or those of its cells, or those of a selection, and its positive area."""
        if not selection.is_best:
            return self._select(embedding, label, minmax(heat.pixels), selection)
        found = list(self._candidates(embedding, label, heat))
        if not found:
            return [], np.zeros(heat.pixels.shape, np.bool_)
        area, best = max(found, key=lambda pair: pair[1].score)
        return [each for _, each in found] if self.config.points == "cells" else [best], area

    def _select(
        self, embedding: Any, label: str, heat: Heat, selection: Selection
    ) -> tuple[list[Candidate], npt.NDArray[np.bool_]]:
        """Those of all objects that the map shows which a phrase means."""
        found = point_at(
            self.segmenter,
            embedding,
            heat,
            selection=selection,
            rule=self.config.mask_rule,
            threshold=self.config.peak_threshold,
        )
        candidates = [Candidate(label, PackedMask.of(each.mask), each.score, each.prompts.rows) for each in found]
        return candidates, positive_area(heat, self.config.threshold, self.config.area)

    def _candidates(self, embedding: Any, label: str, heat: _Heat) -> Iterator[tuple[npt.NDArray[np.bool_], Candidate]]:
        """Masks for one map, each with the positive area that was looked at."""
        if self.config.points == "cells":
            yield from self._of_cells(embedding, label, heat)
        else:
            yield from self._refined(embedding, label, heat.pixels)

    def _of_cells(self, embedding: Any, label: str, heat: _Heat) -> Iterator[tuple[npt.NDArray[np.bool_], Candidate]]:
        config = self.config
        area = positive_area(heat.pixels, config.threshold, config.area)
        masks = masks_of_cells(
            self.segmenter,
            embedding,
            heat.cells,
            heat.pixels.shape,
            threshold=config.cell_threshold,
            most=config.most_cells,
            overlap=config.overlap,
            keep=config.keep,
            consistent=config.cell_consistency,
        )
        for each in masks:
            yield area, Candidate(label, PackedMask.of(each.mask), each.score, each.points)

    def _refined(self, embedding: Any, label: str, heat: Heat) -> Iterator[tuple[npt.NDArray[np.bool_], Candidate]]:
        """Round 1: points, mask, and the mask as a prompt. Round 2: points drawn again from the masked map.

        What lies outside a mask is 0 in the masked map, so that the negative point is still the whole map's coldest.
        """
        refine, hottest, whole = self.config.refine, heat.max(), heat
        for _ in range(2 if refine in ("mask_in", "mask_out") else 1):
            area = positive_area(heat, self.config.threshold, self.config.area)
            if not area.any() or heat.max() < ANOTHER * hottest:
                return
            prompts = point_pair(heat, area, negative=self.config.points == "pair", cold=whole)
            proposals = (
                self.segmenter.segment(embedding, prompts)
                if refine == "none"
                else cascade(self.segmenter, embedding, prompts)
            )
            best = choose_mask(proposals, heat, rule=self.config.mask_rule)
            mask = proposals.masks[best]
            if mask.any():
                yield area, _propose(label, proposals, best, heat, prompts)
            heat = heat * (_outside(mask) if refine == "mask_out" else mask)

    def _rivals(self, embedding: Any, candidate: Candidate, heat: Heat) -> Iterator[Candidate]:
        """The masks that the segmenter proposes at once for a candidate's points, where these are to vote, too."""
        if self.config.rivals:
            prompts = PointPrompts.from_rows(candidate.points)
            proposals = self.segmenter.segment(embedding, prompts)
            for index in np.flatnonzero(proposals.masks.any(axis=(1, 2))):
                yield _propose(candidate.label, proposals, int(index), heat, prompts)


def _propose(label: str, proposals: MaskProposals, index: int, heat: Heat, prompts: PointPrompts) -> Candidate:
    """One of the segmenter's masks, compared with the map that its points were drawn from."""
    mask = proposals.masks[index]
    return Candidate(label, PackedMask.of(mask), float(proposals.scores[index]), prompts.rows, agreement(mask, heat))


def _mean(first: Belief, second: Belief) -> Belief:
    return lambda label: (first(label) + second(label)) / 2


def _as_often_as_named(candidates: Sequence[Candidate], answers: Sequence[str]) -> list[Candidate]:
    """Of each name's candidates the first ones, as many as the answer that holds the name most often."""
    most: Counter[str] = Counter()
    for answer in answers:
        most |= Counter(name.label for name in object_names(answer))
    seen: Counter[str] = Counter()
    kept = []
    for each in candidates:
        seen[each.label] += 1
        if seen[each.label] <= most[each.label]:
            kept.append(each)
    return kept


def _outside(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """What lies outside a mask and its rim."""
    return ~with_rim(mask)
