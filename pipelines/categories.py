"""Given categories for what was discovered: each name becomes the likeliest one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from groundkit.language.vocabulary import CLIP_TEMPLATE, Vocabulary
from groundkit.masks.refine import suppress
from groundkit.results import Discovery, run_lengths_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from groundkit.pipelines.base import Pipeline
    from groundkit.pipelines.vlsam import VLSAM


@dataclass(frozen=True)
class Categories:
    """Which categories there are, and how a name's likeness to them is told.

    Attributes:
        names: the categories.
        model: hub id or folder of a CLIP that tells the likeness; None for the vision-language model itself.
        min_likeness: cosine to the likeliest category below which an object is left out.
        local_files_only: whether the hub is never asked.
    """

    names: tuple[str, ...]
    model: str | None = None
    min_likeness: float = -1.0
    local_files_only: bool = False

    def __call__(self, pipeline: Pipeline) -> Callable[[Discovery], Discovery]:
        """What maps the names of a pipeline's discoveries.

        Raises:
            ModelError: a CLIP that cannot be loaded.
        """
        reader = cast("VLSAM", pipeline)
        make = partial(Vocabulary, self.names, min_likeness=self.min_likeness)
        if self.model is None:
            vocabulary = make(reader.vlm.embed_texts)
        else:
            from groundkit.models.clip_text import ClipText

            device, offline = reader.vlm.device, self.local_files_only
            clip = ClipText.from_pretrained(self.model, device=device, local_files_only=offline)
            vocabulary = make(clip.embed_texts, template=CLIP_TEMPLATE)
        return partial(in_categories, vocabulary=vocabulary, overlap=reader.config.discovery.max_overlap)


def in_categories(found: Discovery, vocabulary: Vocabulary, overlap: float) -> Discovery:
    """A discovery with categories for names; objects without a category are left out.

    The better mask stays of two that have one category and overlap by more than ``overlap``.
    """
    named = {i: each for i, label in enumerate(found.labels) if (each := vocabulary.category(label)) is not None}
    rows, labels = list(named), list(named.values())
    best = suppress(found.boxes[rows], found.scores[rows], labels, overlap=overlap)
    kept = [rows[index] for index in best]
    return replace(
        found,
        labels=tuple(named[index] for index in kept),
        masks=cast(Any, run_lengths_of(found).rows(kept)),
        scores=found.scores[kept],
        points=tuple(found.points[index] for index in kept),
    )
