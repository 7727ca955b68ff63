from pathlib import Path

from tiny_chat import save_qwen
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLVideoProcessor,
)


def save(folder: Path) -> None:
    """Qwen2.5-VL with a token for each 16 pixels, windows of 2 x 2 tokens in its first layer and none in its second."""
    vision = {
        "depth": 2,
        "intermediate_size": 64,
        "window_size": 32,
        "fullatt_block_indexes": [1],
        "out_hidden_size": 32,
    }
    save_qwen(
        folder, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Qwen2VLVideoProcessor, vision
    )
