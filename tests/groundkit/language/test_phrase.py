"""The oracle is a reader's judgement, phrase by phrase, and invariants that hold for any text."""

import random
import subprocess
import sys

import pytest

from groundkit.errors import PhraseError
from groundkit.language import STOP_WORDS, Role, Word, find_directions, parse_phrase

# phrase | head noun phrase | directions
READINGS = """
the red cup on the left of the blue ball | the red cup | left
cup to the left of the laptop | cup | left
man in a black shirt holding a phone | man |
the largest orange goldfish | the largest orange goldfish | largest
left zebra | left zebra | left
a camel walking | a camel |
the one in the middle | the one | middle
on the left, the cup | the cup | left
on the left the cup | the cup | left
the woman who is smiling | the woman |
the cup that is on the right | the cup | right
parked car | parked car |
running horse | running horse |
person sitting | person |
man eating pizza | man |
baseball player swinging a bat | baseball player |
two dogs playing in the snow | two dogs |
a person and a dog | a person |
black and white cow | black and white cow |
the large, red cup | the large, red cup |
light blue ring | light blue ring |
the wood dining table | the wood dining table |
parking meter | parking meter |
the man's hat | the man's hat |
the dogs' bowl | the dogs' bowl |
the dog isn't black | the dog |
guy blue shirt | guy |
man orange shirt | man |
kid in blue | kid |
number 12 jersey | number 12 jersey |
a slice of pizza | a slice of pizza |
a pair of scissors on the left | a pair of scissors | left
the bowl of soup | the bowl |
the "stop" sign | the "stop" sign |
THE RED CUP ON THE LEFT | THE RED CUP | left
find the red cup | the red cup |
look for the cat on the left | the cat | left
please segment the cat | the cat |
I want the small cup on the bottom | the small cup | bottom
where is the dog? | the dog |
there is a dog | a dog |
orange | orange |
the orange | the orange |
orange light | orange light |
the blue on the left | the blue | left
ring on the left | ring | left
can on the left | can | left
fish next to the crown | fish |
duck next to the blue key | duck |
the teddy bear on the chair | the teddy bear |
the remote | the remote |
saw on the left | saw | left
the red star | the red star |
lamp behind the green key | lamp |
leftmost dog | leftmost dog | left
the left-most dog | the left-most dog | left
upper right corner | upper right corner | top,right
bottom-left cup | bottom-left cup | bottom,left
the dog in the upper right corner | the dog | top,right
the cup to the left of the blue ball | the cup | left
broccoli top left | broccoli | top,left
zebra far right | zebra | right
dog, left | dog | left
the man on the left hand side | the man | left
key in the top row | key | top
third from the left | third | left
the 3 year old dog | the 3 year old dog |
a 6 foot tall man on the right | a 6 foot tall man | right
a day old chick | a day old chick |
the 3 year old | the 3 year old |
half eaten pizza | half eaten pizza |
half of the pizza | half of the pizza |
half a pizza | half a pizza |
the left half eaten by the dog | the left half | left
cut up carrots | cut up carrots |
man dressed up for a party | man |
trash can on the left | trash can | left
the beer can next to the bottle | the beer can |
man who can be seen | man |
a watering can | a watering can |
can you find the cat | the cat |
the t.v. on the wall | the t.v. |
Dr. Pepper can | Dr. Pepper can |
Ben & Jerry's tub | Ben & Jerry's tub |
man & woman | man |
guy w/ blue shirt | guy |
girl w/o shoes | girl |
second row third donut from the left | third donut | left
front row, tall guy | tall guy |
the man on the left's hat | the man on the left's hat | left
the girl in pink's umbrella | the girl in pink's umbrella |
the man with the dog's leash | the man |
pizza front | pizza |
the store front | the store front |
the front of the train | the front of the train |
second dog from right | second dog | right
the lower shelf | the lower shelf | bottom
north west corner | north west corner | top,left
the one above | the one | top
cup below | cup | bottom
the cup at the top of the picture | the cup | top
the man in the middle of the picture | the man | middle
the right side of the cake | the right side of the cake | right
the center of the flower | the center of the flower | middle
the man with a hat on the left | the man | left
the dog on your left | the dog | left
woman sitting on the right | woman | right
the man on the right facing left | the man | right
the man facing left on the right | the man | right
biggest dog | biggest dog | largest
the smaller of the two cups | the smaller of the two cups | smallest
the cup larger than the ball | the cup | largest
the cup on the left next to the plate on the right | the cup | left
the cup to the right of the plate on the left | the cup | right
the ball behind the left chair | the ball |
behind the left chair | behind the left chair |
the cup on the largest table | the cup |
girl on the left horse | girl |
the large red cup | the large red cup |
a cup under the table | a cup |
the cup on top of the box | the cup |
the red top | the red top |
man's left hand | man's left hand |
the ring on the left hand | the ring |
left handed batter | left handed batter |
the man raising his left hand | the man |
the man right behind the tree | the man |
guy in red right in front | guy |
the bird right above the tree | the bird |
left | left | left
the woman looking left | the woman |
the woman walking to the right | the woman |
the man who left | the man |
the dogs from left to right | the dogs |
he on the left | he on the left | left
those in red | those in red |
closest to camera | closest to camera |
der rote Becher | der rote Becher |
赤いカップ | 赤いカップ |
красная чашка | красная чашка |
😀 | 😀 |
"""
CASES = [tuple(field.strip() for field in line.split("|")) for line in READINGS.strip().splitlines()]

ODD_TEXTS = [
    "the red cup",
    "touch the man's t-shirt, please!",
    "赤いカップ と हिन्दी कप",
    "👨\u200d👩\u200d👧 beside 🐶🐱 and 👍🏽",
    "??? ... $5",
    "'s hat",
    "x" * 3000,
]


@pytest.mark.parametrize(("text", "head", "directions"), CASES, ids=[case[0] for case in CASES])
def test_head_and_directions_are_what_a_reader_takes_from_the_phrase(text: str, head: str, directions: str) -> None:
    phrase = parse_phrase(text)
    assert phrase.head == head
    assert ",".join(phrase.direction) == directions
    assert find_directions(phrase.words) == phrase.direction


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("a largest orange goldfish", "largest orange goldfish"),
        ("A camel walking", "camel walking"),
        ("the cup, and the man's hat!", "cup man hat"),
        ("a can that can open", "can open"),
        ("left zebra", "left zebra"),
        ("the 👍🏽 sign", "👍🏽 sign"),
        ("it on the left", "left"),
    ],
)
def test_content_is_what_stop_words_and_punctuation_leave(text: str, content: str) -> None:
    assert [word.text for word in parse_phrase(text).words if word.role is Role.CONTENT] == content.split()


def test_the_caller_may_bring_other_stop_words() -> None:
    words = parse_phrase("the red cup", stop_words={"red"}).words
    assert [word.role for word in words] == [Role.CONTENT, Role.STOP, Role.CONTENT]


def test_the_stop_word_list_is_nltk_s() -> None:
    assert len(STOP_WORDS) == 179
    assert {"the", "a", "of", "with", "to"} <= STOP_WORDS


def test_direction_words_are_named_so_that_a_pipeline_can_leave_them_out() -> None:
    phrase = parse_phrase("the left cup near the right plate on the top")
    assert [phrase.words[index].text for index in sorted(phrase.direction_words)] == ["left", "top"]
    assert {phrase.words[index].text for index in phrase.kept_words()} == {"left", "cup"}
    assert {phrase.words[index].text for index in phrase.kept_words(without_directions=True)} == {"cup"}
    assert {phrase.words[index].text for index in phrase.kept_words(head_only=False, without_directions=True)} == {
        *("cup", "near", "right", "plate")
    }


def test_kept_words_fall_back_to_direction_words_when_there_are_no_others() -> None:
    assert parse_phrase("the left").kept_words(without_directions=True) == {1}


@pytest.mark.parametrize("text", [*ODD_TEXTS, *(case[0] for case in CASES)])
def test_words_cover_every_character_but_the_spaces_once(text: str) -> None:
    phrase = parse_phrase(text)
    covered = [place for word in phrase.words for place in range(word.start, word.end)]
    assert covered == [place for place, character in enumerate(phrase.text) if character != " "]
    assert all(phrase.text[word.start : word.end] == word.text for word in phrase.words)


@pytest.mark.filterwarnings("ignore:.* is read as one phrase:UserWarning")
def test_any_text_is_either_refused_or_has_something_to_look_for() -> None:
    generator = random.Random(0)
    ranges = [(0x20, 0x7F), (0x20, 0x7F), (0, 0x3000), (0, 0x110000)]
    for _ in range(1000):
        text = "".join(chr(generator.randrange(*generator.choice(ranges))) for _ in range(generator.randint(1, 12)))
        try:
            phrase = parse_phrase(text)
        except PhraseError:
            continue
        assert phrase.kept_words(without_directions=True)


def test_an_emoji_of_several_characters_is_one_word() -> None:
    words = parse_phrase("👨\u200d👩\u200d👧 and 👍🏽").words
    assert [word.text for word in words] == ["👨\u200d👩\u200d👧", "and", "👍🏽"]


def test_white_space_and_control_characters_leave_no_trace() -> None:
    assert parse_phrase(" \ufeffthe\tred\x00cu\u00adp \n\u3000 cafe\u0301\x7f ").text == "the red cup café"


@pytest.mark.parametrize("text", ["", "  \n\t", "\x00\u200b"])
def test_a_blank_phrase_is_refused_with_a_remedy(text: str) -> None:
    message = "the phrase has no word: say what to look for, such as 'the red cup on the left'"
    with pytest.raises(PhraseError) as caught:
        parse_phrase(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["it", "the", "him", "what is this?", "'s", "with a"])
def test_a_phrase_of_stop_words_alone_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(PhraseError, match="names nothing: say what to look for, such as"):
        parse_phrase(text)


@pytest.mark.slow
@pytest.mark.parametrize("word", ["red", "left", "walking", "piece of", "the red cup on the left of", "赤い"])
def test_two_thousand_words_are_read(word: str) -> None:
    assert len(parse_phrase(f"{word} " * 2000).words) == 2000 * len(word.split())


def test_a_word_whose_span_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="'cup' has 3 characters"):
        Word("cup", 0, 4, "NN1")


def test_language_is_imported_without_torch_and_loads_the_tagger_only_when_used() -> None:
    code = "import sys, groundkit.language; print([name in sys.modules for name in ('torch', 'transformers', 'HanTa')])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[False, False, False]"
