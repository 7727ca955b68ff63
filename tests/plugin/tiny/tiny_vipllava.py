from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaProcessor,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)


def save(folder: Path) -> None:
    """ViP-LLaVA with 6 x 6 image tokens of 14 pixels."""
    words = tokenizer(("<image>",))
    side = 84
    LlavaProcessor(
        CLIPImageProcessor(size={"height": side, "width": side}, do_center_crop=False),
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template("<image>"),
    ).save_pretrained(folder)
    VipLlavaForConditionalGeneration(
        VipLlavaConfig(
            vision_config=CLIPVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=14,
            ),
            text_config=LlamaConfig(vocab_size=len(words), **TEXT),
            image_token_index=words.convert_tokens_to_ids("<image>"),
            vision_feature_layers=(-2, -1),
        )
    ).save_pretrained(folder)
