"""A pipeline that needs no model, and a way to run commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import groundkit
from groundkit.cli.main import run
from groundkit.errors import ConfigError, PhraseError
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure, Grounding


class Answer(NamedTuple):
    code: int
    out: str
    err: str


class BrightPixels(Pipeline):
    """Finds the pixels brighter than 128; refuses the phrase "bad" and finds nothing for "nothing"."""

    name = "refam"
    model = "fake"

    def __init__(self, make_grounding: Callable[..., Grounding]) -> None:
        self.make_grounding = make_grounding
        self.encoded = 0
        self.loaded_with: dict[str, Any] = {}

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        self.encoded += 1
        self.seed = seed
        for phrase in phrases:
            if phrase == "interrupt":
                raise KeyboardInterrupt
            if phrase == "bad":
                yield Failure(phrase, PhraseError("the phrase is bad: say something else"))
                continue
            y, x = np.nonzero(image[..., 0] > 128)
            box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
            boxes = [] if phrase == "nothing" else [box]
            yield self.make_grounding(*boxes, image=image, phrase=phrase, model=self.model)


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, make_grounding: Callable[..., Grounding]) -> BrightPixels:
    """What ``groundkit.load`` returns; ``loaded_with`` holds what it was asked for."""
    fake = BrightPixels(make_grounding)

    def load(pipeline: str, *, config: Mapping[str, Any], **options: Any) -> BrightPixels:
        for key in config:
            if key not in ("layers", "max_peaks", "evidence", "min_evidence"):
                raise ConfigError(f"unknown setting {key!r}: choose from layers, max_peaks")
        fake.loaded_with = {"pipeline": pipeline, "config": config, **options}
        return fake

    monkeypatch.setattr(groundkit, "load", load, raising=False)
    return fake


@pytest.fixture
def command(
    pipeline: BrightPixels, capsys: pytest.CaptureFixture[str], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Answer]:
    """Run a command in an empty folder with the two pictures ``a.png`` and ``b.png``."""
    monkeypatch.chdir(tmp_path)
    for variable in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        monkeypatch.setenv(variable, "")  # what a command sets is undone after the test
        monkeypatch.delenv(variable)
    for name in ("a.png", "b.png"):
        pixels = np.zeros((48, 64, 3), np.uint8)
        pixels[10:20, 10:40] = 255
        Image.fromarray(pixels).save(tmp_path / name)

    def call(*arguments: str) -> Answer:
        code = run(arguments)
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call
