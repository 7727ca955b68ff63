"""RefAM: attention magnets for zero-shot referral segmentation (Kukleva et al., arXiv 2509.22650).

A phrase, with magnets appended, goes through a diffusion transformer together with a picture or a clip (the paper's
models are FLUX and Mochi). The steps are those of the paper's pipeline figure:

1. read      the attention between words and patches in one noised pass, x_s = (1 - s) x_0 + s eps
2. compete   the tokens share each patch: the softmax along the token axis
3. filter    the maps of magnets, stop words, special tokens and global attention sinks are dropped
4. combine   the maps of the words that are left are added
5. bias      what the phrase excludes ("not red") is taken away, which is ours; direction words weight the map
6. argmax    the highest place becomes a point
7. mask      a Segment Anything model proposes masks for the point

In a clip one slice points at the object, on the frame in its middle; from there a tracker carries the mask.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError
from groundkit.language import Phrase, parse_phrase
from groundkit.masks.evidence import weigh_evidence
from groundkit.masks.heat import LaidHeat
from groundkit.media.images import ImageSource, read_image
from groundkit.memory import explain_out_of_memory
from groundkit.models.diffusion.base import DiffusionModel
from groundkit.models.diffusion.look import DiffusionLook
from groundkit.models.look import Look
from groundkit.models.options import ReadOptions
from groundkit.pipelines.base import attempt, check_seed, made_by
from groundkit.pipelines.method import Method
from groundkit.pipelines.refam_config import PRESETS, RefAMConfig, read_config
from groundkit.prompting.base import Heatmap, Prompter
from groundkit.results import Failure, Grounding, Making
from groundkit.segmenters.base import Segmenter
from groundkit.stages.base import Scene, Stage
from groundkit.stages.evidence import reading_null_phrase
from groundkit.stages.negation import Negation
from groundkit.stages.places import Places
from groundkit.stages.slices import Slices
from groundkit.stages.trace import Step, Trace

__all__ = ["PRESETS", "KeySlice", "RefAM", "RefAMConfig", "read_config"]

KeySlice = Literal["first", "middle", "strongest"]


@dataclass(frozen=True)
class Seen:
    """A phrase in a picture after steps 1 to 5.

    Attributes:
        phrase: the phrase, taken apart.
        steps: the maps after each step; the last ones are the heatmap's.
        null: the map of the null phrase after step 4, where evidence is asked for.
        seconds: how long the steps took.
    """

    phrase: Phrase
    steps: tuple[Step, ...]
    null: AttentionMaps | None
    seconds: float


class RefAM(Method):
    """A diffusion transformer, a segmenter and a configuration; call it with a picture and a phrase."""

    config: RefAMConfig

    def __init__(
        self, model: DiffusionModel, segmenter: Segmenter, config: RefAMConfig | None = None, *, name: str = "refam"
    ) -> None:
        self.diffusion = model
        self.segmenter = segmenter
        self.config = config or RefAMConfig()
        self.name = name
        self.model = model.name
        self.reads_clips = model.clips

    @property
    def families(self) -> tuple[DiffusionModel, ...]:
        return () if self._closed else (self.diffusion,)

    def stages(self, slice_: int | None = None) -> tuple[Stage, ...]:
        """Steps 2 to 5; of a clip, the fifth step can be taken for one slice alone."""
        return (*self._before_bias(slice_), *self.config.stages[self._biased :])

    def _before_bias(self, slice_: int | None = None) -> tuple[Stage, ...]:
        return (*self.config.stages[: self._biased], Slices(index=slice_))

    @property
    def _biased(self) -> int:
        """Where step 5 begins."""
        stages = self.config.stages
        return next((i for i, each in enumerate(stages) if isinstance(each, Places | Negation)), len(stages))

    def open(self, frames: Sequence[npt.NDArray[np.uint8]], *, keep_heads: bool = False) -> DiffusionLook:
        """A look at a picture or clip, uint8 ``(height, width, 3)`` RGB per frame, for step 1."""
        reading = self.config.reading
        options = ReadOptions(
            layers=reading.layers,
            heads=reading.heads,
            direction=reading.direction,
            noise_level=reading.noise_level,
            guidance=reading.guidance,
            keep_heads=keep_heads,
            batch_size=self.batch_size,
        )
        look = DiffusionLook(
            self.diffusion,
            frames,
            self.segmenter,
            options=options,
            noise_seeds=reading.noise_samples,
            magnets=reading.magnets,
            magnet_tokenisation=reading.magnet_tokenisation,
            magnet_encoding=reading.magnet_encoding,
        )
        return self.bounded(look, frames[0].shape)

    @explain_out_of_memory()
    def attention(self, image: ImageSource, phrase: str, *, seed: int = 0, keep_heads: bool = False) -> AttentionMaps:
        """The attention of a phrase and its magnets in a picture, as step 1 reads it, before any stage.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB.
            phrase: what to look for.
            seed: of the noise, 0 to 2**62.
            keep_heads: keep every head by itself instead of their mean.

        Raises:
            ImageError, PhraseError: an input that cannot be used.
            OutOfMemoryError: memory ran out.

        Example:
            >>> maps = groundkit.load("refam").attention("scene.png", "the red cup")
            >>> maps["cup"].mean_layers().over((256, 256)).shape
            (256, 256)
        """
        check_seed(seed)
        return self.open([read_image(image)], keep_heads=keep_heads).read(parse_phrase(phrase), seed=seed)

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        look = self.open([image])
        # With --offload the text encoders, the transformer and the segmenter take turns on the GPU: each comes once for
        # all phrases of a picture, so all texts are encoded first, and all are read before the first mask.
        scenes = [attempt(text, self._scene, look, text, seed) for text in phrases]
        null = self._null(look, seed) if any(isinstance(each, Scene) for each in scenes) else None
        seen: Iterable[Seen | Failure] = (
            scene if isinstance(scene, Failure) else attempt(text, self._see, scene, null)
            for text, scene in zip(phrases, scenes, strict=True)
        )
        if self.diffusion.offload:
            seen = list(seen)
        for text, each in zip(phrases, seen, strict=True):
            yield each if isinstance(each, Failure) else attempt(text, self._point, look, text, each)

    def places(self, count: int) -> list[int]:
        """Which frames of a video of ``count`` frames make the clip: as many as fill whole slices, evenly spaced."""
        wanted = min(count, self.diffusion.clip_length(self.config.reading.max_frames))
        return [int(place) for place in np.linspace(0, count - 1, wanted).round()]

    @explain_out_of_memory()
    def ground_clip(
        self, frames: Sequence[npt.NDArray[np.uint8]], text: str, *, key: KeySlice = "strongest", seed: int = 0
    ) -> tuple[int, Grounding]:
        """Ground one phrase in a clip.

        Args:
            frames: uint8 ``(height, width, 3)`` RGB each, all of one size.
            text: what to look for.
            key: the slice that points at the object: the first, as in the paper; the one that shows the middle frame;
                or the one in which the map, weighted by the direction words, is highest.
            seed: of the noise.

        Returns:
            Which of the frames was chosen, and what was found on it.

        Raises:
            PhraseError: a phrase with nothing to look for.
        """
        look = self.open(frames)
        scene, null = self._scene(look, text, seed), self._null(look, seed)
        covers = look.encoded.grid.frames
        if key == "strongest":
            heat = scene.run()[0].numpy()[0, 0, 0].reshape(len(covers), -1)
            chosen = max((index for index, shown in enumerate(covers) if shown), key=lambda index: heat[index].max())
        else:
            wanted = 0 if key == "first" else len(frames) // 2
            chosen = next(index for index, shown in enumerate(covers) if wanted in shown)
        frame = covers[chosen][len(covers[chosen]) // 2]
        # Places and what is excluded are weighed again on the scale of the one slice.
        seen = self._see(scene.through(self.stages(chosen)), null and null.through(self._before_bias(chosen)))
        at_slice = Slices(index=chosen)
        seen = replace(seen, steps=tuple(replace(step, maps=at_slice(step.maps, scene)) for step in seen.steps))
        return frame, self._point(look.showing(frames[frame]), text, seen)

    def _scene(self, look: DiffusionLook, text: str, seed: int) -> Scene:
        """Take a phrase apart, append the magnets and encode it."""
        phrase = parse_phrase(text)
        look.encode(phrase)
        return Scene(look, phrase, self.stages(), seed=seed)

    @explain_out_of_memory()
    def _null(self, look: DiffusionLook, seed: int) -> Scene | None:
        """The null phrase up to step 4, where evidence is asked for."""
        if not self.config.weighs_evidence:
            return None
        with reading_null_phrase(self.config.null_phrase):
            return self._scene(look, self.config.null_phrase, seed).through(self._before_bias())

    def _see(self, scene: Scene, null: Scene | None) -> Seen:
        """Steps 1 to 5."""
        null_map = null.run()[0] if null else None
        started = time.perf_counter()
        steps = scene.run()[1]
        return Seen(scene.phrase, steps, null_map, time.perf_counter() - started)

    def _point(self, look: Look, text: str, seen: Seen) -> Grounding:
        """Steps 6 and 7, and the evidence."""
        trace = Trace(seen.phrase, seen.steps)
        combined, weighted = trace.after("slices"), seen.steps[-1].maps
        if weighted.values.shape[:3] != (1, 1, 1):
            raise ConfigError("the stages leave several maps: take layers and tokens among them")
        small = LaidHeat(look.size, weighted)
        heatmap = Heatmap(pixels=small.at(look.working_size), cells=weighted.numpy()[0, 0, 0], small=small)
        # Is there more evidence than for a phrase that names nothing?
        maps = seen.null and (combined.numpy()[0, 0, 0], seen.null.numpy()[0, 0, 0])
        evidence = functools.partial(weigh_evidence, *maps) if maps else None
        return self.point(look, text, heatmap, trace, time.perf_counter() - seen.seconds, evidence=evidence)

    @property
    def prompter(self) -> Prompter:
        return self.config.prompter

    def made_by(self) -> Making:
        return made_by(self.diffusion, self.segmenter, self.config)
