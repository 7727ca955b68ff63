"""Read a checkpoint of the ``segment-anything`` package; its tensors tell the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from groundkit.errors import ModelError

# The one number that no tensor shows. Every published SAM has it.
DECODER_HEADS = 8


@dataclass(frozen=True)
class SamArchitecture:
    """Everything that building a SAM takes, under the names of ``segment_anything.modeling``."""

    image_size: int
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_dim: int
    window_size: int
    global_attn_indexes: tuple[int, ...]
    prompt_embed_dim: int
    mask_in_chans: int
    num_multimask_outputs: int
    decoder_depth: int
    decoder_mlp_dim: int
    attention_downsample_rate: int
    iou_head_depth: int
    iou_head_hidden_dim: int


def read_sam_checkpoint(path: str | Path) -> Sam:
    """Load a ``.pth`` of any SAM size (ViT-B, L, H and others) in float32 on the CPU, without running code from it.

    Raises:
        ModelError: the file is missing, unreadable, not a file of tensors, or not a SAM.
    """
    try:
        # mmap would spare a copy, but fails on the older file format that some checkpoints still have.
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; give a SAM checkpoint (.pth) or a model folder") from error
    except IsADirectoryError as error:
        raise ModelError(f"{path}: this is a folder; give the .pth file in it") from error
    except PermissionError as error:
        raise ModelError(f"{path}: no permission to read it; change the file's permissions") from error
    # Nearly anything can come out of unpickling a file that is something else, or half of itself.
    except Exception as error:
        raise ModelError(f"{path}: not a file of tensors, or a damaged one; download the checkpoint again") from error

    not_a_sam = f"{path}: not a checkpoint of segment-anything; give one such as sam_vit_b_01ec64.pth"
    tensors = _unwrap(tensors)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ModelError(not_a_sam)
    if any(name.startswith("image_encoder.trunk.") for name in tensors):
        raise ModelError(
            f"{path}: a checkpoint of SAM 2, not of SAM; as the tracker of a video, give facebook/sam2.1-hiera-tiny, "
            "and here a SAM such as sam_vit_b_01ec64.pth"
        )
    try:
        model = build_sam(infer_architecture(tensors))
        missing = sorted(set(model.state_dict()) - set(tensors))
        if missing:
            raise ModelError(
                f"{path}: the weights lack {len(missing)} of a SAM's tensors, such as {missing[0]}; "
                "copy or download the checkpoint again"
            )
        model.load_state_dict(tensors, assign=True)
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError(not_a_sam) from error
    return model.float()


def _unwrap(saved: Any) -> Any:
    """The tensors in what training loops save: ``{"model": ...}``, and names that data parallelism opens with."""
    for key in ("model", "state_dict", "model_state_dict"):
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            saved = saved[key]
    if isinstance(saved, dict) and saved and all(str(name).startswith("module.") for name in saved):
        return {name.removeprefix("module."): tensor for name, tensor in saved.items()}
    return saved


def infer_architecture(tensors: Mapping[str, torch.Tensor]) -> SamArchitecture:
    """Read the architecture off the tensors' shapes.

    A block's relative-position table has ``2 s - 1`` rows of one head's width, where s is the side of the area it
    attends to: the whole grid in a global block, the window in the others.

    Raises:
        KeyError, IndexError, ValueError: the tensors are not those of a SAM.
    """
    embed_dim, _, patch_size, _ = tensors["image_encoder.patch_embed.proj.weight"].shape
    grid = tensors["image_encoder.pos_embed"].shape[1]
    depth = _count(tensors, "image_encoder.blocks.")
    tables = [tensors[f"image_encoder.blocks.{block}.attn.rel_pos_h"] for block in range(depth)]
    sides = [(len(table) + 1) // 2 for table in tables]
    windows = set(sides) - {grid}
    if len(windows) > 1:
        raise ValueError(f"blocks attend to windows of several sizes: {sorted(windows)}")

    prompt_embed_dim = tensors["image_encoder.neck.0.weight"].shape[0]
    decoder_layer = "mask_decoder.transformer.layers.0"
    return SamArchitecture(
        image_size=grid * patch_size,
        patch_size=patch_size,
        embed_dim=embed_dim,
        depth=depth,
        num_heads=embed_dim // tables[0].shape[1],
        mlp_dim=tensors["image_encoder.blocks.0.mlp.lin1.weight"].shape[0],
        window_size=windows.pop() if windows else 0,
        global_attn_indexes=tuple(block for block, side in enumerate(sides) if side == grid),
        prompt_embed_dim=prompt_embed_dim,
        mask_in_chans=tensors["prompt_encoder.mask_downscaling.3.weight"].shape[0],
        num_multimask_outputs=len(tensors["mask_decoder.mask_tokens.weight"]) - 1,
        decoder_depth=_count(tensors, "mask_decoder.transformer.layers."),
        decoder_mlp_dim=len(tensors[f"{decoder_layer}.mlp.lin1.weight"]),
        attention_downsample_rate=prompt_embed_dim
        // len(tensors[f"{decoder_layer}.cross_attn_token_to_image.q_proj.weight"]),
        iou_head_depth=_count(tensors, "mask_decoder.iou_prediction_head.layers."),
        iou_head_hidden_dim=len(tensors["mask_decoder.iou_prediction_head.layers.0.weight"]),
    )


def build_sam(architecture: SamArchitecture) -> Sam:
    """Build the model without memory for its weights: they are to be assigned from a checkpoint."""
    grid = architecture.image_size // architecture.patch_size
    with torch.device("meta"):
        image_encoder = ImageEncoderViT(
            img_size=architecture.image_size,
            patch_size=architecture.patch_size,
            embed_dim=architecture.embed_dim,
            depth=architecture.depth,
            num_heads=architecture.num_heads,
            # The encoder truncates embed_dim * ratio; half a unit keeps rounding from costing a whole one.
            mlp_ratio=(architecture.mlp_dim + 0.5) / architecture.embed_dim,
            out_chans=architecture.prompt_embed_dim,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=architecture.window_size,
            global_attn_indexes=architecture.global_attn_indexes,
        )
        prompt_encoder = PromptEncoder(
            embed_dim=architecture.prompt_embed_dim,
            image_embedding_size=(grid, grid),
            input_image_size=(architecture.image_size, architecture.image_size),
            mask_in_chans=architecture.mask_in_chans,
        )
        mask_decoder = MaskDecoder(
            transformer_dim=architecture.prompt_embed_dim,
            transformer=TwoWayTransformer(
                depth=architecture.decoder_depth,
                embedding_dim=architecture.prompt_embed_dim,
                num_heads=DECODER_HEADS,
                mlp_dim=architecture.decoder_mlp_dim,
                attention_downsample_rate=architecture.attention_downsample_rate,
            ),
            num_multimask_outputs=architecture.num_multimask_outputs,
            iou_head_depth=architecture.iou_head_depth,
            iou_head_hidden_dim=architecture.iou_head_hidden_dim,
        )
    return Sam(image_encoder, prompt_encoder, mask_decoder)


def _count(tensors: Mapping[str, torch.Tensor], prefix: str) -> int:
    """How many numbered children there are under ``prefix``."""
    return len({name.removeprefix(prefix).split(".")[0] for name in tensors if name.startswith(prefix)})
