"""Texts that hold several phrases, as Grounding DINO is asked."""

import re
import warnings

import pytest

from groundkit.language import parse_phrase
from groundkit.language.several import split_phrases


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("red cup . blue ball", ["red cup", "blue ball"]),
        ("red cup. grey cup.", ["red cup", "grey cup"]),
        ("the dog ; the cat;the bird", ["the dog", "the cat", "the bird"]),
        ("the dog; the cat", ["the dog", "the cat"]),
        ("ant . bee . cow .", ["ant", "bee", "cow"]),
        ("🥤 . 🍎", ["🥤", "🍎"]),
        ("Dr. Pepper can . t.v. on the wall", ["Dr. Pepper can", "t.v. on the wall"]),
    ],
)
def test_full_stops_and_semicolons_part_phrases_and_it_is_told(text: str, phrases: list[str]) -> None:
    with pytest.warns(UserWarning, match=f"is read as {len(phrases)} phrases: "):
        assert split_phrases([text]) == phrases
    with pytest.warns(UserWarning, match=f"is read as one phrase: give .* for {len(phrases)}"):
        parse_phrase(text)


@pytest.mark.parametrize(
    "text",
    [
        "the red cup",
        "the red cup.",
        "red cup .",
        "Dr. Pepper can",
        "the t.v. on the wall",
        "a 1.5 liter bottle",
        "no. 12 jersey",
        "Mt. Fuji",
        "man vs. dog",
        "file.txt",
        "...",
        "",
    ],
)
def test_one_phrase_stays_as_it_is_and_nothing_is_told(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert split_phrases([text]) == [text]


def test_a_phrase_that_is_given_twice_counts_once_and_it_is_told() -> None:
    with pytest.warns(UserWarning, match="counts once") as told:
        assert split_phrases(["the cup", "the  cup", "the ball", "the ball", "the cup"]) == ["the cup", "the ball"]
    assert [str(each.message) for each in told] == [
        "'the  cup' is given more than once and counts once",
        "'the ball' is given more than once and counts once",
    ]


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("the dog, the cat", ["the dog", "the cat"]),
        ("cup/lamp", ["cup", "lamp"]),
        ("red cup, lamp and ball", ["red cup", "lamp", "ball"]),
    ],
)
def test_a_list_of_objects_is_one_phrase_and_that_is_told(text: str, objects: list[str]) -> None:
    assert split_phrases([text]) == [text]
    with pytest.warns(UserWarning, match=re.escape(f"is read as one phrase: give {objects} for {len(objects)}")):
        assert parse_phrase(text).text == text


@pytest.mark.parametrize(
    "text", ["the red, shiny cup", "the man, left", "girl w/ hat", "the bus, not the car", "front row, tall guy"]
)
def test_commas_within_one_description_list_nothing(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_phrase(text)
