from pathlib import Path

import torch
from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    Qwen2Config,
    SiglipVisionConfig,
)


def save(folder: Path) -> None:
    """LLaVA-OneVision with squares of 4 x 4 tokens of 14 pixels and 4 pixels left over.

    Of the frame of a wide picture the model leaves padding out; that of a tall one keeps it, and is shrunk.
    """
    words = tokenizer(("<image>", "<video>"))
    image, video = words.convert_tokens_to_ids(["<image>", "<video>"])
    side, patches = 60, 4
    frames = [[side, side], [2 * side, 2 * side], [3 * side, 2 * side]]
    LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size={"height": side, "width": side}, image_grid_pinpoints=frames),
        words,
        LlavaOnevisionVideoProcessor(size={"height": side, "width": side}),
        num_image_tokens=patches**2,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_3",
        chat_template=chat_template("<image>"),
    ).save_pretrained(folder)
    model = LlavaOnevisionForConditionalGeneration(
        LlavaOnevisionConfig(
            vision_config=SiglipVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=14,
                vision_use_head=False,
            ),
            text_config=Qwen2Config(vocab_size=len(words), **TEXT),
            image_token_index=image,
            video_token_index=video,
            image_grid_pinpoints=frames,
            vision_aspect_ratio="anyres_max_3",
        )
    )
    with torch.no_grad():  # without training it might answer with a token of a picture
        model.lm_head.weight[[image, video]] = 0.0
    model.save_pretrained(folder)
