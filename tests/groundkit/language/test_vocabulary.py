"""Names become given categories."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from groundkit.errors import InputError
from groundkit.language.vocabulary import Vocabulary, read_vocabulary


def letters(texts: Sequence[str]) -> torch.Tensor:
    """How often each letter stands in each text."""
    return torch.tensor([[float(text.count(chr(97 + i))) for i in range(26)] for text in texts])


@pytest.mark.parametrize(
    ("name", "category"),
    [("cup", "cup"), ("Cups", "cup"), ("red cup", "cup"), ("teddy bear", "teddy bear"), ("bares", "teddy bear")],
)
def test_words_decide_before_likeness(name: str, category: str) -> None:
    assert Vocabulary(["cup", "teddy bear", "stool"], letters).category(name) == category


def test_a_name_that_is_like_no_category_has_none() -> None:
    vocabulary = Vocabulary(["cup", "stool"], letters, min_likeness=0.9)
    assert vocabulary.category("tools") == "stool"  # four of five letters
    assert vocabulary.category("fig") is None
    assert vocabulary.category("red cup") == "cup"  # the same word needs no likeness
    assert Vocabulary(["cup", "stool"], letters).category("fig") in ("cup", "stool")


def test_a_file_gives_one_category_a_line(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("cup\n\n teddy bear \ncup\n")
    assert read_vocabulary(path) == ["cup", "teddy bear"]


def test_a_byte_order_mark_is_no_part_of_the_first_category(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cup\ndog\n", encoding="utf-8-sig")
    assert read_vocabulary(tmp_path / "names.txt") == ["cup", "dog"]


def test_an_empty_or_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(InputError, match="has no category"):
        read_vocabulary(tmp_path / "empty.txt")
    with pytest.raises(InputError, match="cannot read the vocabulary"):
        read_vocabulary(tmp_path / "missing.txt")
    (tmp_path / "latin.txt").write_bytes("käse\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"it is not UTF-8 text; save it as UTF-8$"):
        read_vocabulary(tmp_path / "latin.txt")
