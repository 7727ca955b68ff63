"""Train nano's segmenter: points to masks, on scenes with exact masks and on photographs with masks.

python -m groundkit.weights.training.sam --emoji ... --cutouts ... --backgrounds ... --steps 8000 --output runs/sam

Each encoded picture answers several prompts. Of SAM's three masks only the best learns, and its score learns the IoU,
as in Segment Anything (Kirillov et al. 2023, section A). Then each prompt is asked again with the mask that was found,
half of them with a box too, so that masks are prompts. A run that is stopped goes on from its last checkpoint.
"""

import copy
import json
import time
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
import torchvision
from PIL import Image
from torch import Tensor, nn
from transformers import SamConfig, SamImageProcessor, SamModel, SamProcessor
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig, SamPromptEncoderConfig, SamVisionConfig

from groundkit.weights.training.optimisers import build_optimisers, move_average, rate_factor, set_rate, take_step
from groundkit.weights.training.saving import resume, save
from groundkit.weights.training.scenes import FULL, SceneMaker
from groundkit.weights.training.sources import argument_parser, scene_maker
from groundkit.weights.training.sprites import HELD_OUT

SIZE, PATCH, LOW_RESOLUTION = 256, 8, 128
ENCODER, DECODER = 192, 128
WINDOW, GLOBAL_LAYERS = 8, [2, 5]  # patches; the other layers attend within windows
IMAGES, PROMPTS = 4, 8
WARM_UP = 100
SHARPNESS = 2.5
POOL, NEW_SCENES = 8000, 2
PHOTOGRAPHS = 0.15
FIRST_SEED = 50_000_000

Pixels = npt.NDArray[np.uint8]
Owners = npt.NDArray[np.int16]


def build() -> SamModel:
    """SAM's class at 256x256 pixels, untrained, in patches of 8 pixels: half the size of SAM's, as pictures are small.

    The random frequencies that encode places have SAM's own deviation 1 and stay as they are: with the deviation that
    transformers would draw (half the width) a point would look like no patch at all. The decoder starts from PyTorch's
    own initial weights, as SAM's did: under those of transformers prompts hardly reach the masks. Queries and keys
    between points and patches start equal, so that a point attends to its surroundings from the first step.
    """
    model = SamModel(
        SamConfig(
            vision_config=SamVisionConfig(
                hidden_size=ENCODER,
                output_channels=DECODER,
                num_hidden_layers=6,
                num_attention_heads=6,
                image_size=SIZE,
                patch_size=PATCH,
                window_size=WINDOW,
                global_attn_indexes=GLOBAL_LAYERS,
                mlp_dim=4 * ENCODER,
                num_pos_feats=DECODER // 2,
                scale=1.0,
            ),
            prompt_encoder_config=SamPromptEncoderConfig(hidden_size=DECODER, image_size=SIZE, patch_size=PATCH),
            mask_decoder_config=SamMaskDecoderConfig(
                hidden_size=DECODER, mlp_dim=4 * DECODER, num_attention_heads=4, iou_head_hidden_dim=DECODER
            ),
        )
    )
    model.shared_image_embedding.positional_embedding.requires_grad_(False)
    nn.init.normal_(model.vision_encoder.pos_embed, std=0.1)
    for module in [*model.mask_decoder.modules(), *model.prompt_encoder.modules()]:
        if isinstance(module, nn.Linear | nn.ConvTranspose2d | nn.Embedding):
            module.reset_parameters()
    for name, module in model.mask_decoder.named_modules():
        if name.endswith(("attn_token_to_image", "attn_image_to_token")):
            with torch.no_grad():
                module.q_proj.weight.mul_(SHARPNESS)
                module.k_proj.weight.copy_(module.q_proj.weight)
    return model


def fitted(state: dict[str, Tensor], model: SamModel) -> dict[str, Tensor]:
    """The weights of a model of coarser patches, interpolated to the shapes of ``model``."""
    found = {}
    for name, wanted in model.state_dict().items():
        value = state[name]
        if name.endswith("patch_embed.projection.weight"):  # (O, 3, p, p): the same sum over fewer pixels
            shrink = value.shape[-1] / wanted.shape[-1]
            value = F.interpolate(value, size=wanted.shape[-2:], mode="area") * shrink**2
        elif name.endswith("pos_embed"):  # (1, h, w, C)
            planes = value.permute(0, 3, 1, 2)
            value = F.interpolate(planes, size=wanted.shape[1:3], mode="bilinear").permute(0, 2, 3, 1)
        elif "rel_pos" in name and value.shape != wanted.shape:  # (2 n - 1, c): by distance, now in smaller patches
            finer = F.interpolate(value.T[None], size=2 * SIZE // PATCH - 1, mode="linear", align_corners=True)[0].T
            outside = (len(finer) - len(wanted)) // 2
            value = finer[outside : outside + len(wanted)]
        found[name] = value
    return found


def build_processor() -> SamProcessor:
    """The processor that turns any picture into the model's frame."""
    return SamProcessor(
        SamImageProcessor(
            size={"longest_edge": SIZE},
            pad_size={"height": SIZE, "width": SIZE},
            mask_size={"longest_edge": LOW_RESOLUTION},
            mask_pad_size={"height": LOW_RESOLUTION, "width": LOW_RESOLUTION},
        )
    )


def owners_of(masks: list[npt.NDArray[np.bool_]]) -> Owners:
    """Which object each pixel belongs to, -1 for none: int16 ``(height, width)``."""
    owners = np.full(masks[0].shape, -1, dtype=np.int16)
    for index, mask in enumerate(masks):
        owners[mask] = index
    return owners


def photographs(folder: Path) -> list[tuple[Pixels, Owners]]:
    """Photographs with masks, longest side ``SIZE``; masks of one photograph together."""
    by_image: dict[str, list[str]] = {}
    for line in (folder / "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        good = record["mask"] and record.get("pseudo_quality", 1.0) >= 0.83 and record.get("kind") != "drawing"
        if good and record["area_frac"] > 0.01 and Path(record["image"]).stem not in HELD_OUT:
            by_image.setdefault(record["image"], []).append(record["mask"])
    found = []
    for image, masks in by_image.items():
        pixels = Image.open(folder / image).convert("RGB")
        owners = owners_of([np.asarray(Image.open(folder / m).convert("L")) > 127 for m in masks])
        scale = SIZE / max(owners.shape)
        size = (round(owners.shape[1] * scale), round(owners.shape[0] * scale))
        small = cv2.resize(owners, size, interpolation=cv2.INTER_NEAREST)
        found.append((np.asarray(pixels.resize(size, Image.Resampling.LANCZOS)), np.asarray(small, dtype=np.int16)))
    return found


class Prompted:
    """A growing pool of scenes, and batches of pictures with points drawn on their objects."""

    def __init__(self, maker: SceneMaker, records: Path | None, seed: int) -> None:
        self.maker = maker
        self.rng = np.random.default_rng(seed)
        self.photographs = photographs(records) if records else []
        self.pool: list[tuple[Pixels, Owners]] = []
        self.seed = FIRST_SEED + 10_000_000 * (seed % 100)
        self._grow(400)

    def _grow(self, count: int) -> None:
        for _ in range(count):
            scene = self.maker.scene(self.seed, FULL)
            self.seed += 1
            if scene.objects:
                item = (scene.image, owners_of([o.mask for o in scene.objects]))
                if len(self.pool) < POOL:
                    self.pool.append(item)
                else:
                    self.pool[int(self.rng.integers(POOL))] = item

    def _picture(self) -> tuple[Pixels, Owners]:
        if self.photographs and self.rng.random() < PHOTOGRAPHS:
            return self.photographs[self.rng.integers(len(self.photographs))]
        image, owners = self.pool[self.rng.integers(len(self.pool))]
        if self.rng.random() < 0.25:  # other shapes of picture: part of a scene, the rest of the frame is padding
            keep = int(self.rng.integers(SIZE // 2, SIZE))
            cut = (slice(keep), slice(None)) if self.rng.random() < 0.5 else (slice(None), slice(keep))
            image, owners = image[cut], owners[cut]
        if self.rng.random() < 0.5:
            image, owners = image[:, ::-1], owners[:, ::-1]
        return image, owners

    def next(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels ``(B, 3, S, S)``, points ``(B, P, 2, 2)`` x y, labels ``(B, P, 2)``, true masks ``(B, P, s, s)``."""
        self._grow(NEW_SCENES)
        frames = np.zeros((IMAGES, SIZE, SIZE, 3), dtype=np.float32)
        points = np.zeros((IMAGES, PROMPTS, 2, 2), dtype=np.float32)
        labels = np.full((IMAGES, PROMPTS, 2), -10, dtype=np.int64)  # -10: no point
        targets = np.zeros((IMAGES, PROMPTS, LOW_RESOLUTION, LOW_RESOLUTION), dtype=np.float32)
        index = 0
        while index < IMAGES:
            image, owners = self._picture()
            present, areas = np.unique(owners[owners >= 0], return_counts=True)
            present = present[areas > 80]
            if not len(present):
                continue
            height, width = owners.shape
            normal = (image / 255.0 * self.rng.uniform(0.85, 1.15) - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
            frames[index, :height, :width] = normal
            for prompt in range(PROMPTS):
                mask = owners == present[prompt % len(present)]
                y, x = self._pick(mask)
                points[index, prompt, 0], labels[index, prompt, 0] = (x + 0.5, y + 0.5), 1
                if self.rng.random() < 0.2:
                    y, x = self._pick(~mask)
                    points[index, prompt, 1], labels[index, prompt, 1] = (x + 0.5, y + 0.5), 0
                full = np.zeros((SIZE, SIZE), dtype=np.float32)
                full[:height, :width] = mask
                targets[index, prompt] = cv2.resize(full, (LOW_RESOLUTION,) * 2, interpolation=cv2.INTER_AREA)
            index += 1
        pixels = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
        return pixels, torch.from_numpy(points), torch.from_numpy(labels), torch.from_numpy(targets)

    def _pick(self, mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
        places = np.flatnonzero(mask)
        row, column = divmod(int(places[self.rng.integers(len(places))]), mask.shape[1])
        return row, column


def losses(logits: Tensor, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Loss (focal, dice, error of the score), mean IoU and index ``(B, P, 1)`` of the best of each prompt's masks.

    Masks are ``(B, P, C, s, s)``, scores ``(B, P, C)``, the true masks ``(B, P, s, s)``.
    """
    truth = target[:, :, None]
    probability = logits.sigmoid()
    cross = F.binary_cross_entropy_with_logits(logits, truth.expand_as(logits), reduction="none")
    matched = probability * truth + (1 - probability) * (1 - truth)
    focal = (cross * (1 - matched).square()).mean(dim=(-1, -2))
    overlap = (probability * truth).sum(dim=(-1, -2))
    dice = 1 - (2 * overlap + 1) / (probability.sum(dim=(-1, -2)) + truth.sum(dim=(-1, -2)) + 1)
    hard, solid = logits > 0, truth > 0.5
    iou = (hard & solid).sum(dim=(-1, -2)) / (hard | solid).sum(dim=(-1, -2)).clamp_min(1)
    total = 20 * focal + dice
    best = total.argmin(dim=-1, keepdim=True)
    score_error = (scores - iou).square().mean()
    return total.gather(-1, best).mean() + score_error, iou.gather(-1, best).mean(), best


def loose_boxes(target: Tensor) -> Tensor:
    """XYXY boxes in pixels, ``(N, 4)``, of true masks ``(N, s, s)``; each side is off by up to a tenth of the box."""
    boxes: Tensor = torchvision.ops.masks_to_boxes(target > 0.5) + torch.tensor([0.0, 0.0, 1.0, 1.0])
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return ((boxes + sides * (0.2 * torch.rand_like(boxes) - 0.1)) * (SIZE / LOW_RESOLUTION)).clamp(0, SIZE)


def ask_again(
    model: SamModel, embedding: Tensor, points: Tensor, labels: Tensor, masks: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Loss and mean IoU of the single mask that follows points, the masks found ``(B, P, s, s)`` and perhaps boxes."""
    truth = target.flatten(0, 1)
    asked = torch.nonzero((truth > 0.5).any(-1).any(-1))[:, 0]
    out = model(
        image_embeddings=embedding.repeat_interleave(target.shape[1], 0)[asked],
        input_points=points.flatten(0, 1)[asked, None],
        input_labels=labels.flatten(0, 1)[asked, None],
        input_boxes=loose_boxes(truth[asked])[:, None] if torch.rand(()) < 0.5 else None,
        input_masks=masks.flatten(0, 1)[asked, None],
        multimask_output=False,
    )
    loss, iou, _ = losses(out.pred_masks, out.iou_scores, truth[asked, None])
    return loss, iou


def main() -> None:
    parser = argument_parser("Train nano's segmenter.", "runs/sam")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=int, default=0, help="the last steps, in which the rate falls")
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--compile", action="store_true", help="faster after two minutes of compilation")
    parser.add_argument("--start", type=Path, help="an exported model folder to begin with, instead of nothing")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    checkpoint = arguments.output / "checkpoint.pt"
    torch.manual_seed(arguments.seed)
    torch.set_float32_matmul_precision("medium")  # bfloat16 products, where the processor has them
    model = build()
    if arguments.start:
        model.load_state_dict(fitted(SamModel.from_pretrained(arguments.start).state_dict(), model))
    optimisers = build_optimisers(model, arguments.rate, matrices=r"layers\.\d+\.")
    average = copy.deepcopy(model).requires_grad_(False)
    first = resume(checkpoint, optimisers, model=model, average=average)
    encode = torch.compile(model.vision_encoder) if arguments.compile else model.vision_encoder
    data = Prompted(scene_maker(arguments), arguments.cutouts, arguments.seed + first)
    started, reached = time.time(), []
    for step in range(first, arguments.steps):
        factor = rate_factor(step, arguments.steps, warm_up=WARM_UP, decay=arguments.decay)
        set_rate(optimisers, arguments.rate * factor)
        pixels, points, labels, target = data.next()
        embedding = encode(pixels).last_hidden_state
        several = step % 4 != 3  # the single-mask token learns too
        out = model(image_embeddings=embedding, input_points=points, input_labels=labels, multimask_output=several)
        loss, iou, best = losses(out.pred_masks, out.iou_scores, target)
        found = out.pred_masks.detach().take_along_dim(best[..., None, None], 2)[:, :, 0]
        loss_again, iou_again = ask_again(model, embedding, points, labels, found, target)
        model.zero_grad()
        torch.autograd.backward(loss + loss_again)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        take_step(optimisers)
        move_average(average, model, step, keep=0.998, ramp=10)
        reached.append((iou.item(), iou_again.item()))
        if (step + 1) % 50 == 0:
            seconds = (time.time() - started) / (step + 1 - first)
            first_iou, again = np.mean(reached[-50:], axis=0).round(4).tolist()
            record = {"step": step + 1, "loss": round(loss.item(), 4), "iou": first_iou, "asked_again": again}
            print(json.dumps(record | {"seconds": round(seconds, 3)}), flush=True)
        if (step + 1) % arguments.every == 0 or step + 1 == arguments.steps:
            saved = [o.state_dict() for o in optimisers]
            save(checkpoint, step=step + 1, model=model.state_dict(), average=average.state_dict(), optimisers=saved)


if __name__ == "__main__":
    main()
