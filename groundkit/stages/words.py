"""The tokens whose maps are kept: those of the words that name the object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from groundkit.language.words import Role
from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Words(Stage):
    """Drop the maps of magnets, special tokens, stop words and sinks."""

    filter_stop_words: bool = Field(
        True,
        description="drop the maps of stop words; without it every word of the phrase is kept, and the next three have "
        "no effect",
    )
    filter_sinks: bool = Field(True, description="drop the maps of content words that are global attention sinks")
    noun_phrase: bool = Field(True, description="keep the words of the head noun phrase only")
    drop_directions: bool = Field(True, description="drop the maps of direction words, which the spatial bias replaces")

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        return maps.keep(self.kept(maps, scene))

    def kept(self, maps: AttentionMaps, scene: Scene) -> list[bool]:
        """Which tokens' maps are kept; never none of them."""
        if not self.filter_stop_words:
            return [token.word is not None for token in maps.tokens]
        words = scene.phrase.kept_words(head_only=self.noun_phrase, without_directions=self.drop_directions)
        kept = [token.word in words for token in maps.tokens]
        if not any(kept):  # a phrase so long that its head was cut off
            kept = [token.role is Role.CONTENT for token in maps.tokens]
        without_sinks = [keep and not token.sink for keep, token in zip(kept, maps.tokens, strict=True)]
        return without_sinks if self.filter_sinks and any(without_sinks) else kept


STAGE = Words
