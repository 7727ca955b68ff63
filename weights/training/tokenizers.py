"""Nano's two tokenizers, built from the words of the captions: whole words, and single characters for all others."""

import string

from tokenizers import normalizers
from transformers import CLIPTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from groundkit.language.words import STOP_WORDS
from groundkit.weights.training.captions import JOINTS, PLACES, PREFIXES, SUFFIXES
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

EXTRA_WORDS = (
    "small large big little tiny huge smallest largest biggest left right top bottom middle center centre leftmost "
    "rightmost upper lower object thing one man woman person child table sky grass road wall water ground gray"
)


def vocabulary_words() -> list[str]:
    """Every word that is one token, sorted."""
    texts = (*NOUNS, *COLOURS, *STOP_WORDS, *JOINTS, *PLACES, *PREFIXES, *SUFFIXES, EXTRA_WORDS)
    return sorted({word for text in texts for word in text.lower().split() if word.isalpha()})


def t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer (Unigram with word-start marks): a word of the vocabulary is one piece, others are spelled."""
    characters = string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(f"▁{word}", -2.0) for word in vocabulary_words()]
    pieces += [(character, -8.0) for character in characters]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def any_case(tokenizer: T5Tokenizer) -> PreTrainedTokenizerFast:
    """The same tokens for words with capital letters, which no caption of the training has.

    T5's own class forgets how text is normalised when it is loaded; the general class keeps it.
    """
    words = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer,
        pad_token=tokenizer.pad_token,
        eos_token=tokenizer.eos_token,
        unk_token=tokenizer.unk_token,
        model_max_length=tokenizer.model_max_length,
    )
    words.backend_tokenizer.normalizer = normalizers.Lowercase()
    return words


def clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer whose words are single characters: nano's pooled vector is not read (see the model card)."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = list(characters) + [f"{c}</w>" for c in characters] + ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=77)
