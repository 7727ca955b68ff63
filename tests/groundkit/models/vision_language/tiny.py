"""What the tiny vision-language models of the tests share: a tokenizer, a chat template, sizes."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

WORDS = [
    "user",
    "assistant",
    "list",
    "all",
    "the",
    "objects",
    "in",
    "this",
    "picture",
    "where",
    "is",
    "red",
    "cup",
    "blue",
    "ball",
    "and",
    "a",
    "one",
    "two",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}IMAGE {% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def tokenizer(special: tuple[str, ...], **named: Any) -> PreTrainedTokenizerFast:
    """A word tokenizer with ``<pad> <s> </s> <unk>`` and the family's own special tokens; ``named`` are attributes."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *special, *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=list(special),
        **named,
    )


def chat_template(image: str) -> str:
    """The template above, with the family's own words for a picture."""
    return CHAT_TEMPLATE.replace("IMAGE", image)
