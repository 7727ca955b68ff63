from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
)
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig


def save(folder: Path) -> None:
    """Idefics3 with 3 x 3 image tokens a view of 48 pixels: 2 x 3 tiles of the wide picture, 3 x 2 of the tall one."""
    words = tokenizer(("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"))
    side = 48
    Idefics3Processor(
        Idefics3ImageProcessor(size={"longest_edge": 3 * side}, max_image_size={"longest_edge": side}),
        words,
        image_seq_len=9,
        chat_template="<s>" + chat_template("<image>"),
    ).save_pretrained(folder)
    Idefics3ForConditionalGeneration(
        Idefics3Config(
            vision_config=Idefics3VisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=8,
            ),
            text_config=LlamaConfig(vocab_size=len(words), **TEXT),
            scale_factor=2,
            image_token_id=words.convert_tokens_to_ids("<image>"),
        )
    ).save_pretrained(folder)
