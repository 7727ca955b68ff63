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
from torch import Tensor, nn

from groundkit.attention.maps import AttentionMaps
from groundkit.attention.softmax import Heads
from groundkit.attention.tap import AttentionTap, Selection
from groundkit.errors import ConfigError
from groundkit.media.resize import resize
from groundkit.models.diffusion import AttentionDirection, EncodedImage, EncodedText, select_layers
from groundkit.models.loading import check_model_folder, explain_loading_errors

PATCH = 2  # FLUX packs 2x2 latents into one token


class FluxModel:
    """A FLUX.1 pipeline (dev, schnell, Krea, or any other of its class) that is read, not sampled from.

    Attributes:
        name: the hub id or folder it came from.
        tokenizer: the T5 tokenizer whose tokens are the text columns.
        max_tokens: how many text tokens the model was made for.
        layer_names: every layer with joint attention, first to last.
    """

    max_tokens = 512

    def __init__(self, pipeline: FluxPipeline, name: str, device: torch.device) -> None:
        self.name = name
        self.device = device
        self.pipeline = pipeline
        self.tokenizer = pipeline.tokenizer_2
        transformer = pipeline.transformer
        self._layers: dict[str, nn.Module] = {
            **{f"transformer_blocks.{i}": b for i, b in enumerate(transformer.transformer_blocks)},
            **{f"single_transformer_blocks.{i}": b for i, b in enumerate(transformer.single_transformer_blocks)},
        }
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
        check_model_folder(source, "model_index.json")
        device = torch.device(device)
        with explain_loading_errors(source):
            pipeline = FluxPipeline.from_pretrained(
                source, dtype=dtype, revision=revision, variant=variant, local_files_only=local_files_only
            )
        pipeline.set_progress_bar_config(disable=True)
        if offload:
            if device.type == "cpu":
                raise ConfigError("--offload moves parts to a GPU one at a time; on the CPU leave it out")
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
        return cls(pipeline, name or str(source), device)

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.pipeline.transformer.dtype
        return dtype

    def image_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which a picture is encoded: the model's own area, its own shape, whole patches."""
        step = self.pipeline.vae_scale_factor * PATCH
        area = self.pipeline.vae.config.sample_size**2
        scale = (area / (height * width)) ** 0.5
        # A strip longer than the model ever saw is squeezed: 8:1 keeps the long side below three native sides.
        longest = round((8 * area) ** 0.5 / step) * step
        rows, columns = (min(longest, max(step, round(side * scale / step) * step)) for side in (height, width))
        return rows, columns

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
        words, picture = slice(0, tokens), slice(tokens, tokens + patches)
        reduction: Heads = "mean" if heads is None else "all"
        across = (picture, words) if direction is AttentionDirection.IMAGE_TO_TEXT else (words, picture)
        tap = AttentionTap(
            {name: self._layers[name] for name in names},
            {
                "across": Selection(rows=across[0], columns=across[1], heads=reduction),
                "text": Selection(rows=words, columns=words, heads=reduction),
            },
        )
        noise = torch.randn(image.tokens.shape, generator=torch.Generator().manual_seed(seed))
        noisy = torch.lerp(image.tokens, noise, noise_level).to(self.device, self.dtype)
        transformer = self.pipeline.transformer
        with tap:
            transformer(
                hidden_states=noisy,
                encoder_hidden_states=text.states.to(self.dtype),
                pooled_projections=text.pooled.to(self.dtype),
                timestep=torch.tensor([noise_level], device=self.device, dtype=self.dtype),
                guidance=torch.tensor([guidance], device=self.device) if transformer.config.guidance_embeds else None,
                img_ids=FluxPipeline._prepare_latent_image_ids(1, rows, columns, self.device, self.dtype),
                txt_ids=torch.zeros(tokens, 3, device=self.device, dtype=self.dtype),
                return_dict=False,
            )
        across_maps, text_to_text = (_reduce_heads(tap.read(part), heads) for part in ("across", "text"))
        if direction is AttentionDirection.IMAGE_TO_TEXT:
            across_maps = across_maps.transpose(1, 2)
        return AttentionMaps(names, across_maps.reshape(len(names), tokens, rows, columns), text_to_text)


def _reduce_heads(entries: Tensor, heads: Sequence[int] | None) -> Tensor:
    """``(L, 1, R, C)``, or ``(L, 1, H, R, C)`` and a choice of heads, to ``(L, R, C)``."""
    if heads is None:
        return entries[:, 0].cpu()
    available = entries.shape[2]
    if not heads or not all(0 <= head < available for head in heads):
        raise ConfigError(f"heads: this model has heads 0 to {available - 1}, got {list(heads)}")
    return entries[:, 0, list(heads)].mean(dim=1).cpu()
