"""What every video diffusion transformer offers to a pipeline that reads where a clip looks for the words of a phrase.

A family (one file each) adds what cannot be known in general: where words and patches stand in its attention, how much
of the clip one patch shows, how its text encoder is fed, and how its noise is counted.

Every autoencoder here is causal and keeps the first frame to itself: with a compression of c frames, slice 0 of the
latents shows frame 0, and slice k shows frames c (k - 1) + 1 to c k.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from groundkit.attention.between import read_across
from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.exclusive import exclusive
from groundkit.media.resize import resize
from groundkit.models.diffusion.base import AttentionDirection, fit_size, select_layers
from groundkit.models.diffusion.loading import load_pipeline
from groundkit.models.offload import stage_of

ENCODER_BYTES = 2**30
"""The largest tensor of the encoder's first stage; above it the autoencoder works in tiles."""

Clip = npt.NDArray[np.uint8]
"""Frames of a video, uint8 ``(F, height, width, 3)`` RGB."""


@dataclass(frozen=True)
class EncodedClip:
    """Clean latents of a clip.

    Attributes:
        latents: float32 ``(1, C, f, rows, columns)``, on the CPU.
        grid: (t, h, w) of its patches.
        covers: for each of the t slices, which frames of the clip it shows.
    """

    latents: Tensor
    grid: tuple[int, int, int]
    covers: tuple[range, ...]

    def __post_init__(self) -> None:
        if self.latents.ndim != 5 or len(self.latents) != 1:
            raise ValueError(f"latents must be (1, C, f, rows, columns), got {tuple(self.latents.shape)}")
        if len(self.covers) != self.grid[0]:
            raise ValueError(f"covers must name the frames of {self.grid[0]} slices, got {len(self.covers)}")


@dataclass(frozen=True)
class ClipText:
    """Text states ``(1, S, width)``: those of T tokens, then padding, if the family was trained to see some.

    ``pooled`` is the pooled vector ``(1, width)`` of a family that has one.
    """

    states: Tensor
    tokens: int
    pooled: Tensor | None = None


class VideoDiffusionModel(ABC):
    """A video diffusion pipeline that is read, not sampled from.

    Attributes:
        name: the hub id or folder it came from.
        tokenizer: the tokenizer whose tokens are the text columns.
        layer_names: every layer in which patches look at words, first to last.
        size: height and width of the videos that the model was made for; clips are encoded at that area.
        pipeline_class: the class of diffusers that loads it.
        pipeline_names: classes that ``model_index.json`` of such a checkpoint names.
        max_tokens: how many text tokens the model was made for.
        joint: whether words and patches are one sequence; otherwise words are the keys of a cross-attention.
        text_first: whether words stand before the patches in that sequence.
        encoded_frames: how many frames the autoencoder encodes at a time; None for all of a clip.
        encoder_channels: numbers for each pixel in its encoder's first stage.
    """

    pipeline_class: ClassVar[Any]
    pipeline_names: ClassVar[tuple[str, ...]]
    max_tokens: ClassVar[int]
    joint: ClassVar[bool] = True
    text_first: ClassVar[bool] = False
    encoded_frames: ClassVar[int | None] = None
    encoder_channels: ClassVar[int] = 128

    def __init__(self, pipeline: Any, name: str, device: torch.device, size: tuple[int, int]) -> None:
        self.pipeline = pipeline
        self.name = name
        self.device = device
        self.size = size
        self.tokenizer = pipeline.tokenizer
        self.layer_names = tuple(self._layers(pipeline.transformer))

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
        size: tuple[int, int] | None = None,
    ) -> Self:
        """Load autoencoder, text encoders, transformer and scheduler from a hub id or a folder.

        ``name`` is what results call the model, its source by default. ``offload`` keeps each part in main memory until
        it runs (needs a GPU). ``size`` is the height and width at whose area clips are encoded, the model's own by
        default.

        Raises:
            ModelError: with one line that says what is missing or refused, and what to do.
            ConfigError: offloading without a GPU.
        """
        device = torch.device(device)
        pipeline = load_pipeline(
            cls.pipeline_class,
            source,
            device=device,
            dtype=dtype,
            offload=offload,
            revision=revision,
            variant=variant,
            local_files_only=local_files_only,
        )
        model = cls(pipeline, name or str(source), device, size or cls._native_size(pipeline))
        if offload:
            stage_of(device).lock_with(model)
        return model

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.pipeline.transformer.dtype
        return dtype

    @property
    @abstractmethod
    def compression(self) -> tuple[int, int]:
        """How many frames, and how many pixels a side, one latent shows."""

    @property
    @abstractmethod
    def patch(self) -> tuple[int, int]:
        """How many latents one patch holds: in time, and a side."""

    @classmethod
    @abstractmethod
    def _native_size(cls, pipeline: Any) -> tuple[int, int]:
        """Height and width of the videos that the model was made for."""

    @abstractmethod
    def _layers(self, transformer: Any) -> dict[str, nn.Module]:
        """The modules that each make one attention call of patches to words, in the order they run."""

    def _encode(self, pixels: Tensor) -> Tensor:
        """Latents ``(1, C, f, rows, columns)`` as the transformer takes them; pixels ``(1, 3, F, ...)`` in [-1, 1].

        Scaled, as in most families; the others say how their channels are normalised.
        """
        vae = self.pipeline.vae
        latents: Tensor = vae.encode(pixels).latent_dist.mean * vae.config.scaling_factor
        return latents

    @abstractmethod
    def _run(self, noisy: Tensor, text: ClipText, noise_level: float, guidance: float) -> object:
        """One forward pass of the transformer on latents ``(1, C, f, rows, columns)`` of that noise level."""

    def _tile_large(self, frames: int, height: int, width: int) -> None:
        """Let the autoencoder work in overlapping tiles where a tensor of its first stage would be too large.

        Several such tensors are alive at a time. Tiles leave every latent where it is; at seams they are blended.
        """
        vae = self.pipeline.vae
        at_once = frames if self.encoded_frames is None else min(frames, self.encoded_frames)
        if at_once * height * width * self.encoder_channels * vae.dtype.itemsize > ENCODER_BYTES:
            vae.enable_tiling()
        else:
            vae.disable_tiling()

    def clip_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which a clip is encoded: the model's own area, the clip's own shape, whole patches."""
        step = self.compression[1] * self.patch[1]
        return fit_size(height, width, area=self.size[0] * self.size[1], step=step)

    def clip_length(self, frames: int) -> int:
        """The largest number of frames, up to ``frames``, that fills whole patches; else the smallest there is."""
        step = self.compression[0] * self.patch[0]
        return max(1, (frames + self.compression[0] - 1) // step) * step - self.compression[0] + 1

    @exclusive
    @torch.inference_mode()
    def encode_clip(self, frames: Clip) -> EncodedClip:
        """Encode frames, uint8 ``(F, height, width, 3)`` RGB. The last one is repeated until whole patches are full."""
        count = len(frames)
        height, width = self.clip_size(*frames.shape[1:3])
        resized = [resize(frame, height, width) for frame in frames]
        while self.clip_length(len(resized)) != len(resized):
            resized.append(resized[-1])
        pixels = torch.from_numpy(np.stack(resized)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        self._tile_large(len(resized), height, width)
        latents = self._encode(pixels.to(self.device, self.pipeline.vae.dtype)).float().cpu()
        (slices, side), sizes = self.patch, latents.shape[2:]
        grid = (sizes[0] // slices, sizes[1] // side, sizes[2] // side)
        # A patch of several slices ends where the last of them does, and begins where the patch before it ended.
        ends = [self.compression[0] * (slices * (index + 1) - 1) + 1 for index in range(grid[0])]
        covers = tuple(range(min(a, count), min(b, count)) for a, b in zip([0, *ends], ends, strict=False))
        return EncodedClip(latents, grid, covers)

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> ClipText:
        """Encode token ids; each piece is encoded on its own, and all are laid end to end.

        ``plain`` is the phrase without magnets, for the pooled vector of a family that has one.
        """
        states = torch.cat([self._encode_piece(list(ids)) for ids in pieces], dim=1)
        return ClipText(states, states.shape[1])

    def _encode_piece(self, ids: list[int]) -> Tensor:
        """Text states ``(1, T, width)``."""
        states: Tensor = self.pipeline.text_encoder(torch.tensor([ids], device=self.device))[0]
        return states

    @exclusive
    @torch.inference_mode()
    def read_attention(
        self,
        clip: EncodedClip,
        text: ClipText,
        *,
        noise_level: float,
        seed: int,
        layers: str,
        heads: Sequence[int] | None = None,
        direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT,
        guidance: float = 3.5,
    ) -> AttentionMaps:
        """Noise the clip to one level, run the transformer once, and read the attention between words and clip.

        Args:
            clip: of F frames.
            text: of T tokens.
            noise_level: s, the share of noise: its weight divided by the sum of the weights of clip and noise.
            seed: of the noise.
            layers: which layers, see :func:`~groundkit.models.diffusion.base.select_layers`.
            heads: indices of the heads that are averaged; all of them by default.
            direction: patches looking at words, or words looking at patches.
            guidance: guidance value of guidance-distilled models.

        Returns:
            Maps on a grid of (t, h, w).

        Raises:
            ConfigError: a layer or head that does not exist, or words that look at nothing.
            AttentionError: a layer whose attention could not be read.
        """
        available = self._layers(self._transformer(noise_level))
        t, h, w = clip.grid
        patches, states = t * h * w, text.states.shape[1]
        words_start, patches_start = (0, states) if self.text_first else (patches if self.joint else 0, 0)
        noise = torch.randn(clip.latents.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)
        noisy = self._noised(clip.latents, noise, noise_level).to(self.device, self.dtype)
        return read_across(
            {name: available[name] for name in select_layers(self.layer_names, layers)},
            lambda: self._run(noisy, text, noise_level, guidance),
            words=slice(words_start, words_start + text.tokens),
            patches=slice(patches_start, patches_start + patches),
            grid=TokenGrid(clip.grid, frames=clip.covers),
            heads=heads,
            direction=direction,
            joint=self.joint,
        )

    def _transformer(self, noise_level: float) -> Any:
        """The transformer that was trained for a noise level."""
        return self.pipeline.transformer

    def _noised(self, clean: Tensor, noise: Tensor, noise_level: float) -> Tensor:
        """Flow matching: x_s = (1 - s) x_0 + s eps."""
        return torch.lerp(clean, noise, noise_level)

    def _timestep(self, noise_level: float) -> Tensor:
        """``(1,)``, what the transformer is told of the noise level; where sigmas are inverted it counts backwards."""
        config = self.pipeline.scheduler.config
        level = 1 - noise_level if config.get("invert_sigmas") else noise_level
        return torch.tensor([level * config.num_train_timesteps], dtype=torch.float32, device=self.device)


def normalised(latents: Tensor, config: Any) -> Tensor:
    """Latents ``(1, C, f, rows, columns)`` less their channels' means, over their deviations, as configured."""
    mean, deviation = (
        torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1, 1)
        for values in (config.latents_mean, config.latents_std)
    )
    return (latents - mean) / deviation
