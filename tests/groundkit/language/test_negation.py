"""What a phrase wants and what it does not, as a reader parts it."""

import pytest

from groundkit.errors import PhraseError
from groundkit.language import parse_phrase

# phrase | what to look for | what to leave out | the words of the latter that are read
READINGS = """
the cup that is not red | the cup | the red cup | red cup
the cup that isn't red | the cup | the red cup | red cup
the cup not red | the cup | the red cup | red cup
the not red cup | the cup | the red cup | red cup
cups that are not red | cups | red cups | red cups
the non-striped tie | the tie | the striped tie | striped tie
the red but not striped shirt | the red shirt | the red striped shirt | red striped shirt
the man without a hat | the man | the man with a hat | man hat
girl w/o shoes | girl | girl with shoes | girl shoes
guy w/ no shirt | guy | guy with shirt | guy shirt
cup with no handle | cup | cup with handle | cup handle
woman not wearing glasses | woman | woman wearing glasses | woman wearing glasses
the dog that isn't sleeping | the dog | the dog sleeping | dog sleeping
the player who is not batting | the player | the player batting | player batting
person not on a horse | person | person on a horse | person horse
cows, not the horse | cows | the horse | horse
the animal other than the dog | the animal | the dog | dog
all the sheep except the black one | all the sheep | the black sheep | black sheep
any chair but the blue one | any chair | the blue chair | blue chair
the cups except the red | the cups | the red cups | red cups
not the red cup but the blue one | the blue cup | the red cup | red cup
the cup that is not red on the left | the cup on the left | the red cup on the left | red cup
the cup that is not on the left | the cup | the cup on the left | cup
the man's hat that is not red | the man's hat | the man's red hat | man red hat
the two cups that are not red | the two cups | the two red cups | red cups
"""
CASES = [tuple(field.strip() for field in line.split("|")) for line in READINGS.strip().splitlines()]


@pytest.mark.parametrize(("text", "wanted", "negated", "read"), CASES, ids=[case[0] for case in CASES])
def test_a_negated_phrase_is_parted_in_what_is_wanted_and_what_is_not(
    text: str, wanted: str, negated: str, read: str
) -> None:
    phrase = parse_phrase(text)
    assert phrase.text == wanted
    assert phrase.negated is not None
    assert phrase.negated.text == negated
    kept = sorted(phrase.negated.kept_words(without_directions=True))
    assert " ".join(phrase.negated.words[index].text for index in kept) == read


def test_a_negated_place_is_no_place_of_the_object() -> None:
    phrase = parse_phrase("the cup that is not on the left")
    assert phrase.negated is not None
    assert (phrase.places, phrase.negated.places) == ((), ("left",))


@pytest.mark.parametrize(
    "text",
    [
        "not the red cup",
        "not left",
        "no hat",
        "everything except the cup",
        "everything but the sofa",
        "anything but the cup",
        "all but the red cup",
        "none of the cups",
        "nothing",
        "the lady that is neither old nor young",
        "the chair that nobody sits in",
        "man whose face you can't see",
        "don't show the cup",
        "the cup that is not red and not blue",
    ],
)
def test_a_negation_that_leaves_nothing_to_look_for_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(PhraseError, match=r"say both, such as 'the cup that is not red'"):
        parse_phrase(text)


@pytest.mark.parametrize("text", ["no parking sign", "do not enter sign", "no. 12 jersey", "player no 12", "the knot"])
def test_a_name_with_a_negative_word_in_it_is_no_negation(text: str) -> None:
    phrase = parse_phrase(text)
    assert phrase.negated is None
    assert phrase.text == text
