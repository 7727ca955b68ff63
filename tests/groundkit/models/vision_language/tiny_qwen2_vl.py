from pathlib import Path

import torch
from tiny import TEXT, chat_template, tokenizer
from transformers import (
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)


def save(folder: Path) -> None:
    """Qwen2-VL with a token for each 16 pixels, which are 2 x 2 patches."""
    special = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    words = tokenizer(special)
    start, end, image, video = words.convert_tokens_to_ids(list(special))
    Qwen2VLProcessor(
        Qwen2VLImageProcessor(patch_size=8),
        words,
        Qwen2VLVideoProcessor(patch_size=8),
        chat_template=chat_template("<|vision_start|><|image_pad|><|vision_end|>"),
    ).save_pretrained(folder)
    model = Qwen2VLForConditionalGeneration(
        Qwen2VLConfig(
            vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8},
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
