import json

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import ConfigError, InputError
from groundkit.outputs.formats.png import write_png
from groundkit.run.lists import read_list
from groundkit.run.plan import Shard, count_tasks, make_plan


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures a/x.png, a/10.png, a/9.png, b/x.png, and the videos (no more than names) v.mp4 and frames/."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "a/10.png", "a/9.png", "b/x.png", "frames/1.png", "frames/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "v.mp4").write_bytes(b"")
    return tmp_path


def names(plan):
    return [task.name for unit in plan for task in unit.tasks]


def test_a_picture_is_one_unit_with_all_phrases_and_a_video_one_for_each(folder):
    with pytest.warns(UserWarning, match="^a: its pictures are read one by one: numbered frames are named alike"):
        plan = make_plan([(name, ["cup", "ball"]) for name in ("a", "v.mp4", "frames")], frame_folders=True)
    assert [(unit.item.name, [task.phrase for task in unit.tasks]) for unit in plan] == [
        *((f"a/{name}.png", ["cup", "ball"]) for name in ("9", "10", "x")),
        *((name, [phrase]) for name in ("v.mp4", "frames") for phrase in ("cup", "ball")),
    ]
    assert [unit.item.is_video for unit in plan] == [False] * 3 + [True] * 4
    assert names(plan)[-4:] == ["v-cup", "v-ball", "frames-cup", "frames-ball"]


def test_the_plan_depends_on_the_arguments_and_on_nothing_else(folder):
    wanted = [("a", ["cup", "Cup"]), ("b/x.png", ["cup"]), ("v.mp4", ["cup"])]
    plan = make_plan(wanted)
    assert names(plan) == ["9-cup", "9-cup-2", "10-cup", "10-cup-2", "a-x-cup", "a-x-cup-2", "b-x-cup", "v-cup"]
    (folder / "a" / "9-cup.png.tmp").write_text("what a run has left")
    (folder / "manifest.jsonl").write_text("{}")
    assert make_plan(wanted) == plan


def test_rows_of_one_input_become_one_unit_however_it_is_spelled(folder):
    (folder / "link.png").symlink_to(folder / "a" / "x.png")
    plan = make_plan([("a/x.png", ["cup"]), ("a/9.png", ["cup"]), ("./a/x.png", ["ball"]), ("link.png", ["cup"])])
    assert [(unit.item.name, [task.phrase for task in unit.tasks]) for unit in plan] == [
        ("a/x.png", ["cup", "ball"]),
        ("a/9.png", ["cup"]),
    ]


def test_an_argument_that_names_nothing_is_a_unit_that_says_why(folder):
    _, missing = make_plan([("a/x.png", ["cup"]), ("missing.png", ["cup", "ball"])])
    assert (missing.item.name, missing.error) == ("missing.png", "missing.png: no such file or folder; check the path")
    assert count_tasks([missing]) == 2


def test_what_a_folder_or_glob_finds_among_the_results_is_no_input(folder):
    (folder / "out").mkdir()
    for name in ("x-cup.png", "given.png"):
        Image.new("RGB", (8, 8)).save(folder / "out" / name)
    plan = make_plan([("**/x*.png", ["cup"]), ("out/given.png", ["cup"])], folder / "out")
    assert [unit.item.name for unit in plan] == ["a/x.png", "b/x.png", "out/given.png"]
    for name in ("x", "9"):
        write_png(folder / "a" / f"{name}-cup.png", np.zeros((8, 8, 3), np.uint8))
    plan = make_plan([("a", ["cup"])], folder / "a")
    assert [unit.item.name for unit in plan] == ["a/9.png", "a/10.png", "a/x.png"]


def test_folders_of_numbered_pictures_are_pictures_unless_they_are_said_to_be_videos(folder):
    plan = make_plan([("frames", ["cup"])])
    assert [(unit.item.name, unit.item.is_video) for unit in plan] == [(f"frames/{n}.png", False) for n in (1, 2)]


def test_standard_input_cannot_be_resumed(folder):
    with pytest.raises(ConfigError, match="cannot read standard input again; give files"):
        make_plan([("-", ["cup"])])


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20])
def test_shards_are_the_plan_each_unit_once_and_named_as_in_the_whole(folder, count):
    plan = make_plan([("a", ["cup"]), ("b", ["cup"]), ("v.mp4", ["cup", "ball"])])
    parts = [Shard(index, count).of(plan) for index in range(1, count + 1)]
    assert sorted(names(unit for part in parts for unit in part)) == sorted(names(plan))
    assert all(unit in plan for part in parts for unit in part)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/", "-1/2", "1/0"])
def test_a_shard_that_is_none_is_told_how_to_be_written(text):
    with pytest.raises(ConfigError, match=rf"^shard {text}: write i/n with 1 <= i <= n"):
        Shard.parse(text)
    assert Shard.parse("2/4") == Shard(2, 4)


def test_lists_in_csv_and_json_lines_say_the_same(tmp_path):
    (tmp_path / "list.csv").write_text('input,phrase,note\na.png,"the cup, red",x\n\nb.png, ball,\n')
    rows = [{"input": "a.png", "phrase": "the cup, red", "note": 1}, {"input": "b.png", "phrase": "ball"}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    expected = [(str(tmp_path / "a.png"), ["the cup, red"]), (str(tmp_path / "b.png"), ["ball"])]
    assert read_list(tmp_path / "list.csv") == read_list(tmp_path / "list.jsonl") == expected
    (tmp_path / "absolute.jsonl").write_text(json.dumps({"input": "/x/a.png", "phrase": "cup"}))
    assert read_list(tmp_path / "absolute.jsonl") == [("/x/a.png", ["cup"])]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.csv", "input,phrase\na.png,cup\nb.png,\n", "line 3: needs input and phrase"),
        ("list.csv", "a.png,cup\nb.png,cup\n", "first line must name the columns input and phrase"),
        ("list.csv", "input;phrase\na.png;cup\n", "first line must name the columns input and phrase"),
        ("list.csv", 'input,phrase\na.png,"the cup\nb.png,cup\n', "line 2: unexpected end of data; close every quote"),
        ("list.csv", "input,phrase\n", "no input and phrase in this list"),
        ("list.jsonl", '{"input": "a.png", "phrase": "cup"}\n{"input": "b.png"}\n', "line 2: needs input and phrase"),
        ("list.jsonl", '{"input": "a.png", "phrase": 3}\n', "line 1: needs input and phrase"),
        ("list.jsonl", "[1]\n", "line 1: needs input and phrase"),
        ("list.jsonl", "a.png cup\n", "line 1: no JSON object"),
        ("list.jsonl", "[" * 100_000, "line 1: no JSON object"),
        ("list.jsonl", '{"input": "a\\u0000.png", "phrase": "cup"}', "line 1: .* are no text"),
        ("list.jsonl", '{"input": "a.png", "phrase": "\\ud800"}', "line 1: .* are no text"),
    ],
)
def test_a_list_that_is_wrong_names_the_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_list(tmp_path / name)


def test_lists_are_read_whatever_writes_them_so(tmp_path):
    folder = tmp_path / "list [of] pictures"
    folder.mkdir()
    expected = [(str(folder / "a.png"), ["the\u2028cup"])]
    (folder / "list.csv").write_text("\ufeffInput , PHRASE\r\na.png ,the\u2028cup\r\n", newline="")
    (folder / "list.jsonl").write_text('{"input": "a.png", "phrase": "the\u2028cup"}\r\n', newline="")
    assert read_list(folder / "list.csv") == read_list(folder / "list.jsonl") == expected
    (folder / "globs.csv").write_text("input,phrase\n*.png,cup\n")
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    (unit,) = make_plan(read_list(folder / "globs.csv"))
    assert (unit.item.path, unit.error) == (folder / "a.png", None)


def test_in_lists_too_a_tilde_is_the_home_folder_unless_a_file_is_called_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("~photo.png", "home/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "list.csv").write_text("input,phrase\n~photo.png,cup\n~/a.png,cup\n~nobody.png,cup\n~/*.png,cup\n")
    *_, last = plan = make_plan(read_list(tmp_path / "list.csv"))
    assert [unit.item.path for unit in plan[:2]] == [tmp_path / "~photo.png", tmp_path / "home" / "a.png"]
    assert last.error == f"{tmp_path / '~nobody.png'}: no such file or folder; check the path"
    assert len(plan) == 3


def test_names_that_no_file_can_have_fail_alone(tmp_path):
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    names = ["loop.png", "x" * 5000, "a.png"]
    (tmp_path / "list.jsonl").write_text("\n".join(json.dumps({"input": name, "phrase": "cup"}) for name in names))
    *bad, good = make_plan(read_list(tmp_path / "list.jsonl"), tmp_path / "out")
    assert len(bad) == 2
    assert all("check the path" in unit.error for unit in bad)
    assert good.error is None


def test_a_list_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*No such file"):
        read_list(tmp_path / "list.csv")
