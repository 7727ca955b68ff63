"""Names that a model found, mapped to given categories by the likeness of their texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from groundkit.errors import InputError
from groundkit.language.tagging import lemma
from groundkit.language.words import plain

if TYPE_CHECKING:
    from torch import Tensor

PLAIN_TEMPLATE = "a {}"
CLIP_TEMPLATE = "a photo of a {}"
"""What names are put into before they are compared. CLIP was trained on captions, and knows such sentences best."""

Embed = Callable[[Sequence[str]], "Tensor"]
"""Texts to vectors, ``(texts, width)``."""


def read_vocabulary(path: Path) -> list[str]:
    """The categories of a text file, one a line.

    Raises:
        InputError: a file that cannot be read, or holds none.
    """
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text; save it as UTF-8"
        raise InputError(f"cannot read the vocabulary {path}: {reason}") from error
    names = list(dict.fromkeys(name for name in names if name))
    if not names:
        raise InputError(f"the vocabulary {path} has no category: write one a line")
    return names


class Vocabulary:
    """Given categories, of which every name that is like enough becomes one.

    The same words, in singular or plural, decide; then the same last word ("red cup" is a "cup"); then the cosine of
    the names' texts, as VL-SAM does with CLIP's text encoder.

    Args:
        categories: at least one.
        embed: what makes vectors of texts.
        template: what a name is put into before, with ``{}`` for the name.
        min_likeness: cosine below which a name gets no category; by default every name gets the most similar one.
    """

    def __init__(
        self, categories: Sequence[str], embed: Embed, *, template: str = PLAIN_TEMPLATE, min_likeness: float = -1.0
    ) -> None:
        self.categories = list(categories)
        self.min_likeness = min_likeness
        self._embed = embed
        self._template = template
        self._known = {_key(category): category for category in reversed(self.categories)}
        self._vectors: Tensor | None = None

    def category(self, name: str) -> str | None:
        """The category of one name, or None when it is like none of them."""
        for key in (_key(name), _key(name.split()[-1])):
            if key in self._known:
                return self._known[key]
        from torch.nn.functional import normalize

        if self._vectors is None:
            texts = [self._template.format(each) for each in self.categories]
            self._vectors = normalize(self._embed(texts), dim=-1)
        vector = normalize(self._embed([self._template.format(name)]), dim=-1)
        likeness, index = (self._vectors @ vector[0]).max(dim=0)
        return self.categories[int(index)] if float(likeness) >= self.min_likeness else None


def _key(name: str) -> str:
    *before, last = plain(name).split()
    return " ".join([*before, lemma(last)])
