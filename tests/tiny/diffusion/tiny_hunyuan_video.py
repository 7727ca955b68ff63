"""A tiny HunyuanVideo."""

from pathlib import Path

from diffusers import (
    AutoencoderKLHunyuanVideo,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideoPipeline,
    HunyuanVideoTransformer3DModel,
)
from tiny_parts import POOLED_WIDTH, TEXT_WIDTH, clip_text_encoder, clip_tokenizer, focus, wake
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaModel, PreTrainedTokenizerFast

SPECIAL = ["<|pad|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<unk>"]


def tokenizer() -> PreTrainedTokenizerFast:
    words = [*SPECIAL, "the", "red", "blue", "cup", "with", "a", "pink", "_", "thing", "system", "user", "video"]
    built = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    built.pre_tokenizer = pre_tokenizers.Whitespace()
    built.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=built,
        pad_token="<|pad|>",
        bos_token="<|begin_of_text|>",
        unk_token="<unk>",
        additional_special_tokens=SPECIAL[2:5],
        padding_side="right",
    )


def save(folder: Path) -> None:
    words, clip = tokenizer(), clip_tokenizer()
    llama = LlamaConfig(
        vocab_size=len(words),
        hidden_size=TEXT_WIDTH,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=2,
        pad_token_id=0,
    )
    vae = AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
    )
    transformer = HunyuanVideoTransformer3DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_single_layers=1,
        num_refiner_layers=1,
        text_embed_dim=TEXT_WIDTH,
        pooled_projection_dim=POOLED_WIDTH,
        rope_axes_dim=(4, 6, 6),
    )
    HunyuanVideoPipeline(
        text_encoder=LlamaModel(llama),
        tokenizer=words,
        transformer=wake(transformer),
        vae=focus(vae),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=7.0),
        text_encoder_2=clip_text_encoder(len(clip)),
        tokenizer_2=clip,
    ).save_pretrained(folder)
