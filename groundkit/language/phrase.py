"""A referring expression, taken apart: its words, the noun phrase that names the object, and where the object is."""

from collections.abc import Collection
from dataclasses import dataclass

from groundkit.errors import PhraseError
from groundkit.language.direction import Directions, direction_words, find_directions
from groundkit.language.head import head_noun, head_span
from groundkit.language.splitting import normalise, word_spans
from groundkit.language.tagging import tag_words
from groundkit.language.words import STOP_WORDS, Role, Word, is_punctuation, plain


@dataclass(frozen=True)
class Phrase:
    """A referring expression.

    Attributes:
        text: the expression, in Unicode form NFC, with single spaces and no control characters.
        words: its words and punctuation marks in order; together they cover every character of ``text`` but the spaces.
            At least one is CONTENT, and at least one of those is in the head.
        direction: where in the picture the object is, or its size, in order of mention.
        direction_words: indices of the words that ``direction`` was read from.
        noun_word: index of the word that the head noun phrase is about.
    """

    text: str
    words: tuple[Word, ...]
    direction: Directions = ()
    direction_words: frozenset[int] = frozenset()
    noun_word: int = 0

    @property
    def head(self) -> str:
        """The noun phrase that names the object."""
        inside = [word for word in self.words if word.in_head]
        return self.text[inside[0].start : inside[-1].end]

    @property
    def noun(self) -> str:
        """The noun that the head noun phrase is about: "dog" of "the 3 year old dog"."""
        return self.words[self.noun_word].text

    def kept_words(self, *, head_only: bool = True, without_directions: bool = False) -> frozenset[int]:
        """Indices of the content words whose maps are worth reading; never empty.

        Args:
            head_only: keep those of the head noun phrase only (RefAM's noun-phrase filter).
            without_directions: leave out direction words, unless nothing else is left.
        """
        content = {index for index, word in enumerate(self.words) if word.role is Role.CONTENT}
        if head_only:
            content = {index for index in content if self.words[index].in_head}
        return frozenset((without_directions and content - self.direction_words) or content)


def parse_phrase(text: str, *, stop_words: Collection[str] = STOP_WORDS) -> Phrase:
    """Take a referring expression apart.

    A phrase of stop words only, such as "it", keeps all its words as content: there is nothing else to look for.
    Likewise the whole phrase is its head where no noun phrase with a content word is found, as in other languages.

    Args:
        text: the expression, in any language; parts of speech are English.
        stop_words: words that describe nothing, in lower case. Punctuation is always a stop word.

    Raises:
        PhraseError: ``text`` has no letter, digit or pictograph.
    """
    cleaned = normalise(text)
    spans = list(word_spans(cleaned))
    texts = [cleaned[start:end] for start, end in spans]
    if all(map(is_punctuation, texts)):
        raise PhraseError("the phrase has no word: say what to look for, such as 'the red cup on the left'")
    tags = tag_words(texts)
    roles = [_role(word, tag, stop_words) for word, tag in zip(texts, tags, strict=True)]
    if Role.CONTENT not in roles:
        roles = [Role.CONTENT] * len(texts)

    first, last = head_span(texts, tags)
    if Role.CONTENT not in roles[first:last]:
        first, last = 0, len(texts)

    words = tuple(
        Word(word, start, end, tag, role, in_head=first <= index < last)
        for index, (word, (start, end), tag, role) in enumerate(zip(texts, spans, tags, roles, strict=True))
    )
    noun = head_noun(texts, tags, (first, last))
    return Phrase(cleaned, words, find_directions(words), frozenset(direction_words(words)), noun)


def _role(word: str, tag: str, stop_words: Collection[str]) -> Role:
    spelled = plain(word)
    is_stop = is_punctuation(word) or spelled in stop_words or spelled.strip("'") in stop_words
    # The verb is a stop word, the thing that drinks come in is not.
    is_tin = spelled == "can" and tag.startswith("NN")
    return Role.STOP if is_stop and not is_tin else Role.CONTENT
