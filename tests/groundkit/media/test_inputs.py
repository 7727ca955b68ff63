import io
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import InputError
from groundkit.media import heif
from groundkit.media.inputs import Input, ResolvedInputs, resolve_inputs, unique_stems


def resolve(*arguments: str, **options: bool) -> tuple[ResolvedInputs, list[str]]:
    """What arguments stand for, and what is told of what is left out."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        resolved = resolve_inputs(arguments, **options)
    return resolved, [str(each.message) for each in told]


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
    resolved, _ = resolve(*arguments)
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


def test_a_tilde_is_the_home_folder_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("~photo.png", "~/a.png", "home/a.png", "home/b.png", "~nobody/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    resolved, _ = resolve("~photo.png", "~/a.png", "~/b.png", "~nobody/a.png", "~nobody.png")
    found = [Path("~photo.png"), Path("~/a.png"), tmp_path / "home" / "b.png", Path("~nobody/a.png")]
    assert [item.path for item in resolved.found] == found
    assert [(name, str(error)) for name, error in resolved.failed] == [
        ("~nobody.png", "~nobody.png: no such file or folder; check the path")
    ]


def test_links_to_folders_above_end_and_every_folder_is_entered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "tree/a/b/1.png",
        "tree/2.png",
        "tree/.hidden/3.png",
        "aside/4.png",
        "tree/c[d]/5.png",
        "tree/a/a/6.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for link, place in (("a/up", ".."), ("a/b/top", "../.."), ("a/me", "."), ("a/b/self", "self"), ("z", "../aside")):
        (tmp_path / "tree" / link).symlink_to(place)
    whole = ["tree/2.png", "tree/a/a/6.png", "tree/a/b/1.png", "tree/c[d]/5.png", "tree/z/4.png"]
    assert names("tree/**/*.png") == whole
    assert names("tree/**") == whole
    assert names("**/*.png") == ["aside/4.png", *whole[:-1]]  # by its own name, not by the link's
    assert names(f"{tmp_path}/tr*/**/a/**/[16].png") == [f"{tmp_path}/{name}" for name in whole[1:3]]
    assert names("tree/**/**/a/6.png") == ["tree/a/a/6.png"]
    monkeypatch.chdir("tree")
    assert names("**")[:2] == ["2.png", "a/a/6.png"]


def test_what_is_left_out_of_folders_and_globs_is_told_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    for name in ("phone/1.HEIC", "phone/2.heic", "phone/3.mpo", "phone/4.svg", "phone/notes.txt", "phone/5.mov"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "phone" / "labels").mkdir()
    unread = '3 files of kinds that are not read: .heic (2; pip install "groundkit-vision[heic]"), .svg (1)'
    resolved, told = resolve("phone", videos=True)
    assert [item.name for item in resolved.found] == ["phone/3.mpo", "phone/5.mov"]
    assert told == [f"phone: {unread}"]
    assert resolve("phone/*")[1] == [f"phone/*: 1 video left out: groundkit follow takes videos; {unread}"]
    assert str(resolve("phone/*.HEIC")[0].failed[0][1]).startswith("phone/*.HEIC: no picture matches; 1 file of a kind")
    monkeypatch.setattr(heif, "is_installed", lambda: True)
    assert [item.name for item in resolve("phone")[0].found] == ["phone/1.HEIC", "phone/2.heic", "phone/3.mpo"]


def test_to_follow_a_named_file_is_a_video_and_a_folder_gives_none_but_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("camera", "moving.gif", "c/a.vob", "c/b.H264", "c/d.png", "l/00_left.png", "l/01_left.png", "f/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "f" / "2.png").touch()
    resolved, told = resolve("camera", "moving.gif", "c", "f", "l", videos=True, frame_folders=True, pictures=False)
    assert [(item.name, item.kind) for item in resolved.found] == [
        *((name, "video") for name in ("camera", "moving.gif", "c/a.vob", "c/b.H264")),
        ("f", "frames"),
    ]
    rule = "numbered frames are named alike but for the number at the end (frame_1.png, frame_2.png)"
    assert told == [f"c: 1 picture is left out: {rule}, and groundkit segment takes pictures"]
    _, told = resolve("c", "l", "f", videos=True, frame_folders=True)
    assert told == [f"{name}: its pictures are read one by one: {rule}" for name in "cl"]
    assert [str(error) for _, error in resolved.failed] == [
        f"l: no videos in this folder; 2 pictures are left out: {rule}, and groundkit segment takes pictures"
    ]


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
        (["a/cat.jpg", "a/cat.png", "b/a-cat.png"], ["cat-jpg", "cat-png", "a-cat"]),
        (["x/c.jpg", "y/c.png", "y/c.jpg"], ["x-c-jpg", "y-c-png", "y-c-jpg"]),
        (["a/c.png", "a/C.PNG", "x/a-c-2.png"], ["a-c-3", "a-C", "a-c-2"]),
        (["x/a/1.png", "y/a/1.png"], ["x-a-1", "y-a-1"]),
        ([None, "a/stdin.png"], ["stdin", "a-stdin"]),
    ],
)
def test_output_stems_never_collide(paths: list[str | None], stems: list[str]) -> None:
    inputs = [Input(path or "-", path and Path(path)) for path in paths]
    assert unique_stems(inputs) == stems
    assert unique_stems(inputs[::-1]) == stems[::-1]
    assert len({stem.casefold() for stem in stems}) == len(stems)


def test_a_folder_that_holds_only_folders_says_how_to_enter_them(pictures: Path) -> None:
    (pictures / "trip" / "day" / "one").mkdir(parents=True)
    assert str(resolve_inputs(["trip"]).failed[0][1]) == (
        "trip: no pictures in this folder; give a folder that holds some, or quote 'trip/**' to enter all"
    )
