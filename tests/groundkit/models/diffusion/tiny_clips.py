"""What the tiny video diffusion models of the tests share: a text encoder, and weights that do something."""

from typing import TypeVar

import torch
from torch import nn
from transformers import T5Config, T5EncoderModel

TEXT_WIDTH = 32
Model = TypeVar("Model", bound=nn.Module)


def t5_encoder(vocabulary: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=TEXT_WIDTH,
            d_kv=16,
            d_ff=64,
            num_layers=2,
            num_heads=2,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def wake(model: Model) -> Model:
    """Positions, gates and scales that begin at nought would prove nothing."""
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.2)
    return model


def focus(vae: Model) -> Model:
    """An untrained autoencoder scatters what it sees; here each kernel looks straight ahead: at the middle in space, at
    the newest frame in time. Strides, folds and the order of frames are as they are."""
    with torch.no_grad():
        for name, parameter in vae.encoder.named_parameters():  # type: ignore[union-attr]
            if parameter.ndim > 3:
                kept = torch.zeros_like(parameter)
                ahead = (..., parameter.shape[-2] // 2, parameter.shape[-1] // 2)
                if parameter.ndim == 5:
                    ahead = (slice(None), slice(None), -1, *ahead[1:])
                kept[ahead] = parameter[ahead]
                parameter.copy_(kept)
            if parameter.ndim > 1 and ("resnet" in name or "attention" in name):
                parameter *= 0.1
    return vae
