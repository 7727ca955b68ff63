"""Names read from what models answer."""

import pytest

from groundkit.language.objects import is_unfinished_thought, object_names, token_offsets, with_article


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("cup, ball, teddy bear", ["cup", "ball", "teddy bear"]),
        ("a red cup, a blue ball, a lemon and three glasses.", ["red cup", "blue ball", "lemon", "glasses"]),
        ("The image shows two blue balls on a wooden table.", ["blue ball", "wooden table"]),
        ("1. Chair\n2. Two dogs\n3. A man in a red shirt", ["chair", "dog", "man", "red shirt"]),
        ("- **Cup**: it is red and stands on the left\n- Laptop: silver", ["cup", "laptop"]),
        (
            "There are several objects in the picture: a bus, cars, traffic lights and people.",
            ["bus", "car", "traffic light", "people"],
        ),
        ("a big, red cup and a small ball", ["big red cup", "small ball"]),
        ("cups, cups, cups", ["cup", "cup", "cup"]),
        ("Objects: cup and dog", ["cup", "dog"]),
        ("I can see: a cup.", ["cup"]),
        ("There is a cup and no dog, but two balls", ["cup", "ball"]),
        ("No dogs are visible. There isn't a cup.", []),
        ("a cup (red), a soda, a can", ["cup", "soda", "can"]),
        (
            "There is a trash can, a soda can on the shelf and a watering can. A dog can run.",
            ["trash can", "soda can", "shelf", "watering can", "dog"],
        ),
        ("a half eaten pizza, a 3 year old dog, a t.v.", ["half eaten pizza", "old dog", "t.v."]),
        ("a pair of skis, a toaster, leaves", ["ski", "toaster", "leaf"]),
        ("", []),
        ("None.", []),
        ("I am not sure.", []),
        ("Sorry, I cannot assist with that request.", []),
        ("As an AI language model, I am unable to see pictures.", []),
        ('```json\n[{"bbox_2d": [1, 2], "label": "red cup"}, {"label": "dog"}]\n```', ["red cup", "dog"]),
        ("<think>The user wants a list of cups.</think>\na ball", ["ball"]),
        ("<ul><li>cup</li><li>dog</li></ul>", ["cup", "dog"]),
        ("...", []),
        # One refusal costs its own sentence or clause and no more.
        (
            "The image shows a man riding a wave on a surfboard. I cannot see his face clearly.",
            ["man", "wave", "surfboard"],
        ),
        ("I'm sorry, but I can't identify people. Objects: cup, ball", ["cup", "ball"]),
        ("I cannot see any dogs, but there is a cup.", ["cup"]),
        ("I’m not able to tell who the woman is. There is a table; I can't see a chair.", ["table"]),
        ("- cup\n- ball\n- I am unable to identify the other toys\n- lemon", ["cup", "ball", "lemon"]),
        ("1. Cup. 2. I could not make out the letters. 3. Ball.", ["cup", "ball"]),
        ("Sorry, I can't help with faces. The picture holds a lamp. As an AI, I see no persons.", ["lamp"]),
        # What is said not to be there.
        ("There is no dog.", []),
        ("There is no dog, cat or bird, but a lemon.", ["lemon"]),
        ("a cup without a handle or a lid, a ball", ["cup", "ball"]),
        ("neither a dog nor a cat, but a horse", ["horse"]),
        ("The image does not show a dog, a cat or a bird. It shows a horse.", ["horse"]),
        ("I don't see any people, only a bench.", ["bench"]),
        ("The man doesn't wear a hat.", ["man"]),
        ("The dog is not visible; the cat is visible.", ["cat"]),
        ("A cup and a saucer. The spoon cannot be seen.", ["cup", "saucer"]),
        # Thoughts: the tag that opens them may stand in the prompt, and no room may be left to close them.
        ("The user wants a list. I see a dog.\n</think>\n\na cup, a ball", ["cup", "ball"]),
        ("<think>\nIs it a dog", []),
        ("<thinking>a dog</thinking>a cup", ["cup"]),
    ],
)
def test_names_are_read_from_lists_and_sentences(answer: str, expected: list[str]) -> None:
    assert [name.label for name in object_names(answer)] == expected


@pytest.mark.parametrize(
    ("answer", "unfinished"),
    [("<think>a dog", True), ("<think>a dog</think>a cup", False), ("a dog</think>a cup", False), ("a cup", False)],
)
def test_a_thought_that_is_cut_off_is_known(answer: str, unfinished: bool) -> None:
    assert is_unfinished_thought(answer) == unfinished


def test_a_name_says_where_its_words_stand() -> None:
    answer = "- **Cup**: red\n- two blue balls"
    assert [answer[name.start : name.end] for name in object_names(answer)] == ["Cup", "blue balls"]


def test_markup_moves_no_name_from_its_place() -> None:
    answer = '<think>hm</think> {"label": "red cup"} <b>dog</b>'
    assert [answer[name.start : name.end] for name in object_names(answer)] == ["red cup", "dog"]


def test_questions_name_a_label_with_its_article() -> None:
    assert [with_article(name) for name in ("red cup", "apple", "sunglasses")] == [
        "a red cup",
        "an apple",
        "sunglasses",
    ]


class Letters:
    """Two letters a token."""

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        return "".join("redcup"[2 * i : 2 * i + 2] for i in ids)


def test_tokens_know_their_characters() -> None:
    assert token_offsets(Letters(), [0, 1, 2]) == ("redcup", [(0, 2), (2, 4), (4, 6)])
