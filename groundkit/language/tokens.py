"""From words to the tokens of a text encoder: which token belongs to which word, and what it is to the method."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from groundkit.errors import ConfigError, ModelError, PhraseError
from groundkit.language.phrase import Phrase
from groundkit.language.splitting import normalise
from groundkit.language.words import Role
from groundkit.wording import count_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How a SentencePiece tokenizer writes a space, as a token of its own before some words.
SPACE_PIECE = "▁"

MagnetTokenisation = Literal["separate", "appended"]


@dataclass(frozen=True)
class Token:
    """One column of the text.

    Attributes:
        id: index in the tokenizer's vocabulary.
        text: the tokenizer's own piece, such as ``▁largest``, ``Ġcup`` or ``</s>``.
        word: index into ``Phrase.words``; None for a magnet, a special token or a bare space.
        role: that of the word; MAGNET for every token a magnet brings along, its ``</s>`` included; else SPECIAL.
        spelling: the word that it belongs to, as written; empty where there is none.
        sink: whether it is a global attention sink (:mod:`groundkit.stages.sinks`).
    """

    id: int
    text: str
    word: int | None
    role: Role
    spelling: str = ""
    sink: bool = False


def tokenize(
    phrase: Phrase,
    tokenizer: PreTrainedTokenizerBase,
    *,
    magnets: Sequence[str] = (),
    magnet_tokenisation: MagnetTokenisation = "separate",
    max_tokens: int | None = None,
) -> tuple[Token, ...]:
    """The tokens of ``phrase`` and its magnets, special tokens included, without padding.

    The ids are those that the text encoder must be given: ``[token.id for token in tokens]``. Text that spells a
    special token, such as ``<image>``, is taken as plain text where the tokenizer can.

    Args:
        phrase: the expression.
        tokenizer: any tokenizer of transformers that reports character offsets.
        magnets: words to append.
        magnet_tokenisation: "separate" tokenises each magnet alone, with its own special tokens, after the expression's
            (RefAM's teaser figure: 7 + 12 tokens); "appended" tokenises expression and magnets as one string (its
            pipeline figure).
        max_tokens: most tokens the text encoder takes. The expression loses its last tokens, with a warning, so that
            the magnets fit.

    Raises:
        ModelError: the tokenizer reports no character offsets.
        PhraseError: no token is left that belongs to a content word, or the tokenizer knows none of them.
        ConfigError: a magnet is blank, ``magnet_tokenisation`` is unknown, or ``max_tokens`` leaves no room.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{type(tokenizer).__name__} reports no character offsets: "
            "load a tokenizer backed by a tokenizer.json, as AutoTokenizer does where the model has one"
        )
    cleaned = [normalise(magnet) for magnet in magnets]
    if not all(cleaned):
        raise ConfigError(f"magnets {list(magnets)} hold a blank one: leave it out")

    if magnet_tokenisation == "separate":
        tokens = list(_encode(phrase, phrase.text, tokenizer))
        for magnet in cleaned:
            ids = _call(tokenizer, magnet)["input_ids"]
            pieces = tokenizer.convert_ids_to_tokens(ids)
            tokens += [Token(id_, piece, None, Role.MAGNET) for id_, piece in zip(ids, pieces, strict=True)]
    elif magnet_tokenisation == "appended":
        tokens = list(_encode(phrase, " ".join([phrase.text, *cleaned]), tokenizer))
    else:
        raise ConfigError(f"magnet_tokenisation {magnet_tokenisation!r} does not exist: use 'separate' or 'appended'")
    if max_tokens is not None and len(tokens) > max_tokens:
        tokens = _truncated(tokens, max_tokens)
    if not any(token.role is Role.CONTENT for token in tokens):
        raise PhraseError(
            f"the text encoder has no token for a content word of {phrase.text[:40]!r}: say it in other words"
        )
    check_known(
        [(phrase.words[t.word].text, t.id) for t in tokens if t.role is Role.CONTENT and t.word is not None],
        tokenizer.unk_token_id,
    )
    return tuple(tokens)


def check_known(pieces: Sequence[tuple[str, int]], unknown: int | None) -> None:
    """Warn of words that a tokenizer does not know, in whole or in part.

    All that it does not know becomes one token, whatever it means: two phrases of unknown words would be the same
    phrase. T5's vocabulary, which FLUX reads, has hardly any letters but those of western Europe.

    Args:
        pieces: of the content words, each with its word and its id.
        unknown: id of the token for what is not known; None where everything is.

    Raises:
        PhraseError: no piece is known.
    """
    lost = list(dict.fromkeys(word for word, piece in pieces if piece == unknown))
    if unknown is None or not lost:
        return
    names = f"the model's tokenizer does not know the letters of {', '.join(lost)[:60]!r}"
    if all(piece == unknown for _, piece in pieces):
        raise PhraseError(f"{names}: say it in English")
    warnings.warn(f"{names} and reads what is left: say it in English", stacklevel=3)


def _encode(phrase: Phrase, text: str, tokenizer: PreTrainedTokenizerBase) -> Iterator[Token]:
    """Tokens of ``text``, which is the phrase's text, and magnets from there on."""
    word_at = {place: index for index, word in enumerate(phrase.words) for place in range(word.start, word.end)}
    encoding = _call(tokenizer, text)
    pieces = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
    columns = zip(
        encoding["input_ids"], pieces, encoding["offset_mapping"], encoding["special_tokens_mask"], strict=True
    )
    for id_, piece, (start, end), is_special in columns:
        covered = [word_at[place] for place in range(start, end) if place in word_at]
        if is_special:
            yield Token(id_, piece, None, Role.SPECIAL)
        elif start >= len(phrase.text):
            yield Token(id_, piece, None, Role.MAGNET)
        # The space's offsets claim the first character of the word that follows it.
        elif piece == SPACE_PIECE or not covered:
            yield Token(id_, piece, None, Role.SPECIAL)
        else:
            # One unknown piece may cover several words: "(cup)".
            content = [index for index in covered if phrase.words[index].role is Role.CONTENT] or covered
            word = max(content, key=content.count)
            yield Token(id_, piece, word, phrase.words[word].role, phrase.words[word].text)


def _call(tokenizer: PreTrainedTokenizerBase, text: str) -> dict[str, Any]:
    encoding = tokenizer(
        text,
        padding=False,
        truncation=False,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        split_special_tokens=True,
        verbose=False,
    )
    return dict(encoding)


def _truncated(tokens: list[Token], max_tokens: int) -> list[Token]:
    """``tokens`` without the phrase's last ones; special tokens around the phrase, and magnets, stay."""
    of_words = [index for index, token in enumerate(tokens) if token.word is not None]
    first, last = (of_words[0], of_words[-1] + 1) if of_words else (0, 0)
    cut = last - (len(tokens) - max_tokens)
    # A space without its word says nothing.
    while cut > first and tokens[cut - 1].word is None:
        cut -= 1
    if cut <= first:
        raise ConfigError(
            f"max_tokens={max_tokens} leaves no room for the phrase: "
            f"use at least {len(tokens) - (last - first) + 1}, or fewer magnets"
        )
    warnings.warn(
        f"the phrase and its magnets have {len(tokens)} tokens, the text encoder takes {max_tokens}: "
        f"the phrase's last {count_of(last - cut, 'token')} {'is' if last - cut == 1 else 'are'} ignored",
        stacklevel=3,
    )
    return tokens[:cut] + tokens[last:]
