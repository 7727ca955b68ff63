"""A referring expression, taken apart: its words, the noun phrase that names the object, and where the object is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from groundkit.errors import PhraseError
from groundkit.language.direction import Directions, direction_words, find_directions, possible_directions
from groundkit.language.head import head_noun, head_span
from groundkit.language.negation import part_negation
from groundkit.language.selection import BEST, Selection, find_selection
from groundkit.language.several import listed_objects, parts_of
from groundkit.language.splitting import normalise, word_spans
from groundkit.language.tagging import tag_words
from groundkit.language.words import STOP_WORDS, Role, Word, is_punctuation, plain


@dataclass(frozen=True)
class Phrase:
    """A referring expression.

    Attributes:
        text: the expression, in Unicode form NFC, with single spaces and no control characters; of a negated one, the
            part that says what to look for.
        words: its words and punctuation marks in order; together they cover every character of ``text`` but the spaces.
            At least one is CONTENT, and at least one of those is in the head.
        direction: where in the picture the object is, or its size, in order of mention.
        direction_words: indices of the words that ``direction`` was read from.
        noun_word: index of the word that the head noun phrase is about.
        selection: which of the objects that the phrase describes are meant.
        counting_words: indices of the words that ``selection`` was read from: ordinals, numbers, "all".
        negated: what of these objects is not meant: "the red cup" for "the cup that is not red".
    """

    text: str
    words: tuple[Word, ...]
    direction: Directions = ()
    direction_words: frozenset[int] = frozenset()
    noun_word: int = 0
    selection: Selection = BEST
    counting_words: frozenset[int] = frozenset()
    negated: Phrase | None = None

    @property
    def head(self) -> str:
        """The noun phrase that names the object."""
        inside = [word for word in self.words if word.in_head]
        return self.text[inside[0].start : inside[-1].end]

    @property
    def noun(self) -> str:
        """The noun that the head noun phrase is about: "dog" of "the 3 year old dog"."""
        return self.words[self.noun_word].text

    @property
    def places(self) -> Directions:
        """The directions that weigh the map: not the side that an ordinal counts from."""
        return tuple(each for each in self.direction if each is not self.selection.by)

    def kept_words(self, *, head_only: bool = True, without_directions: bool = False) -> frozenset[int]:
        """Indices of the content words whose maps are worth reading; never empty.

        Words that say which of the objects are meant do not say what they look like, and are left out if others are
        there.

        Args:
            head_only: keep those of the head noun phrase only (RefAM's noun-phrase filter).
            without_directions: leave out direction words, unless nothing else is left.
        """
        content = {index for index, word in enumerate(self.words) if word.role is Role.CONTENT}
        if head_only:
            content = {index for index in content if self.words[index].in_head}
        content = content - self.counting_words or content
        return frozenset((without_directions and content - self.direction_words) or content)


@dataclass(frozen=True)
class Prompt(Phrase):
    """A text that a model is given as it stands: no question is put around it, and it excludes nothing."""

    @classmethod
    def of(cls, text: str) -> Prompt:
        """A prompt of these words.

        Raises:
            PhraseError: a text without a word.
        """
        return cls(**vars(read_words(normalise(text))))


def parse_phrase(text: str, *, stop_words: Collection[str] = STOP_WORDS) -> Phrase:
    """Take a referring expression apart.

    The whole phrase is its head where no noun phrase with a content word is found, as in other languages.

    Args:
        text: the expression, in any language; parts of speech are English.
        stop_words: words that describe nothing, in lower case. Punctuation is always a stop word.

    Raises:
        PhraseError: ``text`` has no letter, digit or pictograph, or stop words only; a negation that leaves nothing to
            look for, or an ordinal that counts by what cannot be seen.
    """
    cleaned = normalise(text)
    parts = parts_of(cleaned)
    if len(parts) > 1 or (parts := listed_objects(cleaned)):
        warnings.warn(f"{cleaned!r} is read as one phrase: give {parts} for {len(parts)}", stacklevel=2)
    phrase = read_words(cleaned, stop_words)
    texts, tags = [word.text for word in phrase.words], [word.tag for word in phrase.words]
    places = possible_directions([plain(text) for text in texts], tags)
    parted = part_negation(cleaned, texts, tags, phrase.noun_word, places)
    if parted is None:
        return _with_selection(phrase)
    wanted, negated = (
        _with_selection(read_words(_joined(part), stop_words)) for part in (parted.wanted, parted.negated)
    )
    words = tuple(
        replace(word, in_head=word.in_head or index in parted.inside) for index, word in enumerate(negated.words)
    )
    return replace(wanted, negated=replace(negated, words=words))


def read_words(cleaned: str, stop_words: Collection[str] = STOP_WORDS) -> Phrase:
    """The words of a phrase as they stand, and its head: negations and numbers are words like others.

    Raises:
        PhraseError: as ``parse_phrase``, for a phrase without a content word.
    """
    spans = list(word_spans(cleaned))
    texts = [cleaned[start:end] for start, end in spans]
    if all(map(is_punctuation, texts)):
        raise PhraseError("the phrase has no word: say what to look for, such as 'the red cup on the left'")
    tags = tag_words(texts)
    roles = [_role(word, tag, stop_words) for word, tag in zip(texts, tags, strict=True)]
    if Role.CONTENT not in roles:
        raise PhraseError(f"{cleaned[:40]!r} names nothing: say what to look for, such as 'the red cup on the left'")
    first, last = head_span(texts, tags)
    if Role.CONTENT not in roles[first:last]:
        first, last = 0, len(texts)
    words = tuple(
        Word(word, start, end, tag, role, in_head=first <= index < last)
        for index, (word, (start, end), tag, role) in enumerate(zip(texts, spans, tags, roles, strict=True))
    )
    noun = head_noun(texts, tags, (first, last))
    return Phrase(cleaned, words, find_directions(words), frozenset(direction_words(words)), noun)


def _joined(words: Sequence[str]) -> str:
    return re.sub(r" (?=['\u2019]|,)", "", " ".join(words))


def _with_selection(phrase: Phrase) -> Phrase:
    selection, counting = find_selection(phrase.words, phrase.noun_word, phrase.direction)
    return replace(phrase, selection=selection, counting_words=counting)


def _role(word: str, tag: str, stop_words: Collection[str]) -> Role:
    spelled = plain(word)
    is_stop = is_punctuation(word) or spelled in stop_words or spelled.strip("'") in stop_words
    # The verb is a stop word, the thing that drinks come in is not.
    is_tin = spelled == "can" and tag.startswith("NN")
    return Role.STOP if is_stop and not is_tin else Role.CONTENT
