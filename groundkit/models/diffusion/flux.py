"""FLUX.1: where its words and patches stand in the joint sequence, and one forward pass on a real picture.

The joint sequence is [text, image]; text columns are T5 tokens. T5 is given the tokens alone: the pipeline's padding to
512 is not masked, so that PAD tokens would soak up the very attention that magnets are there to catch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from diffusers import FluxPipeline

from groundkit.attention.between import read_across
from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.exclusive import exclusive
from groundkit.media.resize import resize
from groundkit.models.diffusion.base import (
    AttentionDirection,
    EncodedImage,
    EncodedText,
    blocks_of,
    fit_size,
    select_layers,
)
from groundkit.models.diffusion.loading import load_pipeline
from groundkit.models.offload import stage_of

PATCH = 2  # FLUX packs 2x2 latents into one token


class FluxModel:
    """A FLUX.1 pipeline (dev, schnell, Krea, or any other of its class) that is read, not sampled from.

    Attributes:
        name: the hub id or folder it came from.
        tokenizer: the T5 tokenizer whose tokens are the text columns.
        max_tokens: how many text tokens the model was made for.
        layer_names: every layer with joint attention, first to last.
        offload: whether its parts take turns on the GPU.
    """

    max_tokens = 512
    offload = False

    def __init__(self, pipeline: FluxPipeline, name: str, device: torch.device) -> None:
        self.name = name
        self.device = device
        self.pipeline = pipeline
        self.tokenizer = pipeline.tokenizer_2
        self._layers = blocks_of(pipeline.transformer, "transformer_blocks", "single_transformer_blocks")
        self.layer_names = tuple(self._layers)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        name: str | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        offload: bool = False,
        revision: str | None = None,
        variant: str | None = None,
        local_files_only: bool = False,
    ) -> FluxModel:
        """Load VAE, CLIP, T5, transformer and scheduler from a hub id or a folder in the pipeline's layout.

        ``name`` is what results call the model, its source by default. ``offload`` keeps each part in main memory until
        it runs (needs a GPU).

        Raises:
            ModelError: with one line that says what is missing or refused, and what to do.
        """
        device = torch.device(device)
        pipeline = load_pipeline(
            FluxPipeline,
            source,
            device=device,
            dtype=dtype,
            offload=offload,
            revision=revision,
            variant=variant,
            local_files_only=local_files_only,
        )
        model = cls(pipeline, name or str(source), device)
        if offload:
            model.offload = True
            stage_of(device).lock_with(model)
        return model

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.pipeline.transformer.dtype
        return dtype

    def image_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which a picture is encoded: the model's own area, its own shape, whole patches."""
        area = self.pipeline.vae.config.sample_size**2
        return fit_size(height, width, area=area, step=self.pipeline.vae_scale_factor * PATCH)

    @exclusive
    @torch.inference_mode()
    def encode_image(self, image: npt.NDArray[np.uint8]) -> EncodedImage:
        """Encode an RGB picture, uint8 ``(height, width, 3)``, to clean tokens ``(1, P, channels)``."""
        height, width = self.image_size(*image.shape[:2])
        pixels = torch.from_numpy(resize(image, height, width)).permute(2, 0, 1)[None]
        vae = self.pipeline.vae
        latents = vae.encode((pixels.float() / 127.5 - 1).to(self.device, vae.dtype)).latent_dist.mean
        latents = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        rows, columns = latents.shape[2] // PATCH, latents.shape[3] // PATCH
        tokens = FluxPipeline._pack_latents(latents, 1, latents.shape[1], *latents.shape[2:])
        return EncodedImage(tokens=tokens.float().cpu(), grid=(rows, columns))

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> EncodedText:
        """Encode T5 token ids without padding; each piece is encoded on its own, and all are laid end to end.

        ``plain`` is the phrase without magnets, for the pooled CLIP vector.
        """
        encoder = self.pipeline.text_encoder_2
        states = [encoder(torch.tensor([list(ids)], device=self.device))[0] for ids in pieces]
        clip = self.pipeline.tokenizer(
            plain,
            padding="max_length",
            max_length=self.pipeline.tokenizer_max_length,
            truncation=True,
            return_tensors="pt",
        )
        pooled = self.pipeline.text_encoder(clip.input_ids.to(self.device)).pooler_output
        return EncodedText(states=torch.cat(states, dim=1), pooled=pooled)

    @exclusive
    @torch.inference_mode()
    def read_attention(
        self,
        image: EncodedImage,
        text: EncodedText,
        *,
        noise_level: float,
        seed: int,
        layers: str,
        heads: Sequence[int] | None = None,
        direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT,
        guidance: float = 3.5,
    ) -> AttentionMaps:
        """Noise the picture to one level, run the transformer once, and read the attention between words and picture.

        x_s = (1 - s) x_0 + s eps, with eps drawn from ``seed``.

        Args:
            layers: which layers, see :func:`select_layers`.
            heads: indices of the heads that are averaged; all of them by default.

        Raises:
            ConfigError: a layer or head that does not exist.
            AttentionError: a layer whose attention could not be read.
        """
        names = select_layers(self.layer_names, layers)
        tokens, patches = text.states.shape[1], image.tokens.shape[1]
        rows, columns = image.grid
        noise = torch.randn(image.tokens.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        noisy = torch.lerp(image.tokens, noise, noise_level).to(self.device, self.dtype)
        transformer = self.pipeline.transformer
        strength = torch.tensor([guidance], dtype=torch.float32, device=self.device)
        return read_across(
            {name: self._layers[name] for name in names},
            lambda: transformer(
                hidden_states=noisy,
                encoder_hidden_states=text.states.to(self.dtype),
                pooled_projections=text.pooled.to(self.dtype),
                timestep=torch.tensor([noise_level], device=self.device, dtype=self.dtype),
                guidance=strength if transformer.config.guidance_embeds else None,
                img_ids=FluxPipeline._prepare_latent_image_ids(1, rows, columns, self.device, self.dtype),
                txt_ids=torch.zeros(tokens, 3, device=self.device, dtype=self.dtype),
                return_dict=False,
            ),
            words=slice(0, tokens),
            patches=slice(tokens, tokens + patches),
            grid=TokenGrid(image.grid),
            heads=heads,
            direction=direction,
        )
