"""The objects that a vision-language model names in its answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from groundkit.language.head import noun_phrases
from groundkit.language.splitting import word_spans
from groundkit.language.tagging import lemma, tag_words
from groundkit.language.words import STOP_WORDS, plain, word_set

# What answers speak of that is no object in the picture.
_NO_OBJECTS = word_set(
    """
    image picture photo photograph scene background foreground object item thing list following answer question side
    left right top bottom front back middle center centre corner edge part area view color colour number variety group
    detail setting word example one other total none nothing anything something everything
    pair couple bunch piece slice lot few several
    """
)
_COLOURS = word_set("red yellow green blue purple pink brown black white grey gray beige turquoise violet")
# What stands in answers that is none of their words: thoughts, code fences, tags, and the keys of JSON.
_MARKUP = re.compile(r"<think>.*?(?:</think>|\Z)|```\w*|</?[a-zA-Z][^<>\n]*>|\"[^\"\n]*\"[^\S\n]*:", re.DOTALL)
# A line in which the model speaks of itself and not of the picture.
_REFUSAL = re.compile(r"\b(?:sorry|as an ai|i (?:cannot|can[’']?t|am unable|am not able)|unable to)\b", re.IGNORECASE)
_DENIALS = word_set("no not none without neither nor")
_PLURAL_ONLY = word_set("glasses sunglasses scissors trousers pants jeans shorts pliers tongs binoculars people")
_NOUN = ("NN", "NP", "UNC", "ZZ", "PNI")


@dataclass(frozen=True)
class ObjectName:
    """One mention of an object.

    Attributes:
        label: its name in lower case, without article and number, its noun in the singular: "red cup".
        start, end: where its words stand in the answer's text.
    """

    label: str
    start: int
    end: int


def object_names(answer: str) -> list[ObjectName]:
    """Every object that an answer names, in order, once for each mention.

    Lists with commas, bullets or numbers and running sentences are read alike: by their noun phrases, as Tag2Text
    reads captions. What follows a colon on the same line explains what stands before it, and is left out; so are
    refusals, what is said not to be there, markup, the keys of JSON, and colours without a thing.
    """
    names = []
    answer = _MARKUP.sub(lambda found: "\n".ljust(len(found[0])), answer)  # all else stays in its place
    for first, last in _statements(answer):
        spans = [(start + first, end + first) for start, end in word_spans(answer[first:last])]
        words = [answer[start:end] for start, end in spans]
        tags = tag_words(words)
        for begin, end in _listed(words, tags):
            kept = [i for i in range(begin, end) if _names_something(words[i], tags[i])]
            if kept and tags[kept[-1]].startswith(_NOUN) and not _is_no_object(words, begin, kept):
                *before, noun = (plain(words[i]) for i in kept)
                plural = tags[kept[-1]].startswith("NN2") and noun not in _PLURAL_ONLY
                label = " ".join([*before, lemma(noun) if plural else noun])
                names.append(ObjectName(label, spans[kept[0]][0], spans[kept[-1]][1]))
    return names


def with_article(label: str) -> str:
    """A label as a question names it: "a red cup", "an apple", "scissors"."""
    if label.split()[-1] in _PLURAL_ONLY:
        return label
    return f"{'an' if label[0] in 'aeiou' else 'a'} {label}"


def _listed(words: Sequence[str], tags: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Noun phrases; a comma joins adjectives behind an article ("a big, red cup") and parts anything else."""
    for begin, end in noun_phrases(words, tags):
        if tags[begin].startswith(("AT0", "DT0", "DPS")) or "," not in words[begin:end]:
            yield begin, end
            continue
        for index in [i for i in range(begin, end) if words[i] == ","]:
            yield begin, index
            begin = index + 1
        yield begin, end


def _is_no_object(words: Sequence[str], begin: int, kept: Sequence[int]) -> bool:
    """Whether a noun phrase speaks of the picture, of a colour alone, or of what is not there."""
    last = plain(words[kept[-1]])
    if last in _NO_OBJECTS or lemma(last) in _NO_OBJECTS or (len(kept) == 1 and last in _COLOURS):
        return True
    before = [plain(word) for word in words[max(0, begin - 1) : kept[0]]]
    return any(word in _DENIALS or word.endswith("n't") for word in before)


def _names_something(word: str, tag: str) -> bool:
    return (plain(word) not in STOP_WORDS or tag.startswith("NN")) and not tag.startswith(
        ("AT0", "DT0", "DPS", "CRD", "PUN", "AV0")
    )


def _statements(answer: str) -> list[tuple[int, int]]:
    """Stretches of the answer that name objects: lines, cut at a colon unless that only announces a list."""
    found, start = [], 0
    for line in answer.splitlines(keepends=True):
        before, colon, after = line.partition(":")
        end = start + len(before if colon and before.strip() and not _announces(before, after) else line)
        if not _REFUSAL.search(line):
            found.append((start, end))
        start += len(line)
    return found


def _announces(before: str, after: str) -> bool:
    """Whether "Objects: a cup" or "The picture shows: a cup, a ball" rather than "Cup: it is red"."""
    return "," in after or not after.strip() or len(before.split()) > 4 or not object_names(before)


def token_offsets(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
    """The text of generated tokens, and where each token's characters stand in it."""
    lengths = [len(tokenizer.decode(list(ids[:count]), skip_special_tokens=True)) for count in range(len(ids) + 1)]
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
    return text, list(itertools.pairwise(lengths))
