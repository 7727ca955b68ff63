"""The tokens whose maps are kept: those of the words that name the object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from groundkit.language.words import Role
from groundkit.stages.base import Scene, Stage

if TYPE_CHECKING:
    from groundkit.attention.maps import AttentionMaps


class Words(Stage):
    """Drop the maps of magnets, special tokens, stop words and sinks, and of direction words, which ``places`` weighs.

    Direction words stay where all words do.
    """

    kept_words: Literal["all", "content", "noun_phrase"] = Field(
        "noun_phrase",
        description="words of the phrase whose maps are kept: all of them, content words (no stop words), or those of "
        "the head noun phrase",
    )

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        return maps.keep(self.kept(maps, scene))

    def kept(self, maps: AttentionMaps, scene: Scene) -> list[bool]:
        """Which tokens' maps are kept; never none of them."""
        if self.kept_words == "all":
            return [token.word is not None for token in maps.tokens]
        words = scene.phrase.kept_words(head_only=self.kept_words == "noun_phrase", without_directions=True)
        kept = [token.word in words for token in maps.tokens]
        if not any(kept):  # a phrase so long that its head was cut off
            kept = [token.role is Role.CONTENT for token in maps.tokens]
        without_sinks = [keep and not token.sink for keep, token in zip(kept, maps.tokens, strict=True)]
        return without_sinks if any(without_sinks) else kept


STAGE = Words
