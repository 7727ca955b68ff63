"""Tokens of a running text, such as a prompt or an answer, and the word that each belongs to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from groundkit.language.objects import token_offsets
from groundkit.language.tokens import Token
from groundkit.language.words import STOP_WORDS, Role, plain

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")


def running_tokens(tokenizer: Any, ids: Sequence[int]) -> tuple[Token, ...]:
    """The tokens of a text that a tokenizer has taken apart.

    Returns:
        One per id: its ``word`` counts the words of the text from 0. A stop word is STOP, any other word CONTENT; text
        outside of words (marks, punctuation, bare spaces) is SPECIAL.
    """
    text, offsets = token_offsets(tokenizer, ids)
    words = list(_WORD.finditer(text))
    tokens = []
    for id_, piece, (start, end) in zip(ids, tokenizer.convert_ids_to_tokens(list(ids)), offsets, strict=True):
        word = next((index for index, each in enumerate(words) if each.start() < end and start < each.end()), None)
        if word is None:
            tokens.append(Token(int(id_), piece, None, Role.SPECIAL))
        else:
            spelling = words[word].group()
            role = Role.STOP if plain(spelling) in STOP_WORDS else Role.CONTENT
            tokens.append(Token(int(id_), piece, word, role, spelling))
    return tuple(tokens)
