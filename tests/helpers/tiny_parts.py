"""What the tiny diffusion models of the tests share: tokenizers, text encoders, and weights that do something."""

import string
from typing import TypeVar

import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5Tokenizer

from groundkit.language.words import STOP_WORDS

TEXT_WIDTH = POOLED_WIDTH = 32
# Each of these is one token; all other words are spelled letter by letter.
WORDS = (
    "red blue green pink yellow cup ball hat dog cat car bird book lemon laptop left right top bottom middle small "
    "large smallest largest photo picture scene there"
)
Model = TypeVar("Model", bound=nn.Module)


def t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer (Unigram with word-start marks): a word of ``WORDS`` is one piece, others are spelled."""
    characters = string.ascii_letters + string.digits + string.punctuation
    words = sorted({word for word in (*STOP_WORDS, *WORDS.split()) if word.isalpha()})
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.0)]
    pieces += [(f"▁{word}", -2.0) for word in words]
    pieces += [(character, -8.0) for character in characters]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def clip_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer whose words are single characters."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*characters, *(f"{character}</w>" for character in characters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[], model_max_length=77)


def t5_encoder(vocabulary: int) -> T5EncoderModel:
    """A T5 encoder in which a token's state comes from that token more than from the others."""
    encoder = T5EncoderModel(
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
    with torch.no_grad():
        for block in encoder.encoder.block:
            block.layer[0].SelfAttention.o.weight *= 0.1
    return encoder


def clip_settings(vocabulary: int, width: int = POOLED_WIDTH) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
    )


def clip_text_encoder(vocabulary: int) -> CLIPTextModel:
    return CLIPTextModel(clip_settings(vocabulary))


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
