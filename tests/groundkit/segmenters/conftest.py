"""Tiny SAMs of the real class, as folders and as checkpoints of the original package."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SamConfig, SamImageProcessor, SamModel

# From the names of transformers to those of segment-anything, in this order.
ORIGINAL_NAMES = [
    (r"^vision_encoder\.layers\.", "image_encoder.blocks."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"patch_embed\.projection", "patch_embed.proj"),
    (r"neck\.conv1", "neck.0"),
    (r"neck\.layer_norm1", "neck.1"),
    (r"neck\.conv2", "neck.2"),
    (r"neck\.layer_norm2", "neck.3"),
    (r"mask_embed\.conv1", "mask_downscaling.0"),
    (r"mask_embed\.layer_norm1", "mask_downscaling.1"),
    (r"mask_embed\.conv2", "mask_downscaling.3"),
    (r"mask_embed\.layer_norm2", "mask_downscaling.4"),
    (r"mask_embed\.conv3", "mask_downscaling.6"),
    (r"shared_embedding\.positional_embedding", "pe_layer.positional_encoding_gaussian_matrix"),
    (r"\.point_embed\.", ".point_embeddings."),
    (r"upscale_conv1", "output_upscaling.0"),
    (r"upscale_layer_norm", "output_upscaling.1"),
    (r"upscale_conv2", "output_upscaling.3"),
    (r"layer_norm", "norm"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_out", r"\1.layers.2"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.layers\.0", r"\1.layers.1"),
    (r"(iou_prediction_head|output_hypernetworks_mlps\.\d+)\.proj_in", r"\1.layers.0"),
]


@pytest.fixture(autouse=True, scope="module")
def computes_with_one_thread(one_thread: None) -> None:
    pass


@pytest.fixture(scope="session")
def make_sam() -> Callable[..., SamModel]:
    """Build a SAM with random weights that react to the picture and to the points."""

    def make(image_size: int = 64, patch_size: int = 8, window_size: int = 3, width: int = 32) -> SamModel:
        torch.manual_seed(0)
        config = SamConfig(
            vision_config={
                "hidden_size": width,
                "mlp_dim": 2 * width + 1,
                "output_channels": 16,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "image_size": image_size,
                "patch_size": patch_size,
                "window_size": window_size,
                "global_attn_indexes": [1],
                "num_pos_feats": 8,
            },
            prompt_encoder_config={
                "hidden_size": 16,
                "image_size": image_size,
                "patch_size": patch_size,
                "mask_input_channels": 8,
            },
            # The original leaves the decoder's norms at PyTorch's epsilon.
            mask_decoder_config={
                "hidden_size": 16,
                "mlp_dim": 24,
                "num_attention_heads": 8,
                "iou_head_hidden_dim": 12,
                "layer_norm_eps": 1e-5,
            },
        )
        model = SamModel(config).eval()
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
            elif parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5)
            else:
                torch.nn.init.normal_(parameter, std=0.1)
        for point in model.prompt_encoder.point_embed:
            torch.nn.init.normal_(point.weight)
        torch.nn.init.normal_(model.shared_image_embedding.positional_embedding)
        return model

    return make


@pytest.fixture(scope="session")
def save_sam(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SamModel], Path]:
    """Save a SAM the way the Hub holds it: config, weights, and the processor's settings."""

    def save(model: SamModel) -> Path:
        folder = tmp_path_factory.mktemp("sam")
        model.save_pretrained(folder)
        side = model.config.vision_config.image_size
        SamImageProcessor(size={"longest_edge": side}, pad_size={"height": side, "width": side}).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def save_original_sam(tmp_path_factory: pytest.TempPathFactory) -> Callable[[SamModel], Path]:
    """Save the same weights as a checkpoint of segment-anything."""

    def save(model: SamModel) -> Path:
        path = tmp_path_factory.mktemp("original") / "sam.pth"
        torch.save(original_state_dict(model), path)
        return path

    return save


@pytest.fixture(scope="session")
def sam(make_sam: Callable[..., SamModel]) -> SamModel:
    return make_sam()


@pytest.fixture(scope="session")
def sam_folder(sam: SamModel, save_sam: Callable[[SamModel], Path]) -> Path:
    return save_sam(sam)


@pytest.fixture(scope="session")
def sam_checkpoint(sam: SamModel, save_original_sam: Callable[[SamModel], Path]) -> Path:
    return save_original_sam(sam)


@pytest.fixture(scope="session")
def make_picture() -> Callable[[int, int], np.ndarray]:
    """Draw a smooth random picture, uint8 ``(height, width, 3)``."""

    def make(height: int, width: int) -> np.ndarray:
        noise = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(height * 1000 + width)) * 255
        smooth = torch.nn.functional.interpolate(noise, (height, width), mode="bicubic", align_corners=True)
        return smooth[0].clamp(0, 255).round().byte().permute(1, 2, 0).contiguous().numpy()

    return make


def original_state_dict(model: SamModel) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "shared_image_embedding.positional_embedding":
            continue
        for pattern, replacement in ORIGINAL_NAMES:
            name = re.sub(pattern, replacement, name)
        tensors[name] = tensor.clone()
    return tensors
