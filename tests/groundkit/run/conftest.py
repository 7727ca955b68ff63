"""A run over pictures and a clip with a pipeline that needs no model and a clock that never says the same twice."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groundkit.errors import AttentionError, ConfigError, PhraseError
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure, Grounding
from groundkit.run.plan import Unit, make_plan
from groundkit.run.worker import Job
from groundkit.tracking.optical_flow import OpticalFlowTracker

PHRASES = ["cup", "bad", "ball", "nothing"]
FORMATS = ("png", "overlay", "json", "coco")


class Rectangles(Pipeline):
    """Finds what is bright; refuses the phrase "bad", finds no "nothing", and breaks at a picture of 13 lines."""

    name = "rectangles"
    model = "none"
    segmenter = None

    def __init__(self, make_grounding: Callable[..., Grounding]) -> None:
        self.make_grounding = make_grounding
        self.clock = count()
        self.asked: list[str] = []

    def outcomes(self, image, phrases: Sequence[str], *, seed: int = 0) -> Iterator[Grounding | Failure]:
        for phrase in phrases:
            if len(image) == 13:
                raise MemoryError("no room\nat all")
            if phrase == "broken":
                raise AttentionError("layer 3 was silent")
            if phrase == "refused":
                raise ConfigError("no head 9")
            self.asked.append(phrase)
            if phrase == "bad":
                yield Failure(phrase, PhraseError("say more"))
                continue
            rows, columns = np.nonzero(image[..., 0] > 128)
            box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
            boxes = [] if phrase == "nothing" else [box]
            yield self.make_grounding(*boxes, image=image, phrase=phrase, seconds=float(next(self.clock)))


def bright_square(x: int, height: int = 48) -> np.ndarray:
    picture = np.random.default_rng(x).integers(0, 60, (height, 64, 3), np.uint8)
    picture[5:12, x : x + 20] = 220
    return picture


@pytest.fixture
def pipeline(make_grounding) -> Rectangles:
    return Rectangles(make_grounding)


@pytest.fixture
def job(pipeline, tmp_path: Path) -> Job:
    return Job(
        load=lambda: pipeline,
        output=tmp_path / "out",
        formats=FORMATS,
        load_tracker=lambda _: OpticalFlowTracker(None),
        jobs=2,
    )


@pytest.fixture
def plan(tmp_path: Path) -> list[Unit]:
    """Four pictures, one of them broken and one too large for the pipeline, a clip, and a file that is missing."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(bright_square(10 * number)).save(folder / f"{number}.png")
    Image.fromarray(bright_square(3, height=13)).save(folder / "huge.png")
    (folder / "broken.png").write_bytes(b"\x89PNG")
    write_mp4(folder / "clip.mp4", [bright_square(2 + step) for step in range(4)], rate=10)
    return make_plan([(str(folder), PHRASES), (str(tmp_path / "missing.png"), PHRASES[:2])])


@pytest.fixture(autouse=True)
def one_thread():
    """Sums depend on how many threads share them: one process has as many as each of several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def largest_file():
    """Within ``with largest_file(bytes)`` the system refuses to write more to a file, as it does on a full disk."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
