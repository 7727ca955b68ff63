import itertools
import re

import pytest

from groundkit.outputs.names import UniqueNames, shorten, slug


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("The  red cup ", "the-red-cup"),
        ("红色的杯子", "红色的杯子"),
        ("लाल कप", "लाल-कप"),
        ("Straße", "strasse"),
    ],
)
def test_a_slug_keeps_letters_of_any_script_and_nothing_a_path_could_stumble_over(phrase, expected):
    assert slug(phrase) == expected


@pytest.mark.parametrize(
    "phrase", ["The red cup!", "left -- of/the\\ball ", "../../etc/passwd", "a..", "the cup overlay"]
)
def test_other_signs_and_endings_of_our_own_give_a_name_with_a_digest(phrase):
    assert re.fullmatch(r"[a-z-]+-[0-9a-f]{8}", slug(phrase))


@pytest.mark.parametrize(
    "phrases",
    [
        ["the 🥤", "the 🍎", "the"],
        ["the red cup", "the red cup.", "the red cup?", '"the red cup"', "the, red cup"],
        ["t-shirt", "t--shirt", "t/shirt", "a+", "a-", "a"],
        ["mask1", "mask 1", "the cup mask1", "the cup"],
    ],
)
def test_phrases_that_differ_in_other_signs_alone_have_names_that_differ(phrases):
    assert len({slug(phrase) for phrase in phrases}) == len(phrases)


def test_phrases_without_letters_and_long_ones_have_names_that_differ():
    phrases = ["", "?", "!", "🧸", "word " * 2000, "word " * 2001, "杯" * 300, "杯" * 301]
    slugs = [slug(phrase) for phrase in phrases]
    assert len(set(slugs)) == len(phrases)
    assert all(0 < len(each.encode()) <= 100 for each in slugs)


def test_composed_and_decomposed_accents_give_one_slug():
    assert slug("caf\u00e9") == slug("cafe\u0301")


def test_a_file_name_of_bytes_that_are_no_text_can_be_shortened():
    assert len(shorten("\udcff" * 200).encode(errors="surrogateescape")) <= 100


def test_no_two_names_can_lead_to_the_same_file():
    wanted = ["a-cup", "a-cup", "A-Cup", "a-cup-overlay", "a-cup-mask2", "a-cup-2", "a-cup-mask2-overlay", "b"]
    names = UniqueNames()
    given = [names.take(name) for name in wanted]
    endings = ["", "-overlay", "-cutout", "-heatmap", "-coco", "-mask1", "-mask2", "-cutout-mask1", "-cutout-mask2"]
    families = [{(name + ending).casefold() for ending in endings} for name in given]
    assert all(not (one & other) for one, other in itertools.combinations(families, 2))
    assert given[0] == "a-cup"
    assert given[-1] == "b"
