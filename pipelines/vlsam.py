"""VL-SAM: attention as prompts for open-ended detection and segmentation (Lin et al., NeurIPS 2024, arXiv 2410.05963).

A vision-language model lists what it sees; the attention of each name's tokens, heads weighed, flows back through the
layers to the picture; a positive and a negative point are drawn from what arrives there, and a Segment Anything model
turns them into a mask. No list of categories is given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field

from groundkit.attention.flow import Flow, Regulariser, image_flow
from groundkit.attention.heads import HeadWeights
from groundkit.errors import GroundkitError, PhraseError
from groundkit.language import parse_phrase
from groundkit.language.objects import object_names, token_offsets
from groundkit.media.crops import Crop, crops
from groundkit.media.images import ImageSource, read_image
from groundkit.models.vision_language import Conversation, EncodedPicture, View, VisionLanguageModel
from groundkit.pipelines.base import PhrasePipeline
from groundkit.pipelines.settings import validate
from groundkit.prompting.evidence import weigh_evidence
from groundkit.prompting.regions import point_pair, positive_area
from groundkit.prompting.spatial import minmax
from groundkit.results import Discovery, Grounding, boxes_of, judged
from groundkit.segmenters.base import Segmenter
from groundkit.segmenters.refine import cascade, suppress

Heat = npt.NDArray[np.float32]

# The first is asked alone when the ensemble is off.
QUESTIONS = (
    "List all the objects in this picture, separated by commas.",
    "What objects are in the picture? Name every one of them.",
    "Name everything that can be seen here, also small things and things in the background.",
    "Which things are at the left, in the middle and at the right of the picture?",
)
ASK_FOR_QUESTIONS = (
    "Write ten different questions that ask a person to list all the objects in a picture. One question a line."
)


class VLSAMConfig(BaseModel):
    """Every choice of the method, also where the paper leaves it open. ``--set key=value`` sets any of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    questions: Literal["one", "built_in", "model"] = Field(
        "built_in", description="ask one question, a built-in set, or ten that the model writes itself (the paper)"
    )
    multi_scale: bool = Field(True, description="look at the four corner crops too")
    head_weights: HeadWeights = Field(HeadWeights.MAX, description="max (equation 1), image_max (DecAF) or uniform")
    flow: Flow = Field(Flow.FLOW, description="flow (equation 3), rollout or mean")
    regulariser: Regulariser = Field(
        Regulariser.END, description="where columns are damped: once at the end, in each layer, or none"
    )
    layers: str = Field("all", description="all, late, a range such as 14-27, or names")
    word_tokens: Literal["mean", "last"] = Field("mean", description="rows of a name of several tokens")
    grounding: Literal["taught", "decaf"] = Field(
        "taught",
        description="how a given phrase is read: from its own tokens, put into the model's mouth, or DecAF's way, from "
        "the last token of the prompt, object minus background",
    )
    phrase_question: str = Field("Where is {phrase}?", description="what a given phrase is asked as")
    smoothing: float = Field(0.0, ge=0, le=8, description="deviation of the Gaussian that smooths a map, in tokens")
    threshold: str = Field("otsu", description="of the positive area: otsu, or a share between 0 and 1")
    refine: Literal["none", "cascade", "mask_in", "mask_out"] = Field(
        "mask_in",
        description="mask prompts (cascade), then points drawn again inside (mask_in) or outside (mask_out) the mask",
    )
    overlap: float = Field(0.7, gt=0, le=1, description="box IoU from which the lower of two masks of a name goes")
    evidence: bool = Field(False, description="say how much speaks for the object being there (one more pass)")
    min_evidence: float = Field(0.0, ge=0, le=1, description="with less evidence than this, nothing is found")
    null_phrase: str = Field("thing", description="what a phrase's map is compared with for evidence")
    max_tokens: int = Field(256, ge=1, description="longest answer")
    temperature: float = Field(0.0, ge=0, description="0 takes the likeliest words; the paper has 0.8")
    top_p: float = Field(1.0, gt=0, le=1, description="with a temperature; the paper has 0.1")


PRESETS: dict[str, dict[str, object]] = {
    "vlsam": {},
    "decaf": {  # Decomposed Attention Fusion, arXiv 2510.19592: its map, with points and masks as here
        "head_weights": HeadWeights.IMAGE_MAX,
        "flow": Flow.ROLLOUT,
        "regulariser": Regulariser.NONE,
        "layers": "late",
        "grounding": "decaf",
        "phrase_question": "{phrase}. Name the main object referred to, in a single word.",
        "smoothing": 1.0,
    },
}
ANOTHER = 0.5  # outside a mask, what is less than half as hot as the hottest place is no other object
BACKGROUND = "Describe the background of the picture without any {noun}, in a single word or phrase."


def read_config(settings: Mapping[str, object]) -> VLSAMConfig:
    """Check settings by name and value. Raises ConfigError that names the first wrong one."""
    return validate(VLSAMConfig, settings)


@dataclass(frozen=True)
class VLSAMTrace:
    """What each step saw.

    Attributes:
        answer: what the model said, or was made to say.
        tokens: its pieces.
        heat: float32 ``(h, w)``, the first view's map.
        area: bool ``(height, width)``, the positive area.
    """

    answer: str
    tokens: tuple[str, ...]
    heat: Heat
    area: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Candidate:
    label: str
    mask: npt.NDArray[np.bool_]
    score: float
    points: npt.NDArray[np.float32]


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

    def discover(self, image: ImageSource, *, seed: int = 0) -> Discovery:
        """Find everything that the model names.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB.
            seed: of the model's words, where the temperature is above 0.

        Raises:
            ImageError: a picture that cannot be read.
        """
        started = time.perf_counter()
        pixels = read_image(image)
        candidates: list[_Candidate] = []
        answers: list[str] = []
        for crop in crops(pixels, corners=self.config.multi_scale):
            picture, embedding = self.vlm.encode(crop.pixels), self.segmenter.embed(crop.pixels)
            for question in self._questions(picture, seed):
                answer, found = self._look(crop, picture, embedding, question, seed)
                answers.append(answer)
                candidates += found
        kept = suppress(
            boxes_of(np.stack([c.mask for c in candidates])) if candidates else np.zeros((0, 4), np.float32),
            np.array([c.score for c in candidates], dtype=np.float32),
            [c.label.split()[-1] for c in candidates],
            overlap=self.config.overlap,
        )
        chosen = [candidates[index] for index in kept]
        empty = np.zeros((0, *pixels.shape[:2]))
        return Discovery(
            image=pixels,
            labels=tuple(c.label for c in chosen),
            masks=np.stack([c.mask for c in chosen]) if chosen else empty.astype(np.bool_),
            scores=np.array([c.score for c in chosen], dtype=np.float32),
            points=tuple(c.points for c in chosen),
            answers=tuple(answers),
            pipeline=self.name,
            model=self.model,
            seconds=time.perf_counter() - started,
        )

    def ground(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | GroundkitError]:
        (crop,) = crops(image, corners=False)
        picture = embedding = null = None
        for text in phrases:
            started = time.perf_counter()
            try:
                phrase = parse_phrase(text)
                if picture is None:
                    picture, embedding = self.vlm.encode(image), self.segmenter.embed(image)
                    if self.config.evidence or self.config.min_evidence:
                        thing = self.config.null_phrase
                        null = self._first_view(*self._phrase_maps(picture, thing, thing))
                talk, maps = self._phrase_maps(picture, phrase.text, phrase.head)
                heat = self._heat(talk.views, maps, image)
                candidate, area = self._segment(crop, embedding, text, heat)
            except GroundkitError as error:
                yield error
                continue
            masks = candidate.mask[None] if candidate else np.zeros((0, *image.shape[:2]), np.bool_)
            ids = talk.inputs["input_ids"][0, talk.answer.start : talk.answer.stop].tolist()
            first = self._first_view(talk, maps)
            grounding = Grounding(
                image=image,
                phrase=text,
                masks=masks,
                scores=np.array([candidate.score] if candidate else [], dtype=np.float32),
                boxes=boxes_of(masks),
                points=candidate.points if candidate else np.zeros((0, 3), np.float32),
                heatmap=minmax(heat),
                pipeline=self.name,
                model=self.model,
                seconds=time.perf_counter() - started,
                trace=VLSAMTrace(
                    self.vlm.tokenizer.decode(ids),
                    tuple(self.vlm.tokenizer.convert_ids_to_tokens(ids)),
                    first,
                    area,
                ),
            )
            if null is None:
                yield grounding
            else:
                yield judged(grounding, weigh_evidence(first, null, grounding.mask), self.config.min_evidence)

    @staticmethod
    def _first_view(talk: Conversation, maps: torch.Tensor) -> Heat:
        rows, columns = talk.views[0].grid
        return np.asarray(maps[: rows * columns].reshape(rows, columns).float().numpy())

    def _questions(self, picture: EncodedPicture, seed: int) -> Sequence[str]:
        """What the model is asked: one question, the built-in ones, or those it writes itself."""
        if self.config.questions == "one":
            return QUESTIONS[:1]
        if self.config.questions == "built_in":
            return QUESTIONS
        written = self._say(self.vlm.ask(picture, ASK_FOR_QUESTIONS), seed)[1]
        lines = [line.strip().lstrip("-*0123456789.) ") for line in written.splitlines()]
        return [line for line in lines if line.endswith("?")][:10] or QUESTIONS

    def _say(self, talk: Conversation, seed: int) -> tuple[list[int], str, list[tuple[int, int]]]:
        """The model's answer: token ids, text, and where each token's characters stand in it."""
        config = self.config
        ids = self.vlm.generate(
            talk, max_tokens=config.max_tokens, temperature=config.temperature, top_p=config.top_p, seed=seed
        )
        return ids, *token_offsets(self.vlm.tokenizer, ids)

    def _look(
        self, crop: Crop, picture: EncodedPicture, embedding: Any, question: str, seed: int
    ) -> tuple[str, list[_Candidate]]:
        """1. Ask, and read names from the answer. 2. One map a name. 3. Points and a mask for each."""
        asked = self.vlm.ask(picture, question)
        ids, answer, offsets = self._say(asked, seed)
        names = object_names(answer)
        if not names:
            return answer, []
        talk = self.vlm.add_answer(asked, ids)
        tokens = [[i for i, (a, b) in enumerate(offsets) if a < name.end and b > name.start] for name in names]
        maps = self._maps(talk, tokens)
        found = []
        for name, heat in zip(names, maps, strict=True):
            for _, candidate in self._refined(crop, embedding, name.label, self._heat(talk.views, heat, crop.pixels)):
                if not crop.cuts(candidate.mask):
                    placed = candidate.points + np.array([crop.x, crop.y, 0], dtype=np.float32)
                    found.append(_Candidate(name.label, crop.place(candidate.mask), candidate.score, placed))
        return answer, found

    def _maps(self, talk: Conversation, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
        """What flows from words of the answer to the image tokens, ``(words, P)``; ``tokens`` count from its start."""
        config = self.config
        rows = torch.zeros(len(tokens), talk.inputs["input_ids"].shape[1])
        for row, places in zip(rows, tokens, strict=True):
            for place in places if config.word_tokens == "mean" else places[-1:]:
                row[talk.answer.start + place] += 1
            row /= row.sum().clamp_min(1)
        return self._flow(talk, rows)

    def _flow(self, talk: Conversation, rows: torch.Tensor) -> torch.Tensor:
        config = self.config
        layers = self.vlm.read_layers(talk, weights=config.head_weights, layers=config.layers)
        causal = self.vlm.causal  # where tokens see later ones too, nothing piles up on the first
        regulariser = config.regulariser if causal else Regulariser.NONE
        return image_flow(layers, rows, talk.image_positions, flow=config.flow, regulariser=regulariser)

    def _phrase_maps(self, picture: EncodedPicture, phrase: str, head: str) -> tuple[Conversation, torch.Tensor]:
        """One map, ``(P,)``, for a given phrase, and the conversation that it was read from."""
        question = self.config.phrase_question.format(phrase=phrase)
        if self.config.grounding == "decaf":
            seen = [self._last_token(picture, q) for q in (question, BACKGROUND.format(noun=head))]
            return seen[0][0], (seen[0][1] - seen[1][1]).clamp_min(0)
        ids = self.vlm.tokenizer(phrase, add_special_tokens=False).input_ids
        text, offsets = token_offsets(self.vlm.tokenizer, ids)
        start = text.find(head)
        inside = [i for i, (a, b) in enumerate(offsets) if a < start + len(head) and b > start >= 0]
        if not ids:
            raise PhraseError(f"the model has no token for {phrase[:40]!r}: say it in other words")
        talk = self.vlm.ask(picture, question, ids)
        return talk, self._maps(talk, [inside or range(len(ids))])[0]

    def _last_token(self, picture: EncodedPicture, question: str) -> tuple[Conversation, torch.Tensor]:
        talk = self.vlm.ask(picture, question)
        rows = torch.zeros(1, talk.inputs["input_ids"].shape[1])
        rows[0, -1] = 1
        return talk, self._flow(talk, rows)[0]

    def _heat(self, views: Sequence[View], maps: torch.Tensor, image: npt.NDArray[np.uint8]) -> Heat:
        """The maps of all views over the picture, float32 ``(height, width)``: their mean where several show it."""
        height, width = image.shape[:2]
        total, weight = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
        start = 0
        for view in views:
            rows, columns = view.grid
            grid = maps[start : start + rows * columns].reshape(rows, columns).float().numpy()
            start += rows * columns
            if self.config.smoothing:
                grid = cv2.GaussianBlur(grid, (7, 7), self.config.smoothing, borderType=cv2.BORDER_CONSTANT)
            x1, y1, x2, y2 = (round(side * length) for side, length in zip(view.box, (width, height) * 2, strict=True))
            whole = cv2.resize(grid, (max(1, x2 - x1), max(1, y2 - y1)), interpolation=cv2.INTER_CUBIC)
            left, top = max(0, x1), max(0, y1)
            part = whole[top - y1 : height - y1, left - x1 : width - x1]
            inside = (slice(top, top + part.shape[0]), slice(left, left + part.shape[1]))
            total[inside] += part
            weight[inside] += 1
        seen = weight > 0
        heat = np.where(seen, total / np.maximum(weight, 1), total[seen].min() if seen.any() else 0)
        return np.maximum(heat, 0).astype(np.float32)

    def _segment(
        self, crop: Crop, embedding: Any, label: str, heat: Heat
    ) -> tuple[_Candidate | None, npt.NDArray[np.bool_]]:
        """The best mask for one map, and its positive area."""
        found = list(self._refined(crop, embedding, label, heat))
        if not found:
            return None, np.zeros(heat.shape, np.bool_)
        area, best = max(found, key=lambda pair: pair[1].score)
        return best, area

    def _refined(
        self, crop: Crop, embedding: Any, label: str, heat: Heat
    ) -> Iterator[tuple[npt.NDArray[np.bool_], _Candidate]]:
        """Round 1: points, mask, and the mask as a prompt. Round 2: points drawn again from the masked map."""
        refine, hottest = self.config.refine, heat.max()
        for _ in range(2 if refine in ("mask_in", "mask_out") else 1):
            area = positive_area(heat, self.config.threshold)
            if not area.any() or heat.max() < ANOTHER * hottest:
                return
            prompts = point_pair(heat, area)
            proposals = (
                self.segmenter.segment(embedding, prompts)
                if refine == "none"
                else cascade(self.segmenter, embedding, prompts)
            )
            best = int(proposals.scores.argmax())
            mask = proposals.masks[best]
            if mask.any():
                yield area, _Candidate(label, mask, float(proposals.scores[best]), prompts.rows)
            if refine == "mask_out":  # with the rim, over which the coarse map runs
                rim = np.ones((2 * round(max(mask.shape) / 32) + 1,) * 2, np.uint8)
                mask = ~cv2.dilate(mask.astype(np.uint8), rim).astype(np.bool_)
            heat = heat * mask
