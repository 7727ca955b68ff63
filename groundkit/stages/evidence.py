"""Evidence: a phrase that names nothing is read in the same way, to be compared with (:mod:`groundkit.masks.evidence`).

Attention always peaks somewhere; the map of a null phrase shows how much of a peak means nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import Field

from groundkit.errors import ConfigError, PhraseError
from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


@contextmanager
def reading_null_phrase(text: str) -> Iterator[None]:
    """Raise what is wrong with the null phrase as a ConfigError: nobody else knows this phrase."""
    try:
        yield
    except PhraseError as error:
        raise ConfigError(
            f"null_phrase={text!r}, which evidence is measured against, cannot be read ({error}): set another "
            "null_phrase, or evidence=false"
        ) from error


class Evidence(Stage):
    """Read a null phrase through the stages before this one. The maps stay as they are."""

    null_phrase: str = Field("thing", description="what a phrase's map is compared with for evidence")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        if not scene.nested:
            self.null(scene)
        return maps

    def null(self, scene: Scene) -> AttentionMaps:
        """The map of the null phrase, read once per picture. Raises ConfigError where it cannot be read."""
        key = (self.null_phrase, scene.stages, scene.seed)
        with reading_null_phrase(self.null_phrase):
            if key not in scene.look.known:
                scene.look.known[key] = scene.maps_of(self.null_phrase)
        scene.show(self.null_phrase, scene.look.known[key])
        return scene.look.known[key]


STAGE = Evidence
