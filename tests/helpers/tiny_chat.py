"""What the tiny vision-language models of the tests share: a tokenizer, a chat template, sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, Qwen2VLImageProcessor

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
    "yes",
    "no",
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


def save_qwen(
    folder: Path, config: Any, model: Any, processor: Any, video: Any, vision: dict[str, Any], **text: Any
) -> None:
    """A Qwen-VL of any generation with patches of 8 pixels; ``vision`` and ``text`` are its configurations' own."""
    special = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer(special)
    start, end, image, film = words.convert_tokens_to_ids(list(special))
    processor(
        Qwen2VLImageProcessor(patch_size=8),
        words,
        video(patch_size=8),
        chat_template=chat_template("<|vision_start|><|image_pad|><|vision_end|>"),
    ).save_pretrained(folder)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
    built = model(
        config(
            vision_config={"patch_size": 8, "num_heads": 2, "hidden_size": 32, **vision},
            text_config={**TEXT, **text, "vocab_size": len(words), "rope_parameters": rope},
            image_token_id=image,
            video_token_id=film,
            vision_start_token_id=start,
            vision_end_token_id=end,
        )
    )
    with torch.no_grad():  # without training it might answer with a token of a picture
        built.lm_head.weight[[image, film]] = 0.0
    built.save_pretrained(folder)
