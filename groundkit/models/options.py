"""How a model is loaded, and how its attention is read."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from groundkit.attention.choices import AttentionDirection, Flow, HeadWeights, Regulariser
from groundkit.batches import BatchSize


@dataclass(frozen=True)
class LoadOptions:
    """Where a model goes, and which of its files are read.

    Attributes:
        name: what results and messages call the model; by default its source.
        device: where it runs.
        dtype: in which type it computes.
        offload: keep in main memory whatever part does not run (needs a GPU).
        revision: branch, tag or commit on the Hub.
        variant: of the weight files, such as ``fp16``.
        local_files_only: never ask the Hub.
        batch_size: how much goes through the model at once, see :func:`~groundkit.batches.in_batches`.
    """

    name: str | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    offload: bool = False
    revision: str | None = None
    variant: str | None = None
    local_files_only: bool = False
    batch_size: BatchSize = "auto"


@dataclass(frozen=True)
class ReadOptions:
    """Which attention of a diffusion model is read, and at which noise.

    Attributes:
        layers: which layers, see :func:`~groundkit.attention.select.select_layers`.
        heads: indices of the heads; None for all of them.
        direction: patches looking at words, or words looking at patches.
        noise_level: s, the share of noise: its weight divided by the sum of the weights of picture and noise.
        guidance: guidance value of guidance-distilled models.
        seed: of the noise.
        keep_heads: keep every head by itself instead of their mean.
        batch_size: how much goes through the model at once, see :func:`~groundkit.batches.in_batches`.
    """

    layers: str = "all"
    heads: tuple[int, ...] | None = None
    direction: AttentionDirection = AttentionDirection.IMAGE_TO_TEXT
    noise_level: float = 0.3
    guidance: float = 3.5
    seed: int = 0
    keep_heads: bool = False
    batch_size: BatchSize = "auto"


@dataclass(frozen=True)
class FlowOptions:
    """How a vision-language model's attention is followed from its words back to the picture.

    Attributes:
        layers: which layers, see :func:`~groundkit.attention.select.select_layers`.
        heads: indices of the heads; None for all of them.
        weights: how much each head counts, VL-SAM's equation 1.
        flow: how the layers are joined, equation 3.
        regulariser: where the columns are damped; None for the end of a flow, and nowhere else.
        batch_size: how much goes through the model at once, see :func:`~groundkit.batches.in_batches`.
    """

    layers: str = "all"
    heads: tuple[int, ...] | None = None
    weights: HeadWeights = HeadWeights.MAX
    flow: Flow = Flow.FLOW
    regulariser: Regulariser | None = None
    batch_size: BatchSize = "auto"
