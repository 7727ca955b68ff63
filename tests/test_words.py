"""Habits of wording that made the texts hard to read do not come back: help, settings, messages, docstrings, pages."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("*.md", "docs/*.md", "samples/*.md", "weights/nano/*.md")
_UNITS = (
    "result|frame|phrase|machine|layer|picture|word|token|video|case|row|run|object|crop|noun|name|head|task|line|pixel"
)
_COUNTS = "an?|one|two|three|four|\\d+"
_THINGS = "line|mask|map|matrix|row|record|object|picture|film|bit|byte|case|file|point|sequence|result|outcome|value"
NOT_YET: set[str] = set()
HABITS = {
    "say 'per'": (
        rf"\b(?:{_COUNTS}) (?:[\w-]+ )?(?:{_THINGS}) an? (?:{_UNITS})\b|\b(?!takes|makes|has|as)[a-z]+s a second\b"
    ),
    "begin with the subject, not with 'Of'": r"(?:^|[.!?:;] )Of (?!course\b)",
    "say 'again'": r"\banew\b",
    "say 'minimum' or 'maximum'": r"(?<![Aa]t )\bleast\b",
    "name the thing instead of 'what ...'": r"\b[Ww]hat (?:flows|lies|stands|belongs)\b",
    "things are no persons": r"\b(?:stands? by|stays? silent|speaks? (?:for|of)|knows? (?:no|nothing)|gives? way)\b",
    "say 'the first N' or 'at most N'": r"\bso many\b",
    "say 'synthetic'": r"\bself-made\b",
}


def texts() -> Iterator[tuple[str, str]]:
    """Where each text stands, and the text: strings of two words or more in the package, and pages without code."""
    for folder, _, names in os.walk(ROOT / "groundkit", followlinks=True):
        for name in names:
            if not name.endswith(".py") or "training" in Path(folder).parts:
                continue
            file = Path(folder) / name
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node.value
    for pattern in PAGES:
        for file in ROOT.glob(pattern):
            prose = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
            for paragraph in re.split(r"\n\s*\n|\n(?=[-|#])", prose):
                yield str(file.relative_to(ROOT)), paragraph


@pytest.fixture(scope="module")
def all_texts() -> list[tuple[str, str]]:
    return [(place, re.sub(r"\s+", " ", text)) for place, text in texts()]


@pytest.mark.parametrize("advice", HABITS)
def test_no_text_has_the_habit(advice: str, all_texts: list[tuple[str, str]]) -> None:
    assert len(all_texts) > 1000
    found = [
        f"{place}: ...{text[max(0, match.start() - 40) : match.end() + 40]}..."
        for place, text in all_texts
        for match in re.finditer(HABITS[advice], text)
    ]
    assert not found, "\n".join([advice, *found])


@pytest.mark.parametrize(
    "sentence",
    [
        "a mask a frame",
        "one JSON object a line",
        "30 pictures a second",
        "Of two masks the lower goes.",
        "It is drawn anew.",
        "the least score",
        "what lies in the output",
        "names it does not stand by",
        "Read the first so many cases.",
    ],
)
def test_each_habit_is_recognised(sentence: str) -> None:
    assert any(re.search(pattern, sentence) for pattern in HABITS.values())


def test_no_name_of_a_setting_or_argument_says_least_or_most() -> None:
    found = []
    for folder, _, names in os.walk(ROOT / "groundkit", followlinks=True):
        if "training" in Path(folder).parts:
            continue
        for file in (Path(folder) / name for name in names if name.endswith(".py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                name = (
                    getattr(node, "arg", None) or (isinstance(node, ast.AnnAssign) and ast.unparse(node.target)) or ""
                )
                if re.match(r"_?(least|most)_", str(name)):
                    found.append(f"{file.relative_to(ROOT)}: {name}")
    assert not found
