"""Every example of a public docstring runs as it stands, on the embedded models."""

from __future__ import annotations

import doctest
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from PIL import Image

import groundkit
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.ensemble import Ensemble
from groundkit.pipelines.refam import RefAM
from groundkit.pipelines.vlsam import VLSAM

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
SCENE = Path(__file__).parents[1] / "samples" / "scene_1.png"


def examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    yield from finder.find(groundkit, "groundkit", module=False)
    for name in groundkit.__all__:
        public = getattr(groundkit, name)
        yield from finder.find(public, f"groundkit.{name}", module=inspect.getmodule(public), globs={})
    for kind in (Pipeline, RefAM, VLSAM, Ensemble):
        yield from finder.find(kind, f"groundkit.{kind.__name__}", globs={"groundkit": groundkit})

    page = PAGE.read_text(encoding="utf-8")
    yield doctest.DocTestParser().get_doctest(page, {}, "docs/python.md", str(PAGE), 0)


EXAMPLES = {test.name: test for test in examples() if test.examples}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_of_the_documentation_gives_what_it_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(SCENE, tmp_path / "scene.png")
    write_clip(tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(EXAMPLES[name])
    assert runner.failures == 0, capsys.readouterr().out


def test_public_classes_and_functions_have_an_example() -> None:
    shown = {name.split(".")[1] for name in EXAMPLES if "." in name}
    wanted = {name for name in groundkit.__all__ if not issubclass_of_errors(name)}
    assert wanted - shown == set()


def write_clip(path: Path) -> None:
    """The scene, five times."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 256
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.open(SCENE).convert("RGB"))))
        container.mux(stream.encode())


def issubclass_of_errors(name: str) -> bool:
    public = getattr(groundkit, name)
    return inspect.isclass(public) and issubclass(public, Exception)
