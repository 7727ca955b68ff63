"""A user's script over all of the public interface; type checkers read it (``test_user_script.py``)."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import groundkit


def main(photos: list[Path]) -> int:
    pipeline = groundkit.load("refam", device="cpu", config={"evidence": False})
    one: groundkit.Grounding = pipeline(photos[0], "the red cup")
    phrases: list[groundkit.Grounding] = pipeline(photos[0], ["the red cup", "the bear"], seed=3)
    pictures: list[groundkit.Grounding] = pipeline(photos, "the red cup")
    table: list[list[groundkit.Grounding]] = pipeline(photos, ("the red cup", "the bear"))

    for outcome in pipeline(photos, "the red cup", on_error="return", progress=print, cancel=lambda: False):
        print(outcome.error if isinstance(outcome, groundkit.Failure) else outcome.scores.max())
    with pipeline.with_config(noise_level=0.5) as noisy:
        print(noisy.to("cpu").device.type, noisy(photos[0], "the red cup", config={"layers": "late"}).settings)

    mask: npt.NDArray[np.bool_] = one.mask
    heat: npt.NDArray[np.float32] = one.heatmap
    alpha: npt.NDArray[np.uint8] = one.cutout()[..., 3]
    files: list[Path] = one.save("out", formats=("png", "overlay"))
    where = {found.phrase: found.boxes.tolist() for found in phrases}

    listing: groundkit.Discovery = groundkit.load("vlsam").discover(photos[0])
    together: groundkit.Grounding = groundkit.load("ensemble")(photos[0], "the red cup")
    print(one, listing, together, where, len(pictures), len(table), files)
    return int(mask.sum()) + int(heat.size) + int(alpha.max())


def trace(pipe: Any) -> npt.NDArray[np.float32]:
    with groundkit.trace(pipe, layers="late") as traced:
        pipe("a red cup", num_inference_steps=4)
    whole: npt.NDArray[np.float32] = traced.of(picture=0)["cup"].mean_layers().numpy()
    steps = [maps["cup"].numpy() for maps in traced.steps()]
    return np.concatenate([whole, *steps])


def follow(clip: Path) -> list[float]:
    pipeline = groundkit.load("vlsam")
    found: groundkit.VideoGrounding = groundkit.follow(clip, "the red cup", pipeline=pipeline, progress=True)
    both: list[groundkit.VideoGrounding] = groundkit.follow(clip, ["the red cup", "the bear"], stride=2, cancel=None)
    masks: list[npt.NDArray[np.bool_]] = [frame.mask for frame in found.frames]
    return [float(mask.mean()) for mask in masks] + [each.seconds for each in both]
