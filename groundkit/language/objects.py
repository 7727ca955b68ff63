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
from groundkit.language.words import PLURAL_ONLY, STOP_WORDS, plain, word_set

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
# What stands in answers that is none of their words: thoughts, code fences, tags, and the keys of JSON. The tag that
# opens a thought may stand in the prompt, and an answer that is too long may not come to the one that closes it.
_THOUGHT = r"(?:think|thinking|thought|reasoning)"
_MARKUP = re.compile(
    rf"\A.*</{_THOUGHT}>|<{_THOUGHT}>.*\Z|```\w*|</?[a-zA-Z][^<>\n]*>|\"[^\"\n]*\"[^\S\n]*:", re.DOTALL
)
# A clause in which the model speaks of itself, or of what is not to be seen, and not of what the picture holds.
_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|as an? (?:ai|language model)|unable to|not able to|(?:i|we) (?:\w+ )?(?:can|could)"
    r"(?:not|[’']?t|n[’']t| not)|(?:can|could)(?:not|n[’']t| not) (?:\w+ )?be (?:seen|identified|determined|made out)"
    r"|(?:is|are|was|were)(?:n[’']t| not) (?:\w+ ){0,2}?(?:visible|present|shown|seen|included|pictured|there))\b",
    re.IGNORECASE,
)
# What follows it in its clause is not there: "The image does not show ...", "The man doesn't wear ...".
_NOT_THERE = re.compile(
    r"\b(?:do|does|did)(?:n[’']t| not) (?:\w+ ){0,3}?"
    r"(?:see|show|contain|include|have|depict|feature|find|spot|notice|wear|hold|carry|recogni[sz]e|identify|know)\b",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CLAUSE = re.compile(
    r";|(?:,\s*|\s[-–—]\s*|\s)(?=(?:but|however|though|although|instead)\b)"
    r"|,\s*(?=(?:there|here|only|it|(?:i|we) (?:can )?see)\b)",
    re.IGNORECASE,
)
_DENIALS = word_set("no not none without neither nor")
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
    reads captions. What follows a colon on the same line explains the text before it, and is left out; so are
    thoughts, clauses that refuse to answer, what is said not to be there, markup, the keys of JSON, and colours without
    a thing.
    """
    names = []
    answer = _MARKUP.sub(lambda found: "\n".ljust(len(found[0])), answer)  # all else stays in its place
    for first, last in _statements(answer):
        spans = [(start + first, end + first) for start, end in word_spans(answer[first:last])]
        words = [answer[start:end] for start, end in spans]
        tags = tag_words(words)
        phrases = list(_listed(words, tags))
        denied = _denied(words, tags, phrases)
        for begin, end in phrases:
            kept = [i for i in range(begin, end) if _names_something(words[i], tags[i])]
            if kept and begin not in denied and tags[kept[-1]].startswith(_NOUN) and not _is_no_object(words, kept):
                *before, noun = (plain(words[i]) for i in kept)
                plural = tags[kept[-1]].startswith("NN2") and noun not in PLURAL_ONLY
                label = " ".join([*before, lemma(noun) if plural else noun])
                names.append(ObjectName(label, spans[kept[0]][0], spans[kept[-1]][1]))
    return names


def is_unfinished_thought(answer: str) -> bool:
    """Whether an answer opens a thought and ends before it closes it."""
    opened = list(re.finditer(rf"<(/?){_THOUGHT}>", answer))
    return bool(opened) and not opened[-1][1]


def with_article(label: str) -> str:
    """A label as a question names it: "a red cup", "an apple", "scissors"."""
    if label.split()[-1] in PLURAL_ONLY:
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


def _is_no_object(words: Sequence[str], kept: Sequence[int]) -> bool:
    """Whether a noun phrase means the picture itself, or a colour alone."""
    last = plain(words[kept[-1]])
    return last in _NO_OBJECTS or lemma(last) in _NO_OBJECTS or (len(kept) == 1 and last in _COLOURS)


def _denied(words: Sequence[str], tags: Sequence[str], phrases: Sequence[tuple[int, int]]) -> set[int]:
    """Where noun phrases begin that are said not to be there: "no dog", and in "no dog, cat or bird" the others too."""
    denied: set[int] = set()
    for index, (begin, end) in enumerate(phrases):
        first = next((i for i in range(begin, end) if _names_something(words[i], tags[i])), end)
        before = [plain(word) for word in words[max(0, begin - 1) : first]]
        if not any(word in _DENIALS or word.endswith("n't") for word in before):
            continue
        chain = [begin]
        denied.add(begin)
        for (_, last), (following, _) in itertools.pairwise(phrases[index:]):
            link = [word.lower() for word in words[last:following]]
            if not set(link) <= {",", "or", "nor"}:
                break
            chain.append(following)
            if set(link) & {"or", "nor"}:
                denied.update(chain)
    return denied


def _names_something(word: str, tag: str) -> bool:
    return (plain(word) not in STOP_WORDS or tag.startswith("NN")) and not tag.startswith(
        ("AT0", "DT0", "DPS", "CRD", "PUN", "AV0")
    )


def _statements(answer: str) -> list[tuple[int, int]]:
    """Stretches of the answer that name objects: lines, cut at a colon unless that only announces a list.

    In a line that also says what is not to be seen, the clauses that do not.
    """
    found, start = [], 0
    for line in answer.splitlines(keepends=True):
        for first, last in _affirmed(line):
            part = line[first:last]
            before, colon, after = part.partition(":")
            if colon and before.strip() and not _announces(before, after):
                part = before
            found.append((start + first, start + first + len(part)))
        start += len(line)
    return found


def _affirmed(line: str) -> Iterator[tuple[int, int]]:
    """Where a line says what is there: all of it, unless a clause of it says what is not."""
    if not (_REFUSAL.search(line) or _NOT_THERE.search(line)):
        yield 0, len(line)
        return
    for first, last in _parts(line, _SENTENCE, 0):
        for begin, end in _parts(line[first:last], _CLAUSE, first):
            clause = line[begin:end]
            if not _REFUSAL.search(clause):
                not_there = _NOT_THERE.search(clause)
                yield begin, begin + not_there.start() if not_there else end


def _parts(text: str, border: re.Pattern[str], start: int) -> list[tuple[int, int]]:
    """The stretches of a text between borders, counted from ``start``."""
    cuts = [0, *(place for found in border.finditer(text) for place in found.span()), len(text)]
    return [(start + first, start + last) for first, last in zip(cuts[::2], cuts[1::2], strict=True)]


def _announces(before: str, after: str) -> bool:
    """Whether "Objects: a cup" or "The picture shows: a cup, a ball" rather than "Cup: it is red"."""
    return "," in after or not after.strip() or len(before.split()) > 4 or not object_names(before)


def token_offsets(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
    """The text of generated tokens, and where each token's characters stand in it."""
    lengths = [len(tokenizer.decode(list(ids[:count]), skip_special_tokens=True)) for count in range(len(ids) + 1)]
    text: str = tokenizer.decode(list(ids), skip_special_tokens=True)
    return text, list(itertools.pairwise(lengths))
