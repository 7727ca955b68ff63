"""What Python hands over by mistake is refused in one line that speaks of Python."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import groundkit
from groundkit.cli.errors import for_command_line
from groundkit.errors import ConfigError, GroundkitError, ImageError, PhraseError
from groundkit.pipelines.base import Pipeline, check_seed
from groundkit.results import Failure, Grounding

MakeGrounding = Callable[..., Grounding]
IMAGE = np.zeros((6, 8, 3), np.uint8)


class Echo(Pipeline):
    name, model = "echo", "none"

    def __init__(self, make_grounding: MakeGrounding) -> None:
        self.make_grounding = make_grounding

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        for phrase in phrases:
            yield self.make_grounding(image=image, phrase=phrase, size=image.shape[:2])


@pytest.mark.parametrize("picture", [torch.zeros(3, 4, 4), None, 5, (each for each in (IMAGE,)), {IMAGE.shape}])
def test_what_is_no_picture_is_named_in_one_line(make_grounding: MakeGrounding, picture: Any) -> None:
    with pytest.raises(ImageError, match=r"^[^\n]+$") as refused:
        Echo(make_grounding)(picture, "cup")
    assert type(picture).__name__.lower() in str(refused.value).lower()


@pytest.mark.parametrize("phrase", [None, 5, b"cup", ["cup", None], [["cup"]]])
def test_what_is_no_phrase_is_named_before_the_picture_is_read(make_grounding: MakeGrounding, phrase: Any) -> None:
    with pytest.raises(PhraseError, match=r"^a phrase is a text, and several are a list of texts, not \w+$"):
        Echo(make_grounding)("no such picture.png", phrase)


@pytest.mark.parametrize("seed", [-1, 2**62 + 1, 0.5, None, "1"])
def test_a_seed_is_what_the_command_line_takes(make_grounding: MakeGrounding, seed: Any) -> None:
    with pytest.raises(ConfigError, match=r"must be a whole number from 0 to 2\*\*62$"):
        Echo(make_grounding)(IMAGE, "cup", seed=seed)
    for good in (0, 2**62, np.int64(3)):
        check_seed(good)


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": None},
        {"model": 5},
        {"segmenter": object()},
        {"config": 5},
        {"config": [("max_peaks", 2)]},
        {"pipeline": 3},
    ],
)
def test_load_names_the_argument_that_is_of_another_kind(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ConfigError, match=rf"^{name} is a .*, not \w+$"):
        groundkit.load(**arguments)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    with pytest.raises(GroundkitError, match=re.escape(str(tmp_path / "model"))):  # an empty folder, but there
        groundkit.load(model="~/model", segmenter="nano", device="cpu", local_files_only=True)


def test_torch_s_own_dtype_and_device_are_taken() -> None:
    with pytest.raises(ConfigError, match="did you mean max_peaks"):  # so these two were understood
        groundkit.load(dtype=torch.float32, device=torch.device("cpu"), config={"max_peeks": 1})
    with pytest.raises(ConfigError, match="no dtype named 'int8'"):
        groundkit.load(dtype=torch.int8)


def test_one_format_may_be_a_text(make_grounding: MakeGrounding, tmp_path: Path) -> None:
    found = make_grounding((1, 1, 5, 5), phrase="cup")
    assert found.save(tmp_path, formats="png") == [tmp_path / "cup.png"]
    with pytest.raises(ConfigError, match="no format named 'pgn', did you mean png"):
        found.save(tmp_path, formats="pgn")


def test_results_can_be_compared_and_kept_in_sets(make_grounding: MakeGrounding) -> None:
    first, second = make_grounding((1, 1, 5, 5)), make_grounding((1, 1, 5, 5))
    assert first == first
    assert first != second
    assert len({first, second}) == 2


@pytest.mark.parametrize(
    ("python", "command_line"),
    [
        ('use device="auto" or device="cpu"', "use --device auto or --device cpu"),
        ("run once without local_files_only=True", "run once without --offline"),
        ("with offload=True every word", "with --offload every word"),
        ('range="auto", or two numbers', "--range auto, or two numbers"),
        ('read it with pipeline="vlsam", or', "read it with --pipeline vlsam, or"),
        ('leave out config={"evidence": False}', "leave out --set evidence=False"),
        ("photo.jpg: 640x480 = too large", "photo.jpg: 640x480 = too large"),
    ],
)
def test_the_command_line_says_it_in_its_options(python: str, command_line: str) -> None:
    assert for_command_line(python) == command_line


def test_messages_of_the_library_name_no_options_of_the_command_line() -> None:
    """But of modules for the command line alone: those of batches, and of their files and messages."""
    root = Path(groundkit.__file__).parent
    theirs = {root / name for name in ("batch.py", "follow.py", "outputs/locks.py", "outputs/coco.py", "wording.py")}
    options = re.compile(r"""["' (]--[a-z][a-z-]+""")
    found = []
    for path in [
        path
        for part in ("attention", "language", "media", "models", "prompting", "segmenters", "tracking")
        for path in (root / part).rglob("*.py")
    ] + [*root.glob("*.py")]:
        if path in theirs:
            continue
        found += [
            f"{path.relative_to(root)}: {line.strip()}"
            for line in path.read_text(encoding="utf-8").splitlines()
            if options.search(line) and not line.lstrip().startswith(("#", '"""', "``")) and "``" not in line
        ]
    assert found == []


def test_a_pipeline_that_was_used_can_be_sent_to_another_process() -> None:
    pipeline = groundkit.load("refam")
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    expected = pipeline(picture, "the red cup")
    sent = pickle.loads(pickle.dumps(pipeline))(picture, "the red cup")
    np.testing.assert_array_equal(sent.heatmap, expected.heatmap)
    np.testing.assert_array_equal(sent.masks, expected.masks)


def test_a_result_prints_as_one_short_line_without_its_pixels(make_grounding: MakeGrounding) -> None:
    assert repr(make_grounding((5, 6, 30, 20))) == (
        "<Grounding 'the red cup': 1 mask, score 0.90, 64 x 48 pixels, refam on nano, 0.25 s>"
    )
    assert "no masks, 64 x 48" in repr(make_grounding())
