"""The base of all diffusion transformers that are read, not sampled from: one forward pass on a real picture or clip.

A picture is a clip of one frame. A family is one file, found by its name: that of the folder in which diffusers keeps
the family's pipelines (``diffusers.pipelines.flux`` is read by ``flux.py``), with the class as ``FAMILY``. A family
outside of groundkit is an entry point of the group ``groundkit.families`` with that name. It says what cannot be known
in general:

>>> class StableDiffusion3Model(DiffusionModel):
...     pipelines = ("StableDiffusion3Pipeline",)   # classes that model_index.json may name; the first one loads it
...     max_tokens = 256
...     clips = False                               # its autoencoder takes single pictures
...     def layers(self, transformer):              # modules that make one attention call of patches and words each
...         return blocks_of(transformer, "transformer_blocks")
...     def run(self, noisy, text, options):        # one forward pass; latents (B, C, f, rows, columns) go in
...         return self.pipeline.transformer(hidden_states=noisy[:, :, 0], ...)

and ``compression``, ``patch`` and ``native_size``. The order of its joint attention is ``text_first`` or not; where the
tokenizer's words are only a part of the text (SD3's T5 tokens stand after CLIP's), ``encode_text`` returns their
``columns``. A family whose ``run`` takes several rows says ``batched = True``. The shared tests run over every family
in ``tests/tiny/diffusion``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import diffusers
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from groundkit import clock
from groundkit.attention.between import Across
from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.attention.select import select_layers
from groundkit.batches import in_batches
from groundkit.exclusive import exclusive
from groundkit.media.resize import resize
from groundkit.models.diffusion.loading import drop_float64, load_pipeline
from groundkit.models.locate import DIFFUSION, Located, locate
from groundkit.models.offload import refuse_offloaded, stage_of
from groundkit.models.options import LoadOptions, ReadOptions

ENCODER_BYTES = 2**30
"""The largest tensor of the encoder's first stage; above it the autoencoder works in tiles."""

_LIVE_VALUES = 24
"""For the size of a batch: how many times a transformer's hidden state of one token is alive at once, at most."""

Frames = npt.NDArray[np.uint8]
"""A clip, uint8 ``(F, height, width, 3)`` RGB; a picture has one frame."""


@dataclass(frozen=True)
class EncodedClip:
    """Clean latents of a clip.

    Attributes:
        latents: float32 ``(1, C, f, rows, columns)``, on the CPU.
        grid: of its patches, (t, h, w), and which frames each of the t slices shows.
    """

    latents: Tensor
    grid: TokenGrid

    def __post_init__(self) -> None:
        if self.latents.ndim != 5 or len(self.latents) != 1:
            raise ValueError(f"latents must be (1, C, f, rows, columns), got {tuple(self.latents.shape)}")
        if len(self.grid.frames) != self.grid.shape[0]:
            raise ValueError(f"the grid must name the frames of {self.grid.shape[0]} slices, got {self.grid.frames}")


@dataclass(frozen=True)
class Text:
    """A text as the transformer takes it.

    Attributes:
        states: ``(B, S, width)``, for a batch of B, padding included if the family was trained to see some.
        columns: which of the S are the T tokens of the model's ``tokenizer``.
        pooled: the pooled vector ``(B, width)`` of a family that has one.
    """

    states: Tensor
    columns: slice
    pooled: Tensor | None = None

    @classmethod
    def together(cls, texts: Sequence[Text]) -> Text:
        """Texts of one length as the rows of one."""
        pooled = [text.pooled for text in texts if text.pooled is not None]
        states = torch.cat([text.states for text in texts])
        return cls(states, texts[0].columns, torch.cat(pooled) if pooled else None)

    @property
    def tokens(self) -> int:
        """T."""
        return len(range(self.states.shape[1])[self.columns])


class DiffusionModel(ABC):
    """A diffusion pipeline that is read, not sampled from.

    Attributes:
        name: the hub id or folder it came from.
        tokenizer: the tokenizer whose tokens are the text columns.
        layer_names: every layer in which patches look at words, first to last.
        size: height and width at whose area pictures are encoded; the model's own by default.
        offload: whether its parts take turns on the GPU.
        pipelines: classes that ``model_index.json`` of such a checkpoint names; the first one loads it.
        max_tokens: how many text tokens the model was made for.
        clips: whether it looks at clips; otherwise at single pictures, and its autoencoder takes pixels without time.
        joint: whether words and patches are one sequence; otherwise words are the keys of a cross-attention.
        text_first: whether words stand before the patches in that sequence.
        encoded_frames: how many frames the autoencoder encodes at a time; None for all of a clip.
        encoder_channels: numbers for each pixel in its encoder's first stage.
        text_encoder: the pipeline's part that makes the states of the text columns.
        row_by_row: whether attention is computed for each row of a batch by itself.
        batched: whether ``run`` takes several latents and texts of one length at once.
    """

    pipelines: ClassVar[tuple[str, ...]]
    max_tokens: ClassVar[int]
    clips: ClassVar[bool] = True
    joint: ClassVar[bool] = True
    text_first: ClassVar[bool] = False
    encoded_frames: ClassVar[int | None] = None
    encoder_channels: ClassVar[int] = 128
    text_encoder: ClassVar[str] = "text_encoder"
    row_by_row: ClassVar[bool] = False
    batched: ClassVar[bool] = False

    def __init__(self, pipeline: Any, name: str, device: torch.device) -> None:
        self.pipeline = pipeline
        self.name = name
        self.device = device
        self.size = self.native_size()
        self.tokenizer = pipeline.tokenizer
        self.offload = False
        self.layer_names = tuple(self.layers(pipeline.transformer))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} on {self.device}, {str(self.dtype).removeprefix('torch.')}>"

    @classmethod
    def from_pretrained(cls, source: str | Path | Located, options: LoadOptions | None = None) -> Self:
        """Load autoencoder, text encoders, transformer and scheduler.

        Args:
            source: a hub id, a folder in the pipeline's layout, or what ``locate`` found there.
            options: where it goes, and which files are read.

        Raises:
            ModelError: with one line that says what is missing or refused, and what to do.
            ConfigError: offloading without a GPU.
        """
        options = options or LoadOptions()
        located = source if isinstance(source, Located) else locate(source, DIFFUSION, options)
        pipeline = load_pipeline(getattr(diffusers, cls.pipelines[0]), located, options)
        model = cls(pipeline, options.name or str(located.source), options.device)
        if options.offload:
            model.offload = True
            stage_of(options.device).lock_with(model)
        return model

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.pipeline.transformer.dtype
        return dtype

    @exclusive
    def to(self, device: torch.device) -> None:
        """Move all parts to a device.

        Raises:
            ConfigError: they move by themselves.
        """
        refuse_offloaded(self.offload)
        if device.type == "mps":
            drop_float64(self.pipeline)
        self.pipeline.to(device)
        self.device = device

    @property
    @abstractmethod
    def compression(self) -> tuple[int, int]:
        """How many frames, and how many pixels a side, one latent shows."""

    @property
    @abstractmethod
    def patch(self) -> tuple[int, int]:
        """How many latents one patch holds: in time, and a side."""

    @abstractmethod
    def native_size(self) -> tuple[int, int]:
        """Height and width of the pictures that the model was made for."""

    @abstractmethod
    def layers(self, transformer: Any) -> dict[str, nn.Module]:
        """The modules that each make one attention call of patches and words, in the order they run."""

    @abstractmethod
    def run(self, noisy: Tensor, text: Text, options: ReadOptions) -> object:
        """One forward pass of the transformer on latents ``(B, C, f, rows, columns)`` of a noise level.

        B is 1, or of a family that is ``batched`` also more; ``text`` then has as many rows.
        """

    def transformer(self, noise_level: float) -> Any:
        """The transformer that was trained for a noise level."""
        return self.pipeline.transformer

    def latents_of(self, pixels: Tensor) -> Tensor:
        """Latents ``(1, C, f, rows, columns)`` as the transformer takes them; pixels ``(1, 3, F, ...)`` in [-1, 1].

        Shifted and scaled, as in most families; the others say how their channels are normalised.
        """
        vae = self.pipeline.vae
        latents: Tensor = vae.encode(pixels if self.clips else pixels[:, :, 0]).latent_dist.mean
        shift = vae.config.get("shift_factor")
        scaled: Tensor = (latents if shift is None else latents - shift) * vae.config.scaling_factor
        return scaled if self.clips else scaled.unsqueeze(2)

    def text_states(self, ids: list[int]) -> Tensor:
        """States ``(1, T, width)`` of one piece of text."""
        states: Tensor = self.pipeline.text_encoder(torch.tensor([ids], device=self.device))[0]
        return states

    def states_of(self, output: Any) -> Tensor:
        """What the pipeline's own call takes of its text encoder's output, ``(B, S, width)``."""
        states: Tensor = output[0]
        return states

    def patch_grid(self, call: Mapping[str, Any]) -> TokenGrid:
        """The patches' grid in the pipeline's own call of its transformer, by the call's arguments."""
        (slices, side), (frames, rows, columns) = self.patch, call["hidden_states"].shape[2:]
        return TokenGrid((frames // slices, rows // side, columns // side))

    def places(self, patches: int, states: int) -> tuple[int, int]:
        """Where texts of ``states`` columns, and patches, begin in the sequence."""
        return (0, states) if self.text_first else (patches if self.joint else 0, 0)

    def noise(self, latents: Tensor, seed: int) -> Tensor:
        """Noise in the shape of latents."""
        return torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32)

    def noised(self, clean: Tensor, noise: Tensor, noise_level: float) -> Tensor:
        """Flow matching: x_s = (1 - s) x_0 + s eps."""
        return torch.lerp(clean, noise, noise_level)

    def timestep(self, noise_level: float) -> Tensor:
        """``(1,)``, what the transformer is told of the noise level; where sigmas are inverted it counts backwards."""
        config = self.pipeline.scheduler.config
        level = 1 - noise_level if config.get("invert_sigmas") else noise_level
        return torch.tensor([level * config.num_train_timesteps], dtype=torch.float32, device=self.device)

    def clip_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which pictures are encoded: the model's own area, their own shape, whole patches."""
        return fit_size(height, width, area=self.size[0] * self.size[1], step=self.compression[1] * self.patch[1])

    def clip_length(self, frames: int) -> int:
        """The largest number of frames, up to ``frames``, that fills whole patches; else the smallest there is."""
        if not self.clips:
            return 1
        step = self.compression[0] * self.patch[0]
        return max(1, (frames + self.compression[0] - 1) // step) * step - self.compression[0] + 1

    @exclusive
    @torch.inference_mode()
    def encode(self, frames: Frames) -> EncodedClip:
        """Encode a picture or a clip. The last frame is repeated until whole patches are full.

        Every autoencoder of clips here is causal and keeps the first frame to itself: with a compression of c frames,
        slice 0 of the latents shows frame 0, and slice k shows frames c (k - 1) + 1 to c k.
        """
        count = len(frames)
        height, width = self.clip_size(*frames.shape[1:3])
        resized = [resize(frame, height, width) for frame in frames]
        while self.clip_length(len(resized)) != len(resized):
            resized.append(resized[-1])
        pixels = torch.from_numpy(np.stack(resized)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        self.tile_large(len(resized), height, width)
        with clock.part("VAE", passes=1):
            latents = self.latents_of(pixels.to(self.device, self.pipeline.vae.dtype)).float().cpu()
        (slices, side), sizes = self.patch, latents.shape[2:]
        shape = (sizes[0] // slices, sizes[1] // side, sizes[2] // side)
        # A patch of several slices ends where the last of them does, and begins where the patch before it ended.
        ends = [self.compression[0] * (slices * (index + 1) - 1) + 1 for index in range(shape[0])]
        shown = tuple(range(min(a, count), min(b, count)) for a, b in zip([0, *ends], ends, strict=False))
        return EncodedClip(latents, TokenGrid(shape, frames=shown))

    def tile_large(self, frames: int, height: int, width: int) -> None:
        """Let the autoencoder work in overlapping tiles where a tensor of its first stage would be too large.

        Several such tensors are alive at a time. Tiles leave every latent where it is; at seams they are blended.
        """
        vae = self.pipeline.vae
        at_once = frames if self.encoded_frames is None else min(frames, self.encoded_frames)
        if at_once * height * width * self.encoder_channels * vae.dtype.itemsize > ENCODER_BYTES:
            vae.enable_tiling()
        else:
            vae.disable_tiling()

    @exclusive
    @torch.inference_mode()
    def encode_text(self, pieces: Sequence[Sequence[int]], plain: str) -> Text:
        """Encode token ids; each piece is encoded on its own, and all are laid end to end.

        ``plain`` is the phrase without magnets, for the pooled vector of a family that has one.
        """
        states = torch.cat([self.text_states(list(ids)) for ids in pieces], dim=1)
        return Text(states, slice(0, states.shape[1]))

    @exclusive
    @torch.inference_mode()
    def read_attention(self, clip: EncodedClip, text: Text, options: ReadOptions | None = None) -> AttentionMaps:
        """Noise a picture or clip to one level, run the transformer once, and read the attention to and from the words.

        Args:
            clip: of F frames.
            text: of T tokens.
            options: which attention is read, and at which noise.

        Returns:
            Maps of T tokens, which are numbered, on the clip's grid.

        Raises:
            ConfigError: a layer or head that does not exist, or words that look at nothing.
            AttentionError: a layer whose attention could not be read.
        """
        options = options or ReadOptions()
        return self.read_each(clip, [(text, options.seed)], options)[0]

    @exclusive
    @torch.inference_mode()
    def read_each(
        self, clip: EncodedClip, items: Sequence[tuple[Text, int]], options: ReadOptions
    ) -> list[AttentionMaps]:
        """The same for several texts of one length, each with a seed of its noise, in as few passes as memory allows.

        Raises:
            OutOfMemoryError: memory does not suffice for one of them.
        """
        config = self.pipeline.transformer.config
        tokens = clip.grid.size + items[0][0].states.shape[1]
        width = config.num_attention_heads * config.attention_head_dim if self.batched else 0
        return in_batches(
            items,
            lambda batch: self._pass(clip, batch, options),
            limit=options.batch_size if self.batched else 1,
            device=self.device,
            item_bytes=_LIVE_VALUES * tokens * width * self.dtype.itemsize,
        )

    def _pass(self, clip: EncodedClip, items: Sequence[tuple[Text, int]], options: ReadOptions) -> list[AttentionMaps]:
        text = Text.together([text for text, _ in items])
        available = self.layers(self.transformer(options.noise_level))
        patches, states = clip.grid.size, text.states.shape[1]
        words_start, patches_start = self.places(patches, states)
        words = range(words_start, words_start + states)[text.columns]
        noises = torch.cat([self.noise(clip.latents, seed) for _, seed in items])
        noisy = self.noised(clip.latents, noises, options.noise_level)
        noisy = noisy.to(self.device, self.dtype)
        across = Across(
            {name: available[name] for name in select_layers(self.layer_names, options.layers)},
            words=slice(words.start, words.stop),
            patches=slice(patches_start, patches_start + patches),
            grid=clip.grid,
            heads=options.heads,
            direction=options.direction,
            joint=self.joint,
            keep_heads=options.keep_heads,
            stop=True,
        )
        with across.tap, clock.part("transformer", passes=1, tokens=len(items) * (patches + states)):
            self.run(noisy, text, options)
        return [across.maps(row=row) for row in range(len(items))]


def fit_size(height: int, width: int, *, area: float, step: int) -> tuple[int, int]:
    """Height and width in whole steps, of about an area and of a picture's own shape.

    A strip longer than any model ever saw is squeezed: 8:1 keeps the long side below three sides of a square of that
    area.
    """
    scale = (area / (height * width)) ** 0.5
    longest = round((8 * area) ** 0.5 / step) * step
    rows, columns = (min(longest, max(step, round(side * scale / step) * step)) for side in (height, width))
    return rows, columns


def blocks_of(transformer: Any, *lists: str) -> dict[str, nn.Module]:
    """The blocks in the named lists of a transformer, as ``transformer_blocks.0`` and so on, in the order they run."""
    return {f"{name}.{index}": block for name in lists for index, block in enumerate(getattr(transformer, name))}


def normalised(latents: Tensor, config: Any) -> Tensor:
    """Latents ``(1, C, f, rows, columns)`` less their channels' means, over their deviations, as configured."""
    mean, deviation = (
        torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1, 1)
        for values in (config.latents_mean, config.latents_std)
    )
    return (latents - mean) / deviation
