"""A tiny Mochi."""

from pathlib import Path

from diffusers import AutoencoderKLMochi, FlowMatchEulerDiscreteScheduler, MochiPipeline, MochiTransformer3DModel
from tiny_parts import TEXT_WIDTH, focus, t5_encoder, t5_tokenizer, wake


def save(folder: Path) -> None:
    tokenizer = t5_tokenizer()
    vae = AutoencoderKLMochi(
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        layers_per_block=(1, 1, 1, 1, 1),
    )
    transformer = MochiTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=3,
        pooled_projection_dim=16,
        text_embed_dim=TEXT_WIDTH,
        time_embed_dim=8,
        max_sequence_length=64,
    )
    MochiPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(invert_sigmas=True),
        vae=focus(vae),
        text_encoder=t5_encoder(len(tokenizer)),
        tokenizer=tokenizer,
        transformer=wake(transformer),
    ).save_pretrained(folder)
