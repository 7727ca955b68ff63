"""The oracle is the tokenizer's own decoder, and the token list drawn in RefAM's teaser figure."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    ByT5Tokenizer,
    CLIPTokenizer,
    GPT2Tokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerFast,
    Qwen2Tokenizer,
    T5Tokenizer,
)

from groundkit.errors import ConfigError, ModelError, PhraseError
from groundkit.language import DEFAULT_MAGNETS, PIPELINE_FIGURE_MAGNETS, Role, parse_phrase, tokenize

pytestmark = pytest.mark.filterwarnings("ignore:the model.s tokenizer does not know:UserWarning")

PHRASES = [
    "a largest orange goldfish",
    "the red cup, to the left of the t-shirt!",
    "the man's hat isn't (red)",
    "red cups 赤い カップ 😀 a café",
    "A red 👨\u200d👩\u200d👧 CUP",
    "red😀 cup",
    "the </s> <s> <|endoftext|> [SEP] cup",
    "it on the red",
]


def pieces(*words: str) -> dict[str, int]:
    return {piece: index for index, piece in enumerate(dict.fromkeys(words))}


def t5() -> Any:
    # Like the real one, it has no piece for "a" or "_" with a space before it, and one for "gold" and "fish".
    words = "▁ a _ ▁largest ▁orange ▁gold fish ▁with ▁the ▁pink ▁camel ▁walking ▁to ▁red ▁cup s , ▁man 's ▁of"
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((word, -2.0) for word in words.split())]
    return T5Tokenizer(vocab=vocab, extra_ids=2)


def clip() -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = pieces(
        *letters, *(f"{letter}</w>" for letter in letters), "re", "red</w>", "<|startoftext|>", "<|endoftext|>"
    )
    merges: Any = [("r", "e"), ("re", "d</w>")]
    return CLIPTokenizer(vocab=vocab, merges=merges)


def byte_level(kind: type[Any]) -> Any:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = pieces(*letters, "Ġr", "Ġre", "Ġred", "cu", "cup", "<|endoftext|>")
    return kind(vocab=vocab, merges=[("Ġ", "r"), ("Ġr", "e"), ("Ġre", "d"), ("c", "u"), ("cu", "p")])


def llama() -> Any:
    letters = ["▁", *"acderup", "▁a", "▁r", "▁re", "▁red"]
    vocab = pieces("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters)
    return LlamaTokenizer(vocab=vocab, merges=[("▁", "a"), ("▁", "r"), ("▁r", "e"), ("▁re", "d")])


def bert() -> Any:
    words = "[PAD] [UNK] [CLS] [SEP] [MASK] red cup ##s the a , ! man ' s hat cafe largest orange gold ##fish it"
    return BertTokenizer(vocab=pieces(*words.split()))


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "t5": t5,
    "clip": clip,
    "gpt2": lambda: byte_level(GPT2Tokenizer),
    "qwen2": lambda: byte_level(Qwen2Tokenizer),
    "llama": llama,
    "bert": bert,
}


@pytest.fixture(params=sorted(TOKENIZERS), scope="module")
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize("text", PHRASES)
def test_the_tokens_of_a_word_decode_to_that_word(tokenizer: Any, text: str) -> None:
    phrase = parse_phrase(text)
    tokens = tokenize(phrase, tokenizer)
    # An unknown piece, and T5's </s> when spelled out, may cover several words and decodes to none of them.
    opaque = {tokenizer.unk_token_id, tokenizer.eos_token_id}
    is_opaque = any(token.id in opaque for token in tokens if token.word is not None)
    for index, word in enumerate(phrase.words):
        ids = [token.id for token in tokens if token.word == index]
        assert ids or is_opaque
        if ids and not opaque & set(ids):
            decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False).casefold().replace(" ", "")
            unaccented = word.text.casefold().replace("é", "e")
            assert decoded in (word.text.casefold(), unaccented)


def test_an_unknown_piece_over_several_words_goes_to_the_content_word() -> None:
    tokens = tokenize(parse_phrase("the red (x)"), t5())
    assert [(token.text, token.word, token.role) for token in tokens if token.text == "<unk>"] == [
        ("<unk>", 3, Role.CONTENT)
    ]


@pytest.mark.parametrize("text", PHRASES)
def test_tokens_are_those_of_the_tokenizer_in_its_order_with_the_roles_of_their_words(
    tokenizer: Any, text: str
) -> None:
    phrase = parse_phrase(text)
    tokens = tokenize(phrase, tokenizer)
    assert [token.id for token in tokens] == tokenizer(phrase.text, split_special_tokens=True)["input_ids"]
    assert [token.text for token in tokens] == tokenizer.convert_ids_to_tokens([token.id for token in tokens])
    assert all(
        token.role is (Role.SPECIAL if token.word is None else phrase.words[token.word].role) for token in tokens
    )
    of_words = [token.word for token in tokens if token.word is not None]
    assert of_words == sorted(of_words)


def test_the_teaser_figure_s_19_tokens_come_out() -> None:
    tokens = tokenize(parse_phrase("a largest orange goldfish"), t5(), magnets=DEFAULT_MAGNETS)
    assert " ".join(token.text for token in tokens) == (
        "▁ a ▁largest ▁orange ▁gold fish </s> ▁ _ </s> ▁with </s> ▁ a </s> ▁the </s> ▁pink </s>"
    )
    assert [token.word for token in tokens] == [None, 0, 1, 2, 3, 3, None, *[None] * 12]
    roles = [Role.SPECIAL, Role.STOP, *[Role.CONTENT] * 4, Role.SPECIAL, *[Role.MAGNET] * 12]
    assert [token.role for token in tokens] == roles


def test_the_pipeline_figure_s_magnets_are_appended_to_the_string() -> None:
    magnets = PIPELINE_FIGURE_MAGNETS
    tokens = tokenize(parse_phrase("a camel walking"), t5(), magnets=magnets, magnet_tokenisation="appended")
    assert " ".join(token.text for token in tokens) == "▁ a ▁camel ▁walking ▁with ▁to ▁pink </s>"
    roles = [Role.SPECIAL, Role.STOP, Role.CONTENT, Role.CONTENT, *[Role.MAGNET] * 3, Role.SPECIAL]
    assert [token.role for token in tokens] == roles


@pytest.mark.parametrize("text", PHRASES)
def test_magnets_leave_the_phrase_s_own_tokens_alone(tokenizer: Any, text: str) -> None:
    phrase = parse_phrase(text)
    plain = tokenize(phrase, tokenizer)
    separate = tokenize(phrase, tokenizer, magnets=DEFAULT_MAGNETS)
    appended = tokenize(phrase, tokenizer, magnets=DEFAULT_MAGNETS, magnet_tokenisation="appended")
    assert separate[: len(plain)] == plain
    assert {token.role for token in separate[len(plain) :]} == {Role.MAGNET}
    own = [token for token in appended if token.word is not None]
    assert own == [token for token in plain if token.word is not None]
    assert tokenizer.decode([token.id for token in appended if token.role is Role.MAGNET]).strip()


@pytest.mark.parametrize("name", ["t5", "clip", "qwen2", "bert"])
def test_a_tokenizer_loaded_from_a_folder_gives_the_same_tokens(name: str, tmp_path: Path) -> None:
    built = TOKENIZERS[name]()
    built.save_pretrained(tmp_path)
    phrase = parse_phrase("a largest red cup")
    expected = tokenize(phrase, built, magnets=DEFAULT_MAGNETS)
    for kind in (type(built), PreTrainedTokenizerFast):
        assert tokenize(phrase, kind.from_pretrained(tmp_path), magnets=DEFAULT_MAGNETS) == expected


def test_text_that_spells_a_special_token_is_plain_text() -> None:
    tokenizer = byte_level(Qwen2Tokenizer)
    tokens = tokenize(parse_phrase("the <|endoftext|> cup"), tokenizer)
    assert tokenizer.eos_token_id not in [token.id for token in tokens]


def test_truncation_and_padding_left_on_in_the_tokenizer_change_nothing() -> None:
    tokenizer = t5()
    phrase = parse_phrase("a largest orange goldfish")
    expected = tokenize(phrase, tokenizer)
    tokenizer(phrase.text, truncation=True, max_length=3, padding="max_length")
    assert tokenize(phrase, tokenizer) == expected


@pytest.mark.parametrize("magnet_tokenisation", ["separate", "appended"])
def test_a_long_phrase_loses_its_end_and_keeps_its_magnets(tokenizer: Any, magnet_tokenisation: Any) -> None:
    phrase = parse_phrase("red a cup " * 700)
    options: dict[str, Any] = {"magnets": DEFAULT_MAGNETS, "magnet_tokenisation": magnet_tokenisation}
    full = tokenize(phrase, tokenizer, **options)
    with pytest.warns(UserWarning, match="tokens, the text encoder takes 77: the phrase's last") as caught:
        short = tokenize(phrase, tokenizer, max_tokens=77, **options)
    assert Path(caught[0].filename) == Path(__file__)
    assert 76 <= len(short) <= 77
    own = [token for token in short if token.word is not None]
    assert own == [token for token in full if token.word is not None][: len(own)]
    around = [token for token in short[short.index(own[-1]) + 1 :] if token.role is not Role.CONTENT]
    assert around == list(full[len(full) - len(around) :])
    assert [token for token in short if token.role is Role.MAGNET] == [t for t in full if t.role is Role.MAGNET]


def test_a_phrase_that_just_fits_is_not_cut() -> None:
    phrase = parse_phrase("a largest orange goldfish")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tokenize(phrase, t5(), magnets=DEFAULT_MAGNETS, max_tokens=19)) == 19
    with pytest.warns(UserWarning, match="the phrase's last 1 token is ignored"):
        shorter = tokenize(phrase, t5(), magnets=DEFAULT_MAGNETS, max_tokens=18)
    assert [token.text for token in shorter[:6]] == ["▁", "a", "▁largest", "▁orange", "▁gold", "</s>"]


def test_no_room_for_the_phrase_names_the_room_it_needs() -> None:
    phrase = parse_phrase("red cup")
    with pytest.raises(ConfigError) as caught:
        tokenize(phrase, t5(), magnets=DEFAULT_MAGNETS, max_tokens=13)
    assert str(caught.value) == ("max_tokens=13 leaves no room for the phrase: use at least 14, or fewer magnets")
    with pytest.warns(UserWarning, match="ignored"):
        assert len(tokenize(phrase, t5(), magnets=DEFAULT_MAGNETS, max_tokens=14)) == 14


def test_a_tokenizer_without_offsets_is_refused_with_a_remedy() -> None:
    with pytest.raises(ModelError, match=r"^ByT5Tokenizer reports no character offsets: load .* tokenizer\.json"):
        tokenize(parse_phrase("a cup"), ByT5Tokenizer())


def test_a_phrase_of_which_the_tokenizer_keeps_nothing_is_refused() -> None:
    # BERT's normaliser deletes the replacement character.
    with pytest.raises(PhraseError, match="no token for a content word of '\ufffd'"):
        tokenize(parse_phrase("\ufffd"), bert())


def test_wrong_magnet_settings_are_refused() -> None:
    phrase = parse_phrase("a cup")
    with pytest.raises(ConfigError, match="hold a blank one"):
        tokenize(phrase, t5(), magnets=("with", " "))
    with pytest.raises(ConfigError, match="'glued' does not exist: use 'separate' or 'appended'"):
        tokenize(phrase, t5(), magnets=("with",), magnet_tokenisation="glued")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def real_t5() -> Any:
    """The tokenizer that FLUX reads phrases with."""
    checkpoints = os.environ.get("GROUNDKIT_CHECKPOINTS")
    if not checkpoints:
        pytest.skip("GROUNDKIT_CHECKPOINTS, a folder of real tokenizers, is not set")
    return AutoTokenizer.from_pretrained(Path(checkpoints) / "FLUX.1-schnell" / "tokenizer_2", local_files_only=True)


@pytest.mark.parametrize("text", ["红色的杯子", "蓝色的球", "赤いカップ", "ο κόκκινος", "🥤", "the 🍎"])
def test_a_phrase_of_which_t5_knows_nothing_is_refused(real_t5: Any, text: str) -> None:
    with pytest.raises(PhraseError, match=r"does not know the letters of .*: say it in English"):
        tokenize(parse_phrase(text), real_t5)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("красная чашка", "красная, чашка"),
        ("kırmızı fincan", "kırmızı"),
        ("the red 杯子", "杯子"),
        ("cốc đỏ", "cốc, đỏ"),
    ],
)
def test_a_phrase_of_which_t5_knows_a_part_is_read_with_one_line_that_names_the_rest(
    real_t5: Any, text: str, named: str
) -> None:
    with pytest.warns(UserWarning, match=f"does not know the letters of '{named}' and reads what is left") as told:
        tokenize(parse_phrase(text), real_t5)
    assert len(told) == 1


@pytest.mark.parametrize("text", ["the red cup", "la tasse rouge", "der grüne Stuhl", "a 3 year old dog", "t.v."])
def test_of_what_t5_knows_nothing_is_said(real_t5: Any, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokenize(parse_phrase(text), real_t5)


def test_a_tokenizer_that_knows_every_byte_refuses_no_script() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokenize(parse_phrase("红色的杯子"), byte_level(Qwen2Tokenizer))
        assert tokenize(parse_phrase("🥤"), llama())
