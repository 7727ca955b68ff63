"""Head nouns of referring expressions as a reader labelled them before the parser saw the expressions.

``referring_expressions.jsonl`` served to improve the parser, ``referring_expressions_held_out.jsonl`` was held back.
"""

import json
from pathlib import Path

import pytest

from groundkit.errors import PhraseError
from groundkit.language.phrase import read_words


def read(name: str) -> dict[str, str]:
    """Phrase to head noun."""
    lines = Path(__file__).with_name(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["phrase"]: case["noun"] for case in map(json.loads, lines)}


def noun(phrase: str) -> str:
    try:
        return read_words(phrase).noun
    except PhraseError:
        return "refused"


@pytest.mark.parametrize(("name", "count"), [("referring_expressions", 400), ("referring_expressions_held_out", 134)])
def test_the_head_noun_is_the_reader_s_in_97_of_100_expressions(name: str, count: int) -> None:
    labelled = read(name)
    found = {phrase: noun(phrase) for phrase in labelled}
    wrong = {phrase: (found[phrase], expected) for phrase, expected in labelled.items() if found[phrase] != expected}
    assert len(labelled) == count
    assert len(wrong) <= 0.03 * count, wrong
