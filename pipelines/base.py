"""What every pipeline is called like, whatever its method."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from groundkit.errors import ConfigError, GroundkitError, PhraseError
from groundkit.media.images import ImageSource, read_image
from groundkit.memory import explain_out_of_memory
from groundkit.results import Failure, Grounding
from groundkit.segmenters.base import Segmenter
from groundkit.settings import Settings

Image = TypeVar("Image", bound=ImageSource)
Made = TypeVar("Made")


class Pipeline(ABC):
    """Phrases and pictures in, groundings out.

    Attributes:
        name: of the method, such as ``refam``.
        model: hub id or folder of the model that is read.
        segmenter: what draws the masks.
        reads_clips: whether it looks at several frames of a video at once.
    """

    reads_clips: bool = False
    name: str
    model: str
    segmenter: Segmenter

    @overload
    def __call__(self, image: ImageSource, phrase: str, *, seed: int = ...) -> Grounding: ...
    @overload
    def __call__(
        self, image: ImageSource, phrase: list[str] | tuple[str, ...], *, seed: int = ...
    ) -> list[Grounding]: ...
    @overload
    def __call__(self, image: list[Image] | tuple[Image, ...], phrase: str, *, seed: int = ...) -> list[Grounding]: ...
    @overload
    def __call__(
        self, image: list[Image] | tuple[Image, ...], phrase: list[str] | tuple[str, ...], *, seed: int = ...
    ) -> list[list[Grounding]]: ...
    @explain_out_of_memory()
    def __call__(
        self,
        image: ImageSource | list[Image] | tuple[Image, ...],
        phrase: str | list[str] | tuple[str, ...],
        *,
        seed: int = 0,
    ) -> Grounding | list[Grounding] | list[list[Grounding]]:
        """Ground phrases in pictures.

        Args:
            image: a path, a PIL image or an array, uint8 ``(height, width, 3)`` RGB; or a list of them.
            phrase: what to look for; or a list.
            seed: of the noise, 0 to 2**62.

        Returns:
            One ``Grounding``; a list of them where one argument is a list; a list per picture where both are.

        Raises:
            ImageError, PhraseError: the first input that cannot be used.
            ConfigError: a seed that is not a whole number from 0 to 2**62.
            OutOfMemoryError: memory ran out.

        Example:
            >>> import groundkit
            >>> pipeline = groundkit.load("refam")
            >>> cup, bear = pipeline("scene.png", ["the red cup", "the bear"])
            >>> cup.phrase, cup.heatmap.shape
            ('the red cup', (256, 256))
        """
        check_seed(seed)
        phrases = check_phrases(phrase)
        if isinstance(image, (list, tuple)):
            if isinstance(phrase, str):
                return [self(one, phrase, seed=seed) for one in image]
            return [self(one, phrases, seed=seed) for one in image]
        results = list(self.ground(read_image(image), phrases, seed=seed))
        return results[0] if isinstance(phrase, str) else results

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
            ConfigError: a setting that the model refuses: no other phrase or picture would fare better.
        """
        yield from one_outcome_each(self.outcomes(image, phrases, seed=seed), phrases)

    @abstractmethod
    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        """What a method makes of each phrase; ``ground_each`` answers for what this raises."""


def one_outcome_each(outcomes: Iterator[Grounding | Failure], phrases: Sequence[str]) -> Iterator[Grounding | Failure]:
    """One outcome per phrase: what is raised on the way is the failure of every phrase that is left.

    Raises:
        ConfigError: see ``Pipeline.ground_each``.
    """
    answered = 0
    try:
        with explain_out_of_memory():
            for outcome in outcomes:
                if isinstance(outcome, Failure) and isinstance(outcome.error, ConfigError):
                    raise outcome.error
                answered += 1
                yield outcome
    except ConfigError:
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


def made_by(model: Any, segmenter: Segmenter, config: Settings) -> dict[str, Any]:
    """What a result says of its making: ``segmenter``, ``device``, ``dtype`` (or empty), settings and origins."""
    device, dtype = (str(getattr(model, name, "")).removeprefix("torch.") for name in ("device", "dtype"))
    return {
        "segmenter": segmenter.name,
        "device": device,
        "dtype": dtype,
        "settings": config.flat(),
        "origins": config.origins,
    }
