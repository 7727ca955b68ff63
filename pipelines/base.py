"""What every pipeline is called like, whatever its method."""

from __future__ import annotations

import copy
import gc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar, Unpack, overload

import numpy as np
import numpy.typing as npt

from groundkit import clock
from groundkit.attention.select import select_layers
from groundkit.batches import BatchSize
from groundkit.errors import STOPS, ConfigError, GroundkitError, ImageError, PhraseError, unknown
from groundkit.exclusive import lock_of
from groundkit.media.images import ImageSource, read_image, source_of
from groundkit.memory import explain_out_of_memory
from groundkit.models.devices import choose_device
from groundkit.progress import Advance, Cancel, Report, watched
from groundkit.results import Failure, Grounding, Making, changed
from groundkit.segmenters.base import Segmenter
from groundkit.settings import Given, Settings

if TYPE_CHECKING:
    import torch

    from groundkit.attention.maps import AttentionMaps
    from groundkit.loaded import Family

Image = TypeVar("Image", bound=ImageSource)
Made = TypeVar("Made")
Images = list[Image] | tuple[Image, ...]
Several = list[str] | tuple[str, ...]
Raise = Literal["raise"]
Return = Literal["return"]


class CallOptions(TypedDict, total=False):
    """What a call of a pipeline takes beside picture, phrase and ``on_error``; see ``Pipeline.__call__``."""

    seed: int
    config: Mapping[str, object] | None
    progress: bool | Report
    cancel: Cancel | None


class Pipeline(ABC):
    """Phrases and pictures in, groundings out.

    Threads may share a pipeline: their calls queue at the model. In a ``with`` block it is closed at the end.

    Attributes:
        name: of the method, such as ``refam``.
        model: hub id or folder of the model that is read.
        segmenter: what draws the masks.
        config: the settings that it runs with.
        reads_clips: whether it looks at several frames of a video at once.
        batch_size: how much goes through the model at once: noise samples, phrases or questions of one picture.
    """

    reads_clips: bool = False
    batch_size: BatchSize = "auto"
    name: str
    model: str
    segmenter: Segmenter
    config: Settings
    _closed = False

    def __repr__(self) -> str:
        where = "closed" if self._closed else f"on {self.device}" if self.families else "no model"
        return f"<{type(self).__name__} {self.name!r}: {self.model}, {where}>"

    @overload
    def __call__(
        self, image: ImageSource, phrase: str, *, on_error: Raise = ..., **options: Unpack[CallOptions]
    ) -> Grounding: ...
    @overload
    def __call__(
        self, image: ImageSource, phrase: Several, *, on_error: Raise = ..., **options: Unpack[CallOptions]
    ) -> list[Grounding]: ...
    @overload
    def __call__(
        self,
        image: Images[Image],
        phrase: str,
        *,
        on_error: Raise = ...,
        **options: Unpack[CallOptions],
    ) -> list[Grounding]: ...
    @overload
    def __call__(
        self,
        image: Images[Image],
        phrase: Several,
        *,
        on_error: Raise = ...,
        **options: Unpack[CallOptions],
    ) -> list[list[Grounding]]: ...
    @overload
    def __call__(
        self, image: ImageSource, phrase: str, *, on_error: Return, **options: Unpack[CallOptions]
    ) -> Grounding | Failure: ...
    @overload
    def __call__(
        self, image: ImageSource, phrase: Several, *, on_error: Return, **options: Unpack[CallOptions]
    ) -> list[Grounding | Failure]: ...
    @overload
    def __call__(
        self, image: Images[Image], phrase: str, *, on_error: Return, **options: Unpack[CallOptions]
    ) -> list[Grounding | Failure]: ...
    @overload
    def __call__(
        self,
        image: Images[Image],
        phrase: Several,
        *,
        on_error: Return,
        **options: Unpack[CallOptions],
    ) -> list[list[Grounding | Failure]]: ...
    @explain_out_of_memory()
    def __call__(
        self,
        image: ImageSource | Images[Image],
        phrase: str | Several,
        *,
        seed: int = 0,
        config: Mapping[str, object] | None = None,
        progress: bool | Report = False,
        cancel: Cancel | None = None,
        on_error: Raise | Return = "raise",
    ) -> object:
        """Ground phrases in pictures.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB; or a list of them.
            phrase: what to look for; or a list.
            seed: of the noise, 0 to 2**62.
            config: settings for this call alone, as ``with_config`` takes them.
            progress: told after each phrase of each picture how many are done, and of how many; True draws a bar on
                stderr.
            cancel: asked before the first and after each one whether to stop: a function, or a ``threading.Event``.
            on_error: ``raise`` the first failure, or ``return`` a :class:`~groundkit.results.Failure` in the place of
                each result that could not be had.

        Returns:
            One ``Grounding``; a list of them where one argument is a list; a list per picture where both are.

        Raises:
            ImageError, PhraseError: the first input that cannot be used.
            ConfigError: a setting, seed or ``on_error`` that does not exist.
            StageError: a stage of a plug-in that returns no attention maps that fit together.
            CancelledError: ``cancel`` said so.
            OutOfMemoryError: memory ran out.

        Example:
            >>> import groundkit
            >>> pipeline = groundkit.load("refam")
            >>> cup, bear = pipeline("scene.png", ["the red cup", "the bear"])
            >>> cup.phrase, cup.heatmap.shape
            ('the red cup', (256, 256))
            >>> pipeline(["scene.png", "lost.png"], "the red cup", on_error="return")[1].error
            ImageError('lost.png: no such file; check the path')
        """
        if self._closed:
            raise GroundkitError("this pipeline is closed: load it again")
        if on_error not in ("raise", "return"):
            raise ConfigError(unknown("on_error", on_error, ("raise", "return")))
        check_seed(seed)
        phrases = check_phrases(phrase)
        pipeline = self.with_config(**config) if config else self
        images = list(image) if isinstance(image, (list, tuple)) else [image]
        with watched(len(images) * len(phrases), progress, cancel, self.name) as advance:
            rows = [pipeline._row(each, phrases, seed, on_error, advance) for each in images]
        found = [row[0] for row in rows] if isinstance(phrase, str) else rows
        return found if isinstance(image, (list, tuple)) else found[0]

    def _row(
        self, image: ImageSource, phrases: Sequence[str], seed: int, on_error: str, advance: Advance
    ) -> list[Grounding | Failure]:
        """One outcome per phrase in one picture."""
        found: list[Grounding | Failure] = []
        try:
            for outcome in self.ground_each(read_image(image), phrases, seed=seed):
                if isinstance(outcome, Failure) and on_error == "raise":
                    raise outcome.error
                found.append(outcome if isinstance(outcome, Failure) else changed(outcome, source=source_of(image)))
                advance()
        except ImageError as error:
            if on_error == "raise":
                raise
            found += [Failure(phrase, error) for phrase in phrases[len(found) :]]
            advance(len(phrases))
        return found

    def with_config(self, **changes: object) -> Self:
        """A pipeline of the same models with other settings; nothing is loaded.

        Args:
            changes: values by the names of settings; ``**{"part.field": value}`` sets one of a part.

        Raises:
            ConfigError: a setting that does not exist, or cannot take its value.

        Example:
            >>> import groundkit
            >>> pipeline = groundkit.load("refam")
            >>> noisier = pipeline.with_config(noise_level=0.6)
            >>> noisier.config.reading.noise_level, noisier.diffusion is pipeline.diffusion
            (0.6, True)
        """
        held = {each.name: each.value for each in self.config.list_settings() if each.origin != "default"}
        changed = copy.copy(self)
        changed.config = type(self.config).read(Given(held, self.config.origins, lenient=True), changes)
        reading = getattr(changed.config, "reading", None)  # an ensemble's members have theirs
        if reading is not None:
            for family in self.families:
                select_layers(family.layer_names, reading.layers)
        return changed

    def attention(self, image: ImageSource, phrase: str, *, seed: int = 0) -> AttentionMaps | tuple[AttentionMaps, ...]:
        """The attention between a phrase and a picture before any stage; of an ensemble, that of each member.

        Raises:
            ImageError, PhraseError: an input that cannot be used.
            ConfigError: a method that reads no attention.
        """
        raise ConfigError(f"{self.name} reads no attention")

    if not TYPE_CHECKING:  # for whoever has no type checker to say so

        def __getattr__(self, name: str) -> object:
            what = f"{type(self).__name__!r} object has no attribute {name!r}"
            if name == "discover":
                what = f"{self.name} looks for a given phrase: discover with groundkit.load('vlsam', model=...)"
            raise AttributeError(what)

    @property
    def families(self) -> tuple[Family, ...]:
        """The models that are read."""
        return ()

    @property
    def device(self) -> torch.device:
        """Where the model runs; of several the first."""
        return self.families[0].device

    def to(self, device: str | torch.device) -> Self:
        """Move models and segmenter to a device, for all pipelines that share them.

        Raises:
            ConfigError: no such device, or a model whose parts move by themselves (``offload=True``).
        """
        place = choose_device(str(device))
        for family in self.families:
            family.to(place)
        model = getattr(self.segmenter, "model", None)
        if model is not None:
            with lock_of(self.segmenter):
                model.to(place)
        return self

    def close(self) -> None:
        """Let go of the models; their memory is free once no other pipeline shares them. A second call does nothing."""
        import torch

        self._closed = True
        for name in ("diffusion", "vlm", "members", "segmenter"):
            vars(self).pop(name, None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ground(self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0) -> Iterator[Grounding]:
        """Ground several phrases in one picture, which is encoded once.

        Args:
            image: uint8 ``(height, width, 3)`` RGB.
            phrases: what to look for.
            seed: of the noise.

        Yields:
            One result per phrase, in their order.

        Raises:
            GroundkitError: the first phrase that fails.
        """
        for outcome in self.ground_each(image, phrases, seed=seed):
            if isinstance(outcome, Failure):
                raise outcome.error
            yield outcome

    def ground_each(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        """The same, but a phrase that fails does not stop the others.

        Yields:
            One outcome per phrase, in their order, also where the whole picture fails.

        Raises:
            ConfigError, StageError: a setting that the model refuses, or a faulty stage: no other phrase or picture
                would fare better.
        """
        outcomes = clock.each("ours", self.outcomes(image, phrases, seed=seed))
        yield from one_outcome_each(outcomes, phrases)

    @abstractmethod
    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        """What a method makes of each phrase; ``ground_each`` answers for what this raises."""


def one_outcome_each(outcomes: Iterator[Grounding | Failure], phrases: Sequence[str]) -> Iterator[Grounding | Failure]:
    """One outcome per phrase: what is raised on the way is the failure of every phrase that is left.

    Raises:
        ConfigError, StageError: see ``Pipeline.ground_each``.
    """
    answered = 0
    try:
        with explain_out_of_memory():
            for outcome in outcomes:
                if isinstance(outcome, Failure) and isinstance(outcome.error, STOPS):
                    raise outcome.error
                answered += 1
                yield outcome
    except STOPS:
        raise
    except GroundkitError as error:
        for phrase in phrases[answered:]:
            yield Failure(phrase, error)


def attempt(phrase: str, step: Callable[..., Made], *arguments: Any) -> Made | Failure:
    """What a step makes for a phrase, or its failure."""
    try:
        with explain_out_of_memory():
            return step(*arguments)
    except GroundkitError as error:
        return Failure(phrase, error)


def check_seed(seed: object) -> None:
    """Raises ConfigError for a seed that is no whole number from 0 to 2**62."""
    if not isinstance(seed, int | np.integer) or not 0 <= seed <= 2**62:
        raise ConfigError(f"seed={seed!r}: must be a whole number from 0 to 2**62")


def check_phrases(given: object) -> list[str]:
    """One phrase or several, as a list. Raises PhraseError for what is no text."""
    several = isinstance(given, Iterable) and not isinstance(given, str | bytes)
    phrases: list[Any] = list(given) if several else [given]  # type: ignore[call-overload]
    for phrase in phrases:
        if not isinstance(phrase, str):
            raise PhraseError(f"a phrase is a text, and several are a list of texts, not {type(phrase).__name__}")
    return phrases


def made_by(model: Any, segmenter: Segmenter, config: Settings) -> Making:
    """What a result says of its making: ``segmenter``, ``device``, ``dtype`` (or empty), settings and origins."""
    device, dtype = (str(getattr(model, name, "")).removeprefix("torch.") for name in ("device", "dtype"))
    return {
        "segmenter": segmenter.name,
        "device": device,
        "dtype": dtype,
        "settings": config.flat(),
        "origins": config.origins,
    }
