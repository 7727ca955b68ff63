from pathlib import Path

from tiny_chat import TEXT, tokenizer
from transformers import (
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    SiglipImageProcessor,
    SiglipVisionConfig,
)


def save(folder: Path) -> None:
    """PaliGemma with 6 x 6 image tokens of 14 pixels, and no chat template."""
    words = tokenizer(("<image>",), extra_special_tokens={"image_token": "<image>"})
    side = 84
    images = SiglipImageProcessor(size={"height": side, "width": side})
    images.image_seq_length = 36
    PaliGemmaProcessor(images, words).save_pretrained(folder)  # adds its words for places to the tokenizer
    PaliGemmaForConditionalGeneration(
        PaliGemmaConfig(
            vision_config=SiglipVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=14,
                vision_use_head=False,
            ),
            text_config=GemmaConfig(vocab_size=len(words), head_dim=8, **TEXT),
            image_token_index=words.image_token_id,
            projection_dim=TEXT["hidden_size"],
            hidden_size=TEXT["hidden_size"],
        )
    ).save_pretrained(folder)
