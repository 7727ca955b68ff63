from pathlib import Path

from tiny_chat import save_qwen
from transformers import Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor, Qwen2VLVideoProcessor


def save(folder: Path) -> None:
    """Qwen2-VL with a token for each 16 pixels, which are 2 x 2 patches."""
    vision = {"depth": 2, "embed_dim": 32}
    save_qwen(folder, Qwen2VLConfig, Qwen2VLForConditionalGeneration, Qwen2VLProcessor, Qwen2VLVideoProcessor, vision)
