"""A CLIP of the real class that is small enough for tests."""

import json
import string
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer


def save(folder: Path) -> CLIPModel:
    """A whole CLIP whose tokens are letters, each one within a word and one that ends it."""
    folder.mkdir()
    pieces = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    pieces += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: index for index, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    end = len(pieces) - 1
    text = {"vocab_size": len(pieces), "max_position_embeddings": 24, "projection_dim": 16}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**size, **text, "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end},
        vision_config={**size, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    model = CLIPModel(config).eval()
    with torch.no_grad():  # as they are initialised, all texts are nearly alike
        for parameter in model.text_model.parameters():
            parameter.mul_(4)
    model.save_pretrained(folder)
    return model
