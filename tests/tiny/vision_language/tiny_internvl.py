from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    InternVLVisionConfig,
    Qwen2Config,
)


def save(folder: Path, most_tiles: int = 6) -> None:
    """InternVL with 4 x 4 image tokens a view of 56 pixels: 2 x 3 tiles of the wide picture, 3 x 2 of the tall one."""
    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    words = tokenizer(tuple(named.values()), extra_special_tokens=named)
    side = 56
    InternVLProcessor(
        GotOcr2ImageProcessor(size={"height": side, "width": side}, max_patches=most_tiles),
        words,
        InternVLVideoProcessor(size={"height": side, "width": side}),
        image_seq_length=16,
        chat_template=chat_template("<IMG_CONTEXT>"),
    ).save_pretrained(folder)
    InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=InternVLVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=7,
            ),
            text_config=Qwen2Config(vocab_size=len(words), **TEXT),
            image_token_id=words.context_image_token_id,
            image_seq_length=16,
        )
    ).save_pretrained(folder)
