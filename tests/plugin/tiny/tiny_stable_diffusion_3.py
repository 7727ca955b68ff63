"""A tiny Stable Diffusion 3.5: its first block has a second attention, of the image alone."""

from pathlib import Path

from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
from tiny_parts import POOLED_WIDTH, TEXT_WIDTH, clip_settings, clip_tokenizer, t5_encoder, t5_tokenizer, wake
from transformers import CLIPTextModelWithProjection


def save(folder: Path) -> None:
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    halves = [CLIPTextModelWithProjection(clip_settings(len(clip), TEXT_WIDTH // 2)) for _ in range(2)]
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=16,
        norm_num_groups=1,
        shift_factor=0.1,
        scaling_factor=0.5,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    transformer = SD3Transformer2DModel(
        sample_size=16,
        num_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TEXT_WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=POOLED_WIDTH,
        pos_embed_max_size=24,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )
    StableDiffusion3Pipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae,
        text_encoder=halves[0],
        tokenizer=clip,
        text_encoder_2=halves[1],
        tokenizer_2=clip,
        text_encoder_3=t5_encoder(len(t5)),
        tokenizer_3=t5,
        transformer=wake(transformer),
    ).save_pretrained(folder)
