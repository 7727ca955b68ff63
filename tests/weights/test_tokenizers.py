from pathlib import Path

import pytest
from transformers import AutoTokenizer

from groundkit.weights.catalog import NANO
from groundkit.weights.training.tokenizers import any_case, clip_tokenizer, t5_tokenizer
from groundkit.weights.training.vocabulary import COLOURS, NOUNS


@pytest.mark.parametrize("word", [word for noun in NOUNS for word in noun.split()] + list(COLOURS))
def test_every_noun_and_colour_is_one_token(word):
    assert len(t5_tokenizer()(word, add_special_tokens=False).input_ids) == 1


@pytest.mark.parametrize("text", ["a zyzzyva", "naïve café", "赤いカップ", "R2-D2!", "", "🙂"])
def test_a_word_outside_the_vocabulary_is_spelled_and_breaks_nothing(text):
    for tokenizer in (t5_tokenizer(), clip_tokenizer()):
        ids = tokenizer(text).input_ids
        assert ids[-1] == tokenizer.eos_token_id
        assert max(ids) < len(tokenizer)


def test_a_known_phrase_comes_back_from_its_tokens():
    tokenizer = t5_tokenizer()
    text = "the red cup on the left"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_nano_reads_capital_letters_like_small_ones(tmp_path: Path) -> None:
    """As an export writes its tokenizer, and as it lies there."""
    any_case(t5_tokenizer()).save_pretrained(tmp_path)
    texts = ["The red cup", "Red cup", "RED CUP on the Left"]
    small = t5_tokenizer()([text.lower() for text in texts]).input_ids
    for folder in (tmp_path, NANO / "flux" / "tokenizer_2"):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        assert tokenizer(texts).input_ids == tokenizer([text.lower() for text in texts]).input_ids == small
