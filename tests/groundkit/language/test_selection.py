"""Which and how many objects a phrase means, as a reader takes it."""

import warnings

import pytest

from groundkit.errors import PhraseError
from groundkit.language import parse_phrase
from groundkit.language.selection import BEST, Selection

# phrase | how many | from which on | sorted by | words that are not looked for
READINGS = """
the red cup | 1 | 1 | |
the glasses | 1 | 1 | |
a pair of scissors | 1 | 1 | | pair
the sheep | 1 | 1 | |
any chair | 1 | 1 | |
one of the dogs | 1 | 1 | | one
one of the two cups on the left | 1 | 1 | | one two
bunch of bananas | 1 | 1 | |
the 3 year old dog | 1 | 1 | |
second floor window | 1 | 1 | |
number 12 jersey | 1 | 1 | |
the bus | 1 | 1 | |
the third bike in the row from the right | 1 | 3 | right | third
second cup from the left | 1 | 2 | left | second
the third from right | 1 | 3 | right | third
2nd zebra from the right | 1 | 2 | right | 2nd
man third from left | 1 | 3 | left | third
second row third donut from the left | 1 | 3 | left | third
second cup from the top | 1 | 2 | top | second
second cup from the middle | 1 | 2 | middle | second
last kid on the right | 1 | 1 | right | last
last kid from the left | 1 | -1 | left | last
the next to last sheep from the left | 1 | -2 | left | next to last
second to last cow from the right | 1 | -2 | right | second to last
first two cups from the left | 2 | 1 | left | first two
the second-largest pizza | 1 | 2 | largest | second-largest
second largest dog | 1 | 2 | largest | second
the smallest rocket | 1 | 1 | smallest |
the larger of the two bears | 1 | 1 | largest | two
the two largest cups | 2 | 1 | largest | two
two dogs | 2 | 1 | | two
3 sheep | 3 | 1 | | 3
both horses | 2 | 1 | | both
two of the dogs | 2 | 1 | | two
the pair of shoes | 2 | 1 | | pair
all three cups | 3 | 1 | | all three
a dozen eggs | 12 | 1 | | dozen
two 3 year old dogs | 2 | 1 | | two
the three boys on the left | 3 | 1 | | three
the cups | all | 1 | |
all the cups | all | 1 | | all
every chair at the table | all | 1 | | every
each of the bottles | all | 1 | | each
a few oranges | all | 1 | | few
lots of bananas | all | 1 | | lots
people in the background | all | 1 | |
3 year old dogs | all | 1 | |
"""
CASES = [tuple(field.strip() for field in line.split("|")) for line in READINGS.strip().splitlines()]


@pytest.mark.parametrize(("text", "count", "rank", "by", "counting"), CASES, ids=[case[0] for case in CASES])
def test_the_objects_that_a_phrase_means_are_what_a_reader_takes_from_it(
    text: str, count: str, rank: str, by: str, counting: str
) -> None:
    phrase = parse_phrase(text)
    selection = phrase.selection
    assert str(selection.count or "all") == count
    assert selection.rank == int(rank)
    assert (selection.by or "") == by
    assert " ".join(phrase.words[index].text for index in sorted(phrase.counting_words)) == counting


@pytest.mark.parametrize("text", ["2nd zebra", "the last elephant in line", "second one"])
def test_an_ordinal_without_a_side_counts_from_the_left_and_says_so(text: str) -> None:
    with pytest.warns(UserWarning, match="no side to count from: counted from the left"):
        assert parse_phrase(text).selection.by == "left"


@pytest.mark.parametrize("text", ["the second tallest man", "third oldest car on the left"])
def test_an_ordinal_of_what_no_mask_shows_is_refused(text: str) -> None:
    with pytest.raises(PhraseError, match="count from a side, or by size"):
        parse_phrase(text)


def test_the_side_that_an_ordinal_counts_from_weighs_no_map() -> None:
    assert parse_phrase("the second cup from the left").places == ()
    assert parse_phrase("the cup on the left").places == ("left",)
    assert parse_phrase("the three boys on the left").places == ("left",)


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (BEST, "a"),
        (Selection(rank=2), "b"),
        (Selection(rank=-1), "d"),
        (Selection(rank=-2), "c"),
        (Selection(count=2), "ab"),
        (Selection(count=2, rank=2), "bc"),
        (Selection(count=9), "abcd"),
        (Selection(count=None), "abcd"),
        (Selection(rank=5), ""),
        (Selection(rank=-5), ""),
    ],
)
def test_a_selection_takes_its_objects_in_order_and_none_beyond_the_last(selection: Selection, chosen: str) -> None:
    assert "abcd"[selection.of(4)] == chosen


def test_phrases_of_one_object_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_phrase("the red cup on the left").selection == BEST
