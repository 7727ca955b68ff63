from pathlib import Path

from tiny_chat import save_qwen
from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor, Qwen3VLVideoProcessor


def save(folder: Path) -> None:
    """Qwen3-VL with a token for each 16 pixels, and features of two layers added to them on the way."""
    vision = {
        "depth": 3,
        "intermediate_size": 64,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    save_qwen(
        folder,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
        vision,
        head_dim=8,
    )
