"""Discovery: everything that a vision-language model names, with a mask each (VL-SAM's open-ended setting).

The paper's two ensembles: the whole picture and its four corner crops are looked at (multi-scale), and each is asked
several questions (question ensemble). For each name in an answer, its tokens' attention gives a heatmap, and that a
mask, as for a given phrase. Last, what several crops and questions found is merged: by non-maximum suppression as in
the paper, or by votes.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from groundkit.attention.maps import AttentionMaps
from groundkit.language import Phrase, Role, Token
from groundkit.language.objects import (
    ObjectName,
    is_unfinished_thought,
    object_names,
    token_offsets,
    with_article,
)
from groundkit.masks.candidates import Candidate
from groundkit.masks.evidence import weigh_evidence
from groundkit.masks.packed import PackedMask
from groundkit.masks.refine import suppress
from groundkit.masks.rim import with_rim
from groundkit.masks.rle import RunLengths
from groundkit.masks.votes import fuse_views
from groundkit.media.crops import Crop, Window, crops
from groundkit.media.images import ImageSource, read_image, source_of
from groundkit.models.look import Asked, Look
from groundkit.models.vision_language.look import Reading, VisionLanguageLook
from groundkit.pipelines.base import check_seed
from groundkit.pipelines.vlsam_config import ASK_FOR_QUESTIONS, QUESTIONS, DiscoverySettings
from groundkit.progress import Cancel, Report, watched_steps
from groundkit.prompting.base import Heatmap
from groundkit.prompting.point_pair import MIN_RELATIVE_HEAT
from groundkit.results import Discovery
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.base import Scene, Stage
from groundkit.stages.evidence import Evidence
from groundkit.stages.picture import Picture
from groundkit.stages.sizes import Sizes
from groundkit.stages.smooth import Smooth
from groundkit.stages.tokens import Tokens
from groundkit.stages.trace import Step

if TYPE_CHECKING:
    from groundkit.models.vision_language.base import Conversation
    from groundkit.pipelines.vlsam import VLSAM

_AROUND_QUESTIONS = " \t-*_`\"'“”"  # what models write around what they were asked to write


@dataclass(frozen=True)
class Answer:
    """What a model said: token ids, their text, and where each token's characters are in it."""

    ids: list[int]
    text: str
    offsets: list[tuple[int, int]]

    def tokens_of(self, name: ObjectName) -> list[int]:
        """The indices of a name's tokens."""
        return [i for i, (start, end) in enumerate(self.offsets) if start < name.end and end > name.start]


def discover(
    pipeline: VLSAM,
    image: ImageSource,
    *,
    seed: int,
    progress: bool | Report = False,
    cancel: Cancel | None = None,
) -> Discovery:
    """Find everything that a pipeline's model names; see ``VLSAM.discover``."""
    check_seed(seed)
    started = time.perf_counter()
    config, pixels = pipeline.config, read_image(image)
    views: list[tuple[Window, list[Candidate]]] = []
    answers: list[str] = []
    asked: Sequence[str] = ()
    of_whole: Belief | None = None
    for crop in watched_steps(crops(pixels, config.discovery.crop_shares), progress, cancel, "views"):
        look = pipeline.open(crop.pixels, whole=pixels)
        asked = asked or questions(pipeline, look, seed)  # those for the whole picture serve its crops
        of_crop = Belief(pipeline, look)
        of_whole = of_whole or of_crop
        believed = {"crop": (of_crop,), "whole": (of_whole,), "both": (of_crop, of_whole)}[config.discovery.verify_on]
        null = null_map(pipeline, look) if config.min_evidence else None
        for question in asked:
            view = View(pipeline, crop, look, believed, null)
            answers.append(view.ask(question, seed))
            views.append((view.window, view.found))
    chosen = merge(views, answers, config.discovery)
    size = (pixels.shape[0], pixels.shape[1])
    masks: Any = RunLengths.of(((each.full() if each.full else each.mask).whole() for each in chosen), size)
    return Discovery(
        image=pixels,
        labels=tuple(each.label for each in chosen),
        masks=masks,
        scores=np.array([each.score for each in chosen], dtype=np.float32),
        points=tuple(each.points for each in chosen),
        answers=tuple(answers),
        pipeline=pipeline.name,
        model=pipeline.model,
        seconds=time.perf_counter() - started,
        source=source_of(image),
        **pipeline.made_by(),
    )


@dataclass
class View:
    """One crop and one question.

    Attributes:
        beliefs: how probable it is that an object of a name is there, in the crop or the whole picture or both.
        null: the map of the null phrase, float32 ``(h, w)``, where names need evidence.
        found: the candidates for the names of the answer: masks of the whole picture at its working size, and points
            in its pixels.
    """

    pipeline: VLSAM
    crop: Crop
    look: VisionLanguageLook
    beliefs: Sequence[Belief]
    null: npt.NDArray[np.float32] | None
    found: list[Candidate] = field(default_factory=list)
    _free: dict[str, npt.NDArray[np.bool_]] = field(default_factory=dict)  # by name: outside the objects found so far

    @property
    def window(self) -> Window:
        """Where the crop stands in the whole picture, both at their working sizes."""
        height, width = (max(1, round(side * self.look.mask_scale)) for side in self.crop.size)
        return self.crop.scaled(self.look.working_size, (height, width))

    def ask(self, question: str, seed: int) -> str:
        """Ask, and find what the answer names. Returns the answer."""
        pipeline, config = self.pipeline, self.pipeline.config
        # 1. Ask, and read the names from the answer.
        talk = self.look.ask(question)
        answer = say(pipeline, talk, seed)
        names = object_names(answer.text)
        believed = self.believed([name.label for name in names])
        names = [name for name in names if believed[name.label] >= config.discovery.min_verification]
        answered = Answered(self.look, question, answer, names, talk)
        # 2. One map per name, from the attention of its tokens.
        stages = name_stages(config.stages)
        for row, name in enumerate(names):
            look = NameLook(answered, row)
            maps, steps = Scene(look, Phrase(name.label, ()), stages, seed=seed).run()
            heatmap = self._unclaimed(name.label, Heatmap.of(maps, look.working_size))
            # 3. Points and masks for each.
            if heatmap is not None:
                for candidate in pipeline.prompter(heatmap, Asked(self.look)):
                    self._claim(name.label, candidate)
                    if self._has_evidence(candidate, steps):
                        self.found += self._placed(name.label, candidate, heatmap)
        return answer.text

    def believed(self, labels: Sequence[str]) -> dict[str, float]:
        """How probable it is that objects of these names are there."""
        told = [belief.of(labels) for belief in self.beliefs]
        return {label: sum(each[label] for each in told) / len(told) for label in labels}

    def _unclaimed(self, label: str, heatmap: Heatmap) -> Heatmap | None:
        """The heatmap outside the objects of this name found so far; None where too little of it is left."""
        if label not in self._free:
            return heatmap
        left = heatmap.pixels * self._free[label]
        return Heatmap(left, heatmap.cells) if left.max() >= MIN_RELATIVE_HEAT * heatmap.pixels.max() else None

    def _claim(self, label: str, candidate: Candidate) -> None:
        if self.pipeline.config.discovery.count_repeats:
            self._free[label] = self._free.get(label, np.True_) & ~with_rim(candidate.mask.whole())

    def _has_evidence(self, candidate: Candidate, steps: Sequence[Step]) -> bool:
        if self.null is None:
            return True
        (combined,) = (step.maps for step in steps if step.name == "tokens")
        evidence = weigh_evidence(combined.on_finest_grid(), self.null, candidate.mask.whole())
        return evidence.score >= self.pipeline.config.min_evidence

    def _placed(self, label: str, candidate: Candidate, heatmap: Heatmap) -> Iterator[Candidate]:
        """The candidate, and its rivals if they vote, in the whole picture; without those that the crop cuts off."""
        crop, window = self.crop, self.window
        points = self.look.in_picture(candidate.points) + np.array([crop.x, crop.y, 0], dtype=np.float32)
        for each in (candidate, *self._rivals(candidate, heatmap)):
            if not window.cuts(each.mask.whole()):
                yield replace(
                    each,
                    label=label,
                    mask=each.mask.placed(window.x, window.y, window.size),
                    score=each.score * self.believed([label])[label],
                    points=points,
                    area=None,
                    logits=None,
                    full=self._full(each),
                )

    def _full(self, candidate: Candidate) -> Callable[[], PackedMask] | None:
        """What makes a candidate's mask at the size of the whole picture, where that is another."""
        crop, look = self.crop, self.look
        if look.working_size == look.size:
            return None
        if candidate.logits is None:
            mask = PackedMask.of(look.enlarge(candidate.mask.whole())).placed(crop.x, crop.y, crop.size)
            return lambda: mask
        # Without the look, which holds the model's own encoding, too.
        enlarge = functools.partial(look.segmenter.enlarge, look.embedding, candidate.logits)
        return lambda: PackedMask.of(enlarge()).placed(crop.x, crop.y, crop.size)

    def _rivals(self, candidate: Candidate, heatmap: Heatmap) -> Iterator[Candidate]:
        """All masks that the segmenter proposes for a candidate's points, where these vote, too."""
        if self.pipeline.config.discovery.vote_with_all_proposals:
            prompts = PointPrompts.from_rows(candidate.points)
            proposals = self.look.propose(prompts)
            for index in np.flatnonzero(proposals.masks.any(axis=(1, 2))):
                yield Candidate.of(proposals, int(index), prompts, heatmap.pixels)


class Answered:
    """A question about a picture with its answer, and the attention flow from its names, read once for all of them."""

    def __init__(
        self,
        look: VisionLanguageLook,
        question: str,
        answer: Answer,
        names: Sequence[ObjectName],
        talk: Conversation | None = None,
    ) -> None:
        self.look = look
        self.question = question
        self.talk = talk or look.ask(question)
        self.answer = answer
        self.names = names
        self.scales = {look.scale: self}

    @functools.cached_property
    def maps(self) -> list[AttentionMaps]:
        """The maps of each name's tokens."""
        ids, pieces = self.answer.ids, self.look.model.tokenizer.convert_ids_to_tokens(self.answer.ids)
        talk = self.look.model.add_answer(self.talk, ids)
        found = [(row, place) for row, name in enumerate(self.names) for place in self.answer.tokens_of(name)]
        tokens = tuple(
            Token(ids[place], pieces[place], None, Role.CONTENT, self.names[row].label) for row, place in found
        )
        maps = self.look.flow(Reading(talk, tokens, tuple(talk.answer.start + place for _, place in found)))
        return [maps.keep([of == row for of, _ in found]) for row in range(len(self.names))]

    def at(self, scale: float) -> Answered:
        """The same answer to the same question about the picture at another size."""
        if scale not in self.scales:
            other = Answered(self.look.at(scale), self.question, self.answer, self.names)
            self.scales[scale] = other
        return self.scales[scale]


class NameLook(Look):
    """A picture in which one name of an answer is read."""

    can = VisionLanguageLook.can

    def __init__(self, answered: Answered, row: int) -> None:
        super().__init__(answered.look.image, answered.look.segmenter)
        self.mask_scale = answered.look.mask_scale
        self.answered = answered
        self.row = row

    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        return self.answered.maps[self.row]

    def at(self, scale: float) -> NameLook:
        return NameLook(self.answered.at(scale), self.row)


def null_map(pipeline: VLSAM, look: VisionLanguageLook) -> npt.NDArray[np.float32]:
    """The map of the null phrase, float32 ``(h, w)``."""
    scene = Scene(look, Phrase("", ()), pipeline.token_stages)
    reader = next((each for each in pipeline.config.stages if isinstance(each, Evidence)), Evidence())
    return reader.null(scene).on_finest_grid()


def name_stages(stages: Sequence[Stage]) -> list[Stage]:
    """The stages of a method that make a name's heatmap: nothing is contrasted, weighted by places or left out."""
    kept: list[Stage] = [each for each in stages if isinstance(each, Smooth | Tokens | Sizes | Picture)]
    if not any(isinstance(each, Tokens) for each in kept):
        kept.insert(sum(isinstance(each, Smooth) for each in kept), Tokens(reduction="mean"))
    return kept


def questions(pipeline: VLSAM, look: VisionLanguageLook, seed: int) -> Sequence[str]:
    """What the model is asked: one question, the built-in ones, or those that it writes itself."""
    built_in = pipeline.vlm.listing_questions or QUESTIONS
    if pipeline.config.discovery.questions == "one":
        return built_in[:1]
    if pipeline.config.discovery.questions == "built_in":
        return built_in
    written = say(pipeline, look.ask(ASK_FOR_QUESTIONS), seed).text
    lines = [line.strip(_AROUND_QUESTIONS).lstrip(f"0123456789.){_AROUND_QUESTIONS}") for line in written.splitlines()]
    return [line for line in lines if line.endswith(("?", "."))][:10] or built_in


def say(pipeline: VLSAM, talk: Conversation, seed: int) -> Answer:
    """The model's answer. Warns where it ends inside a thought."""
    config = pipeline.config.discovery
    ids = pipeline.vlm.generate(
        talk, max_tokens=config.max_tokens, temperature=config.temperature, top_p=config.top_p, seed=seed
    )
    text, offsets = token_offsets(pipeline.vlm.tokenizer, ids)
    if is_unfinished_thought(text):
        warnings.warn(
            f"{pipeline.model} was still thinking after {len(ids)} tokens and named nothing: give it more by "
            f'config={{"max_tokens": {8 * config.max_tokens}}}',
            stacklevel=2,
        )
    return Answer(ids, text, offsets)


class Belief:
    """How probable the model finds it that objects are in a picture. Each name is asked about once."""

    def __init__(self, pipeline: VLSAM, look: VisionLanguageLook) -> None:
        self._config = pipeline.config.discovery
        self._look = look
        self._known: dict[str, float] = {}

    def of(self, labels: Sequence[str]) -> dict[str, float]:
        """The probability that the model says yes when asked whether each is there, by name; 1 if it is not asked."""
        if not self._config.min_verification:
            return dict.fromkeys(labels, 1.0)
        new = [label for label in dict.fromkeys(labels) if label not in self._known]
        asked = [self._look.ask(self._config.verify_question.format(name=with_article(label))) for label in new]
        said = self._look.model.agrees_each(asked, batch_size=self._look.options.batch_size)
        self._known.update(zip(new, said, strict=True))
        return {label: self._known[label] for label in labels}


def merge(
    views: Sequence[tuple[Window, list[Candidate]]], answers: Sequence[str], config: DiscoverySettings
) -> list[Candidate]:
    """Each object once, from what all crops and questions found."""
    if config.suppression == "votes":
        return fuse_views(views, min_score=config.min_support, overlap=config.max_overlap, power=config.agreement_power)
    candidates = [each for _, found in views for each in found]
    kept = suppress(
        np.array([each.mask.box for each in candidates], dtype=np.float32).reshape(-1, 4),
        np.array([each.score for each in candidates], dtype=np.float32),
        [each.noun if config.suppression == "same_name" else "" for each in candidates],
        overlap=config.max_overlap,
    )
    chosen = [candidates[index] for index in kept]
    return _as_often_as_named(chosen, answers) if config.count_repeats else chosen


def _as_often_as_named(candidates: Sequence[Candidate], answers: Sequence[str]) -> list[Candidate]:
    """The first candidates of each name, as many as the answer that holds the name most often."""
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
