import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import InputError
from groundkit.media.inputs import Input, resolve_inputs, unique_stems


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of empty files: resolving reads none of them."""
    monkeypatch.chdir(tmp_path)
    for name in ("img10.png", "img2.PNG", "img1.jpg", "notes.txt", ".hidden.png", "deep/img3.webp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.dat").touch()
    return tmp_path


def names(*arguments: str) -> list[str]:
    resolved = resolve_inputs(arguments)
    assert resolved.failed == []
    return [Path(item.name).as_posix() for item in resolved.found]


def test_a_folder_gives_its_pictures_in_natural_order(pictures: Path) -> None:
    assert names("photos") == ["photos/img1.jpg", "photos/img2.PNG", "photos/img10.png"]


def test_a_glob_gives_the_pictures_among_its_matches(pictures: Path) -> None:
    assert names("photos/*") == ["photos/img1.jpg", "photos/img2.PNG", "photos/img10.png"]
    assert names("photos/img?.*") == ["photos/img1.jpg", "photos/img2.PNG"]
    assert names("photos/**/*.webp") == ["photos/deep/img3.webp"]
    assert names(f"{pictures}/photos/*0.png") == [(pictures / "photos/img10.png").as_posix()]


def test_a_file_is_taken_whatever_its_suffix(pictures: Path) -> None:
    assert names("odd.dat") == ["odd.dat"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(pictures: Path) -> None:
    (pictures / "a[1].png").touch()
    (pictures / "a1.png").touch()
    assert names("a[1].png") == ["a[1].png"]


def test_the_order_given_is_kept_and_repetitions_go(pictures: Path) -> None:
    (pictures / "link.png").symlink_to(pictures / "odd.dat")
    given = ["photos/img10.png", "odd.dat", "photos", "./photos/../odd.dat", "link.png", "photos/*.png"]
    assert names(*given) == ["photos/img10.png", "odd.dat", "photos/img1.jpg", "photos/img2.PNG"]


def test_what_names_no_picture_fails_alone(pictures: Path) -> None:
    resolved = resolve_inputs(["none.png", "odd.dat", "empty", "photos/*.gif", "https://example.org/a.png"])
    assert [item.name for item in resolved.found] == ["odd.dat"]
    assert [(argument, str(error)) for argument, error in resolved.failed] == [
        ("none.png", "none.png: no such file or folder; check the path"),
        ("empty", "empty: no pictures in this folder; give a folder that holds some, or a quoted glob"),
        ("photos/*.gif", "photos/*.gif: no picture matches; check the pattern"),
        (
            "https://example.org/a.png",
            "https://example.org/a.png: addresses are not read; download the picture and give its file",
        ),
    ]
    assert all(isinstance(error, InputError) for _, error in resolved.failed)


def test_a_name_that_no_file_system_takes_fails_like_a_missing_one() -> None:
    resolved = resolve_inputs(["x" * 5000])
    assert resolved.found == []
    assert str(resolved.failed[0][1]).endswith("check the path")


class Stdin:
    def __init__(self, data: bytes = b"", *, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_a_picture_on_standard_input_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(buffer, "PNG")
    monkeypatch.setattr(sys, "stdin", Stdin(buffer.getvalue()))
    resolved = resolve_inputs(["-", "-"])
    assert resolved.found == [Input("-", None)]
    np.testing.assert_array_equal(resolved.found[0].read(), np.full((2, 3, 3), [255, 0, 0]))


def test_a_terminal_on_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(terminal=True))
    ((argument, error),) = resolve_inputs(["-"]).failed
    assert (argument, str(error)) == ("-", "-: nothing comes in on standard input; pipe a picture into the command")


def test_a_folder_of_frames_lends_its_whole_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scene.01").mkdir()
    monkeypatch.chdir(tmp_path / "scene.01")
    assert unique_stems([Input(".", Path(), is_video=True)]) == ["scene.01"]


@pytest.mark.parametrize(
    ("paths", "stems"),
    [
        (["a/cat.jpg", "a/dog.jpg"], ["cat", "dog"]),
        (["a/cat.jpg", "b/cat.jpg", "b/dog.jpg"], ["a-cat", "b-cat", "dog"]),
        (["a/cat.jpg", "b/CAT.jpg"], ["a-cat", "b-CAT"]),
        (["a/cat.jpg", "a/cat.png", "b/a-cat.png"], ["a-cat", "a-cat-2", "a-cat-3"]),
        (["a/c.jpg", "a/c.png", "x/a-c-2.png"], ["a-c", "a-c-3", "a-c-2"]),
        (["x/a/1.png", "y/a/1.png"], ["a-1", "a-1-2"]),
        ([None, "a/stdin.png"], ["stdin", "a-stdin"]),
    ],
)
def test_output_stems_never_collide(paths: list[str | None], stems: list[str]) -> None:
    inputs = [Input(path or "-", path and Path(path)) for path in paths]
    assert unique_stems(inputs) == stems
    assert len({stem.casefold() for stem in stems}) == len(stems)
