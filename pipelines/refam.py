"""RefAM: attention magnets for zero-shot referral segmentation (Kukleva et al., arXiv 2509.22650).

A phrase, with magnets appended, goes through a diffusion transformer together with the picture; the attention between
words and picture is read; what magnets, stop words, special tokens and sinks gathered is thrown away; the words that
are left point at the object, and a Segment Anything model turns the point into a mask.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from groundkit.attention.maps import AttentionMaps, check_finite
from groundkit.language import Phrase, Role, Token, parse_phrase, tokenize
from groundkit.masks.evidence import weigh_evidence
from groundkit.masks.geometry import boxes_of
from groundkit.memory import explain_out_of_memory
from groundkit.models.diffusion.base import DiffusionModel
from groundkit.pipelines.base import Pipeline, attempt, made_by
from groundkit.pipelines.refam_config import PRESETS, RefAMConfig, read_config
from groundkit.prompting.base import Heatmap
from groundkit.prompting.objects import Objects
from groundkit.prompting.peaks import Peaks, upsample
from groundkit.results import Failure, Grounding, judged
from groundkit.segmenters.base import Segmenter
from groundkit.stages.fusion import is_left, leave_out
from groundkit.stages.normalise import Reduction, merge_layers, reduce_maps
from groundkit.stages.places import minmax
from groundkit.stages.sinks import find_sinks

__all__ = ["PRESETS", "Reading", "RefAM", "RefAMConfig", "RefAMSteps", "RefAMTrace", "read_config"]

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RefAMTrace:
    """What each step saw, for ``groundkit explain``.

    Attributes:
        phrase: the phrase, taken apart.
        tokens: the T text tokens, magnets and specials included.
        maps: float32 ``(T, h, w)``, each token's map after normalisation.
        sinks: bool ``(T,)``, the global attention sinks.
        kept: bool ``(T,)``, the tokens whose maps were put together.
        filtered: float32 ``(h, w)``, the maps put together, before the spatial bias.
        bias: float32 ``(h, w)``, or None without direction words.
        proposals: bool ``(C, height, width)``, the segmenter's masks for the first point.
        proposal_scores: float32 ``(C,)``.
        chosen: index of the proposal taken.
    """

    phrase: Phrase
    tokens: tuple[Token, ...]
    maps: Map
    sinks: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    filtered: Map
    bias: Map | None
    proposals: npt.NDArray[np.bool_]
    proposal_scores: Map
    chosen: int


@dataclass(frozen=True)
class Words:
    """A phrase as the text encoders leave it: its T tokens, what ``encode_text`` returned, and how long that took."""

    phrase: Phrase
    tokens: tuple[Token, ...]
    states: Any
    seconds: float
    negated: Words | None = None


@dataclass(frozen=True)
class Reading:
    """What the words of one phrase see: see ``RefAMTrace``. Maps of a clip have an axis of time before h and w.

    ``negated`` is what the words see that say what is not meant; ``seconds`` tells how long it took to encode and read
    them.
    """

    tokens: tuple[Token, ...]
    maps: torch.Tensor
    sinks: torch.Tensor
    kept: torch.Tensor
    filtered: Map
    seconds: float = 0.0
    negated: Reading | None = None

    def at(self, time: int) -> Reading:
        """One slice of a clip, as a picture."""
        negated = self.negated and self.negated.at(time)
        return replace(self, maps=self.maps[:, time], filtered=self.filtered[time], negated=negated)


class RefAMSteps(Pipeline):
    """The method's steps, whatever the words look at: a model, a segmenter and a configuration."""

    def __init__(self, model: Any, segmenter: Segmenter, config: RefAMConfig, *, name: str) -> None:
        self.diffusion = model
        self.segmenter = segmenter
        self.config = config
        self.name = name
        self.model: str = model.name

    def _point(
        self,
        image: npt.NDArray[np.uint8],
        text: str,
        phrase: Phrase,
        read: Reading,
        embedding: object,
        null: Map | None,
        started: float,
    ) -> Grounding:
        """Steps 3 to 5: from the map of a phrase in a picture to points and masks."""
        config = self.config
        height, width = image.shape[:2]

        # 3. Weight the words' map by the direction words; leave out what is not meant.
        weighted = self._weigh(read, phrase)
        heatmap = minmax(upsample(weighted, height, width))

        # 4. The highest point, or several; the segmenter's masks for each; the one that agrees best with the map.
        peaks, selection = Peaks.of(config), config.selection_of(phrase)
        prompter = peaks if selection.is_best else Objects(selection=selection, peaks=peaks)
        found = prompter(Heatmap(heatmap, weighted), functools.partial(self.segmenter.segment, embedding))
        if phrase.negated:
            whole = config.weigh(read.filtered, phrase)
            found = [each for each in found if is_left(each.mask.whole(), weighted, whole)]
        seen = [each for each in found if each.mask.area]
        masks = np.array([each.mask.whole() for each in seen], np.bool_).reshape(-1, height, width)
        trace = RefAMTrace(
            phrase,
            read.tokens,
            read.maps.numpy(),
            read.sinks.numpy(),
            read.kept.numpy(),
            read.filtered,
            config.place_ramp(read.filtered.shape, phrase.places),
            found[0].proposals.masks if found and found[0].proposals else masks,
            found[0].proposals.scores if found and found[0].proposals else np.zeros(0, np.float32),
            found[0].chosen if found else 0,
        )
        grounding = Grounding(
            image=image,
            phrase=text,
            masks=masks,
            scores=np.array([each.score for each in seen], dtype=np.float32),
            boxes=boxes_of(masks),
            points=np.concatenate([np.zeros((0, 3), np.float32), *(each.points for each in seen or found[:1])]),
            heatmap=heatmap,
            pipeline=self.name,
            model=self.model,
            seconds=time.perf_counter() - started,
            **made_by(self.diffusion, self.segmenter, self.config),
            steps=trace,
        )
        # 5. If asked for: does more speak for it than for a phrase that names nothing?
        if null is None:
            return grounding
        return judged(grounding, weigh_evidence(read.filtered, null, grounding.mask), config.min_evidence)

    def _words(self, text: str) -> Words:
        """Take a phrase apart, append the magnets and encode it."""
        return self._encoded(parse_phrase(text))

    def _encoded(self, phrase: Phrase) -> Words:
        started = time.perf_counter()
        tokens = self._tokens(phrase)
        states = self._encode(tokens, phrase)
        negated = self._encoded(phrase.negated) if phrase.negated else None
        return Words(phrase, tokens, states, time.perf_counter() - started, negated)

    @explain_out_of_memory()
    def _null_words(self) -> Words | None:
        """Those of the null phrase, where evidence is weighed."""
        if not self.config.weighs_evidence:
            return None
        with self.config.reading_null_phrase():
            return self._words(self.config.null_phrase)

    def _read(self, words: Words, encoded: Any, seed: int, reduction: Reduction | None = None) -> Reading:
        # 1. Read the attention of one noised pass (or several).
        started = time.perf_counter()
        attention = self._attention(encoded, words.states, seed)

        # 2. Let the tokens compete at each patch; drop the maps of magnets, stop words, specials and sinks.
        maps = merge_layers(torch.from_numpy(attention.numpy()[:, 0]), self.config.normalisation)
        sinks = find_sinks(attention)
        kept = torch.tensor(self._kept(words.phrase, words.tokens, sinks.tolist()))
        filtered = reduce_maps(maps[kept], reduction or self.config.reduction).numpy()
        # What is not meant is where all of its words look, not what has a part of them: of "red cup", no other cup.
        negated = self._read(words.negated, encoded, seed, "product") if words.negated else None
        seconds = words.seconds + time.perf_counter() - started
        return Reading(words.tokens, maps, sinks, kept, filtered, seconds, negated)

    def _weigh(self, read: Reading, phrase: Phrase) -> Map:
        """A phrase's map, weighted by its places, without that of what is not meant."""
        weighted = self.config.weigh(read.filtered, phrase)
        if read.negated is None or phrase.negated is None:
            return weighted
        return leave_out(weighted, self.config.weigh(read.negated.filtered, phrase.negated))

    def _tokens(self, phrase: Phrase) -> tuple[Token, ...]:
        return tokenize(
            phrase,
            self.diffusion.tokenizer,
            magnets=self.config.magnets,
            magnet_tokenisation=self.config.magnet_tokenisation,
            max_tokens=self.diffusion.max_tokens,
        )

    def _encode(self, tokens: tuple[Token, ...], phrase: Phrase) -> Any:
        ids = [token.id for token in tokens]
        pieces = [ids]
        if self.config.magnet_encoding == "separate":
            own = sum(token.role is not Role.MAGNET for token in tokens)
            ends = [own, *(i + 1 for i in range(own, len(ids)) if ids[i] == self.diffusion.tokenizer.eos_token_id)]
            pieces = [ids[:own], *(ids[first:end] for first, end in itertools.pairwise(ends))]
        return self.diffusion.encode_text(pieces, phrase.text)

    def _attention(self, encoded: Any, text: Any, seed: int) -> AttentionMaps:
        """Mean attention over the noise samples."""
        config = self.config
        read: list[AttentionMaps] = [
            self.diffusion.read_attention(
                encoded,
                text,
                noise_level=config.noise_level,
                seed=seed + index,
                layers=config.layers,
                heads=config.heads,
                direction=config.direction,
                guidance=config.guidance,
            )
            for index in range(config.noise_seeds)
        ]
        for each in read:
            check_finite(each.values, self.diffusion)
        mixed = [each.text for each in read if each.text is not None]
        return replace(
            read[0],
            values=torch.stack([each.values for each in read]).mean(dim=0),
            text=torch.stack(mixed).mean(dim=0) if mixed else None,
        )

    def _kept(self, phrase: Phrase, tokens: tuple[Token, ...], sinks: list[bool]) -> list[bool]:
        """Which tokens' maps are put together; never none of them."""
        config = self.config
        if not config.filter_stop_words:
            return [token.word is not None for token in tokens]
        words = phrase.kept_words(head_only=config.noun_phrase, without_directions=config.drop_directions)
        kept = [token.word in words for token in tokens]
        if not any(kept):  # a phrase so long that its head was cut off
            kept = [token.role is Role.CONTENT for token in tokens]
        without_sinks = [keep and not sink for keep, sink in zip(kept, sinks, strict=True)]
        return without_sinks if config.filter_sinks and any(without_sinks) else kept


class RefAM(RefAMSteps):
    """A diffusion transformer, a segmenter and a configuration; call it with a picture and a phrase."""

    def __init__(
        self, model: DiffusionModel, segmenter: Segmenter, config: RefAMConfig | None = None, *, name: str = "refam"
    ) -> None:
        super().__init__(model, segmenter, config or RefAMConfig(), name=name)

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        # All texts come first: with --offload the text encoders, the transformer and the segmenter take turns on the
        # GPU, and each comes once for all phrases of a picture.
        texts = [attempt(text, self._words, text) for text in phrases]
        null_words = self._null_words() if any(isinstance(each, Words) for each in texts) else None

        @functools.cache
        def encoded() -> Any:
            return self.diffusion.encode_image(image)

        @functools.cache
        def null() -> Map | None:
            return None if null_words is None else self._read(null_words, encoded(), seed).filtered

        @functools.cache
        def embedding() -> Any:
            return self.segmenter.embed(image)

        def read(words: Words) -> Reading:
            null()
            return self._read(words, encoded(), seed)

        def point(text: str, words: Words, reading: Reading) -> Grounding:
            started = time.perf_counter() - reading.seconds
            return self._point(image, text, words.phrase, reading, embedding(), null(), started)

        # 1. and 2. The attention of the words that name the object, then what it points at.
        readings: Iterable[Reading | Failure] = (
            attempt(text, read, each) if isinstance(each, Words) else each
            for text, each in zip(phrases, texts, strict=True)
        )
        if getattr(self.diffusion, "offload", False):
            readings = list(readings)
        for text, words, reading in zip(phrases, texts, readings, strict=True):
            if isinstance(words, Failure):
                yield words
            elif isinstance(reading, Failure):
                yield reading
            else:
                yield attempt(text, point, text, words, reading)
