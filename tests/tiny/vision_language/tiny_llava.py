from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)


def save(folder: Path) -> None:
    """LLaVA-1.5 with 6 x 6 image tokens of 14 pixels."""
    words = tokenizer(("<image>",))
    side = 84
    LlavaProcessor(
        CLIPImageProcessor(
            size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_center_crop=True
        ),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template("<image>"),
    ).save_pretrained(folder)
    LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=14,
            ),
            text_config=LlamaConfig(vocab_size=len(words), **TEXT),
            image_token_id=words.convert_tokens_to_ids("<image>"),
        )
    ).save_pretrained(folder)
