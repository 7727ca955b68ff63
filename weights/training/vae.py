"""Train nano's autoencoder: 8x8 pixels to 8 values, from scenes alone.

python -m groundkit.weights.training.vae --emoji ... --cutouts ... --backgrounds ... --steps 900 --output runs/vae
"""

import time

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import avg_pool2d

from groundkit.weights.training.optimisers import autocast, rate_factor, set_rate
from groundkit.weights.training.scenes import FULL
from groundkit.weights.training.sources import argument_parser, scene_maker

CROP, BATCH, POOL = 64, 48, 1500
RATE = 3e-3
KL_WEIGHT = 1e-5  # keeps the latent smooth: a diffusion transformer must predict it
# Colour first: what a phrase names is the mean colour of an area before it is any detail. Photographs hardly vary
# between green and magenta, and absolute errors of red, green and blue alone leave that axis out of the latent.
COLOUR_WEIGHT = 5.0
OPPONENT = ((1 / 3, 1 / 3, 1 / 3), (1.5, 0.0, -1.5), (-0.8, 1.6, -0.8))  # brightness, red - blue, green - magenta


def build() -> AutoencoderKL:
    """The untrained autoencoder: FLUX's class and factor (8), a tenth of its width, 8 latent channels."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=1,
        norm_num_groups=1,  # more groups would take the mean colour of a picture away
        latent_channels=8,
        sample_size=256,
        use_quant_conv=False,
        use_post_quant_conv=False,
        mid_block_add_attention=False,
    )


def reconstruction_loss(decoded: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute error of pixels, and mean squared error of the brightness and hue of each 8x8 pixels."""
    error = decoded - pixels
    areas = torch.einsum("oc,bchw->bohw", torch.tensor(OPPONENT), avg_pool2d(error, 8))
    return error.abs().mean(), areas.square().mean()


def main() -> None:
    arguments = argument_parser("Train nano's autoencoder.", "runs/vae").parse_args()
    torch.manual_seed(arguments.seed)
    rng = np.random.default_rng(arguments.seed)
    maker = scene_maker(arguments)
    pool = [maker.scene(10_000_000 + i, FULL).image for i in range(POOL)]
    vae = build().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)

    def batch() -> Tensor:
        crops = []
        for index in rng.integers(POOL, size=BATCH):
            y, x = rng.integers(0, FULL.size - CROP + 1, 2)
            crops.append(pool[index][y : y + CROP, x : x + CROP])
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 127.5 - 1

    started = time.time()
    for step in range(arguments.steps):
        set_rate([optimiser], RATE * rate_factor(step, arguments.steps, warm_up=50, decay=arguments.steps * 2 // 3))
        pixels = batch().to(memory_format=torch.channels_last)
        with autocast():
            posterior = vae.encode(pixels).latent_dist
            decoded = vae.decode(posterior.sample()).sample
        detail, colour = reconstruction_loss(decoded.float(), pixels)
        divergence = posterior.kl().mean() / posterior.mean[0].numel()
        vae.zero_grad()
        torch.autograd.backward(detail + COLOUR_WEIGHT * colour + KL_WEIGHT * divergence)
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        if step % 25 == 0:
            figures = f"detail {detail.item():.4f}  colour {colour.item():.4f}  kl {divergence.item():.2f}"
            print(f"step {step}  {figures}  {time.time() - started:.0f} s", flush=True)

    with torch.no_grad():  # FLUX's shift and scale bring the latent to mean 0 and deviation 1
        means = torch.cat([vae.encode(batch()).latent_dist.mean for _ in range(16)])
        samples = torch.from_numpy(np.stack(pool[:8])).permute(0, 3, 1, 2).float() / 127.5 - 1
        decoded = vae.decode(vae.encode(samples).latent_dist.mean).sample
    vae.register_to_config(shift_factor=means.mean().item(), scaling_factor=1.0 / means.std().item())
    print(f"latent deviation per channel: {[round(v, 3) for v in means.std(dim=(0, 2, 3)).tolist()]}")
    vae.save_pretrained(arguments.output)
    rows = [torch.cat(list(part), dim=2) for part in (samples, decoded)]
    sheet = (torch.cat(rows, dim=1).clamp(-1, 1) + 1).mul(127.5).permute(1, 2, 0).byte().numpy()
    cv2.imwrite(str(arguments.output / "reconstructions.png"), sheet[..., ::-1])


if __name__ == "__main__":
    main()
