"""What is timed, in this version and in the earlier one: a function makes a case, and the case is called in rounds.

The same reading is named on both sides by its settings: the earlier version's defaults for the embedded models are this
version's preset ``tuned``; neither weighs evidence. What a case returns is compared between the sides.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[2] / "samples"
WORDS = [
    "the red cup",
    "the red heart",
    "the blue ball",
    "the bear",
    "the hat",
    "the bird",
    "the dog",
    "the cat",
    "the lemon",
]
IS_BEFORE = find_spec("groundkit.clock") is None
DEVICE = os.environ.get("SPEED_DEVICE", "cpu")

Case = Callable[[], Any]


@cache
def pipeline(name: str, **settings: Any) -> Any:
    """A method on the embedded models, as both versions read."""
    import groundkit

    same = {"evidence": False} | ({} if IS_BEFORE or name == "decaf" else {"preset": "tuned"})
    return groundkit.load(name, device=DEVICE, config={**same, **settings})


@cache
def picture(megapixels: float, scene: str = "scene_1.png") -> Any:
    """A sample, enlarged to so many pixels; 0 leaves it as it is."""
    import numpy as np
    from PIL import Image

    with Image.open(SAMPLES / scene) as opened:
        image = opened.convert("RGB")
    if megapixels:
        side = round((megapixels * 1e6) ** 0.5)
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return np.array(image)


def digest(mask: Any) -> str:
    """A short name of a mask's content."""
    import numpy as np

    return hashlib.sha1(np.packbits(mask).tobytes()).hexdigest()[:8]


def phrases(method: str, count: int, megapixels: float = 0) -> Case:
    """So many phrases on one picture, through to their masks."""
    texts = (WORDS * (count // len(WORDS) + 1))[:count]
    grounding, image = pipeline(method), picture(megapixels)
    return lambda: [digest(each.mask) for each in grounding.ground(image, texts)]


def further_phrase(method: str, megapixels: float) -> Case:
    """A further phrase on an open picture."""
    found = pipeline(method).ground(picture(megapixels), ["the red cup"] + ["the red heart", "the red cup"] * 1000)
    next(found)
    return lambda: int(next(found).mask.any())


def discover(megapixels: float = 0) -> Case:
    """Everything in a picture, by the embedded model's own 13 views."""
    # Both versions name these settings' defaults for the embedded model alike.
    import groundkit

    method = groundkit.load("vlsam", device=DEVICE, config={} if IS_BEFORE else {"preset": "tuned"})
    image = picture(megapixels, "scene_2.png")

    def run() -> Any:
        found = method.discover(image)
        return [list(found.labels), [digest(mask) for mask in found.masks]]

    return run


def not_a_model(method: str, megapixels: float = 0.25) -> Case:
    """A warm phrase, of which a run tells the seconds outside of the models' own forward passes."""
    import time

    grounding, image = pipeline(method), picture(megapixels)
    inside = [0.0]
    for module in models_of(grounding):
        started: list[float] = []
        module.register_forward_pre_hook(lambda *_, started=started: started.append(time.perf_counter()))

        def leave(*_: Any, started: list[float] = started) -> None:
            inside[0] += time.perf_counter() - started.pop()

        module.register_forward_hook(leave, always_call=True)

    def run() -> float:
        inside[0], begun = 0.0, time.perf_counter()
        next(iter(grounding.ground(image, ["the red cup"])))
        return time.perf_counter() - begun - inside[0]

    return run


def models_of(grounding: Any) -> list[Any]:
    """The modules whose forward passes are the models' own, none inside another."""
    sam = grounding.segmenter.model
    modules = [sam.vision_encoder, sam.prompt_encoder, sam.mask_decoder]
    if hasattr(grounding, "diffusion"):
        parts = grounding.diffusion.pipeline
        return [*modules, parts.transformer, parts.vae.encoder, parts.text_encoder, parts.text_encoder_2]
    model = grounding.vlm.model
    return [*modules, model.model.vision_tower, model.get_decoder(), model.lm_head]


def noise_samples() -> Case:
    """Four noise samples of one phrase's attention."""
    refam = pipeline("refam")
    if IS_BEFORE:
        from groundkit.language import parse_phrase

        encoded, phrase = refam.diffusion.encode_image(picture(0)), parse_phrase("the red cup")
        tokens = refam._tokens(phrase)
        text = refam._encode(tokens, phrase)
        options = {"noise_level": 0.3, "layers": "0-0", "heads": [2], "direction": "text_to_image"}
        return lambda: [refam.diffusion.read_attention(encoded, text, seed=seed, **options) for seed in range(4)] and 0
    from groundkit.language import parse_phrase

    look, phrase = refam.open([picture(0)]), parse_phrase("the red cup")
    look.read(phrase)
    return lambda: look.read(phrase) and 0


def follow(height: int, frames: int) -> Case:
    """A film of a sample that moves, written with all its masks by the command."""
    import av
    from PIL import Image

    folder = Path(tempfile.mkdtemp())
    width = height * 16 // 9 // 16 * 16
    image = Image.fromarray(picture(0)).resize((width, height), Image.Resampling.BICUBIC)
    with av.open(str(folder / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            moved = image.transform(image.size, Image.Transform.AFFINE, (1, 0, -number / 4, 0, 1, 0))
            container.mux(stream.encode(av.VideoFrame.from_image(moved)))
        container.mux(stream.encode())
    arguments = ["follow", str(folder / "film.mp4"), "the red cup", "--set", "evidence=false"]
    return partial(command, arguments, folder)


def batch(pictures: int, megapixels: float) -> Case:
    """Pictures times two phrases by the command with its default settings."""
    from PIL import Image

    folder = Path(tempfile.mkdtemp())
    (folder / "in").mkdir()
    names = [f"scene_{number}.png" for number in (1, 2, 3)]
    for number in range(pictures):
        place = folder / "in" / f"picture{'abcdefghij'[number % 10]}{number}x.jpg"  # of no numbered series
        Image.fromarray(picture(megapixels, names[number % 3])).save(place, quality=90)
    return partial(command, ["batch", str(folder / "in"), "-p", "the red cup", "-p", "the bear"], folder)


def command(arguments: list[str], folder: Path) -> int:
    """Run a command into a new folder. Raises where it fails."""
    output = tempfile.mkdtemp(dir=folder)
    preset = [] if IS_BEFORE else ["--set", "preset=tuned"]
    program = [str(Path(sys.executable).with_name("groundkit")), *arguments, *preset, "-o", output, "--offline", "-q"]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    return len([*Path(output).rglob("*.png")])


def load(what: str) -> Case:
    """A new process that imports the libraries, or loads a method; the command of this environment's Python."""
    code = {"libraries": "import torch, diffusers, transformers"}.get(
        what, f"import groundkit; groundkit.load({what!r})"
    )
    return lambda: subprocess.run([sys.executable, "-c", code], check=True).returncode


CASES: dict[str, Callable[..., Case]] = {
    each.__name__: each for each in (phrases, further_phrase, discover, not_a_model, noise_samples, follow, batch, load)
}
