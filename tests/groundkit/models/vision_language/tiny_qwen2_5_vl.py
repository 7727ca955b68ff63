from pathlib import Path

import torch
from tiny import TEXT, chat_template, tokenizer
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)


def save(folder: Path) -> None:
    """Qwen2.5-VL with a token for each 16 pixels, windows of 2 x 2 tokens in its first layer and none in its second."""
    special = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer(special)
    start, end, image, video = words.convert_tokens_to_ids(list(special))
    Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(patch_size=8),
        words,
        Qwen2VLVideoProcessor(patch_size=8),
        chat_template=chat_template("<|vision_start|><|image_pad|><|vision_end|>"),
    ).save_pretrained(folder)
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            vision_config={
                "depth": 2,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "patch_size": 8,
                "window_size": 32,
                "fullatt_block_indexes": [1],
                "out_hidden_size": 32,
            },
            text_config={
                **TEXT,
                "vocab_size": len(words),
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
            },
            image_token_id=image,
            video_token_id=video,
            vision_start_token_id=start,
            vision_end_token_id=end,
        )
    )
    with torch.no_grad():  # without training it might answer with a token of a picture
        model.lm_head.weight[[image, video]] = 0.0
    model.save_pretrained(folder)
