"""Train nano's autoencoder: 8x8 pixels to 8 values, from scenes alone.

python -m groundkit.weights.training.vae --emoji ... --cutouts ... --backgrounds ... --steps 600 --output runs/vae
"""

import time

import numpy as np
import torch
from diffusers import AutoencoderKL

from groundkit.weights.training.scenes import FULL
from groundkit.weights.training.sources import argument_parser, scene_maker

CROP, BATCH, POOL = 128, 16, 1200
KL_WEIGHT = 3e-4  # keeps the latent smooth: a diffusion transformer must predict it


def build() -> AutoencoderKL:
    """The untrained autoencoder: FLUX's class and factor (8), a tenth of its width, 8 latent channels."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        norm_num_groups=8,
        latent_channels=8,
        sample_size=256,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def main() -> None:
    arguments = argument_parser("Train nano's autoencoder.", "runs/vae").parse_args()
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    maker = scene_maker(arguments)
    pool = [maker.scene(10_000_000 + i, FULL).image for i in range(POOL)]
    vae = build().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=1.5e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=arguments.steps, pct_start=0.08)

    def batch() -> torch.Tensor:
        crops = []
        for index in rng.integers(POOL, size=BATCH):
            y, x = rng.integers(0, FULL.size - CROP + 1, 2)
            crops.append(pool[index][y : y + CROP, x : x + CROP])
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1

    started = time.time()
    for step in range(arguments.steps):
        pixels = batch().to(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(pixels).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        loss = (decoded.float() - pixels).abs().mean() + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0:
            print(f"step {step}  loss {loss.item():.4f}  {time.time() - started:.0f} s", flush=True)

    with torch.no_grad():  # FLUX's shift and scale bring the latent to mean 0 and deviation 1
        means = torch.cat([vae.encode(batch()).latent_dist.mean for _ in range(16)])
    vae.register_to_config(shift_factor=means.mean().item(), scaling_factor=1.0 / means.std().item())
    print(f"latent deviation per channel: {[round(v, 3) for v in means.std(dim=(0, 2, 3)).tolist()]}")
    vae.save_pretrained(arguments.output)


if __name__ == "__main__":
    main()
