from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    PixtralImageProcessor,
    PixtralProcessor,
    PixtralVisionConfig,
)


def save(folder: Path) -> None:
    """Pixtral: a token for each 16 pixels at up to 10 x 10 of them, and a token that ends each row."""
    words = tokenizer(("[IMG]", "[IMG_BREAK]", "[IMG_END]"))
    side = 160
    PixtralProcessor(
        PixtralImageProcessor(patch_size={"height": 16, "width": 16}, size={"longest_edge": side}),
        words,
        patch_size=16,
        chat_template=chat_template("[IMG]"),
    ).save_pretrained(folder)
    LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=PixtralVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=16,
            ),
            text_config=MistralConfig(vocab_size=len(words), sliding_window=None, **TEXT),
            image_token_id=words.convert_tokens_to_ids("[IMG]"),
            vision_feature_layer=-1,
            vision_feature_select_strategy="full",
        )
    ).save_pretrained(folder)
