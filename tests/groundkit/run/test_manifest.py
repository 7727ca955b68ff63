import json
import os
import re
import tracemalloc
from pathlib import Path

import pytest

from groundkit.errors import ConfigError, InputError
from groundkit.media.inputs import Input
from groundkit.run.fingerprint import fingerprint
from groundkit.run.manifest import open_manifest
from groundkit.run.plan import Shard, Task, Unit

WHOLE = Shard()
SETTINGS = {"model": "nano", "formats": ("png",)}


@pytest.fixture
def units(tmp_path):
    return [
        Unit(Input(f"{name}.png", tmp_path / f"{name}.png"), name, (Task("cup", f"{name}-cup"), Task("é", f"{name}-e")))
        for name in "abc"
    ]


def record(unit, task, **fields):
    known = {"input": unit.item.name, "phrase": task.phrase, "name": task.name}
    return {**known, **(fields or {"files": [], **fingerprint(unit.item.path)})}


def tasks(units):
    return [(unit.item.name, task.phrase) for unit in units for task in unit.tasks]


def test_what_was_appended_is_not_left_and_failures_are(tmp_path, units):
    a, b, _ = units
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert list(manifest.left(units)) == units
        manifest.append(record(a, a.tasks[0]))
        manifest.append(record(b, b.tasks[0], error="no"))
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert tasks(manifest.left(units)) == tasks(units)[1:]
        manifest.append(record(b, b.tasks[0]))
        assert tasks(manifest.left(units)) == [each for each in tasks(units)[1:] if each != ("b.png", "cup")]


def test_a_record_is_on_the_disk_before_it_counts(tmp_path, units, monkeypatch):
    synchronised = []
    path = tmp_path / "manifest.jsonl"
    monkeypatch.setattr(os, "fsync", lambda _: synchronised.append(path.read_bytes()))
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(units[0], units[0].tasks[0]))
    assert [content.count(b"\n") for content in synchronised] == [1, 2]
    assert synchronised[-1] == path.read_bytes()


def test_a_manifest_torn_at_any_byte_goes_on_with_its_whole_lines(tmp_path, units):
    path = tmp_path / "manifest.jsonl"
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        for unit in list(manifest.left(units[:2])):
            for task in unit.tasks:
                manifest.append(record(unit, task))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        whole = max(0, content[:length].count(b"\n") - 1)
        with open_manifest(tmp_path, SETTINGS, WHOLE, write=False) as manifest:
            assert tasks(manifest.left(units)) == tasks(units)[whole:]
        assert path.read_bytes() == content[:length]
        with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
            for unit in list(manifest.left(units[:2])):
                for task in unit.tasks:
                    manifest.append(record(unit, task))
        assert path.read_bytes() == content


def test_other_settings_are_refused_by_name(tmp_path, units):
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(units[0], units[0].tasks[0]))
    with (
        pytest.raises(ConfigError, match=r"other settings \(model 'nano', now 'flux'\): give another --output"),
        open_manifest(tmp_path, {**SETTINGS, "model": "flux"}, WHOLE),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="other settings"),
        open_manifest(tmp_path, {**SETTINGS, "seed": 1}, Shard(1, 2)),
    ):
        pass
    with open_manifest(tmp_path, {**SETTINGS, "formats": ["png"]}, WHOLE):  # a list in JSON, a tuple before
        pass


def test_a_manifest_without_a_result_does_not_stand_in_the_way_of_other_settings(tmp_path, units):
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(units[0], units[0].tasks[0], error="no such model"))
    other = {**SETTINGS, "model": "flux"}
    with open_manifest(tmp_path, other, WHOLE, write=False) as manifest:
        assert len(list(manifest.left(units))) == 3
    with open_manifest(tmp_path, other, WHOLE) as manifest:
        assert list(manifest.records_of(units)) == []
    with open_manifest(tmp_path, other, WHOLE) as manifest:
        assert json.loads(manifest.path.read_text())["settings"]["model"] == "flux"


@pytest.mark.parametrize("content", [b"another picture", b"A picture"])
def test_a_result_of_another_picture_of_the_same_name_is_done_again_also_of_the_same_size(tmp_path, content):
    path = tmp_path / "a.png"
    path.write_bytes(b"a picture")
    unit = Unit(Input("a.png", path), "a", (Task("cup", "a-cup"),))
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(unit, unit.tasks[0]))
        assert list(manifest.left([unit])) == []
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert list(manifest.left([unit])) == [unit]


def test_a_copy_of_an_input_with_another_time_is_the_same_input(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"a picture")
    unit = Unit(Input("a.png", path), "a", (Task("cup", "a-cup"),))
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(unit, unit.tasks[0]))
    os.utime(path, (0, 0))
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert list(manifest.left([unit])) == []


def test_a_frame_that_changes_makes_another_video_of_its_folder(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"a picture")
    unit = Unit(Input("clip", tmp_path, is_video=True), "clip", (Task("cup", "clip-cup"),))
    with open_manifest(tmp_path / "out", SETTINGS, WHOLE) as manifest:
        manifest.append(record(unit, unit.tasks[0]))
    (tmp_path / "1.png").write_bytes(b"A picture")
    os.utime(tmp_path / "1.png", (0, 0))
    with open_manifest(tmp_path / "out", SETTINGS, WHOLE) as manifest:
        assert list(manifest.left([unit])) == [unit]


@pytest.mark.parametrize("spelling", ["./in/a.png", "in/../in/a.png", "link/a.png", "{}/in/a.png"])
def test_an_input_is_the_same_however_its_path_is_spelt(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "link").symlink_to("in")
    (tmp_path / "in" / "a.png").write_bytes(b"a picture")

    def unit(name):
        return Unit(Input(name, Path(name)), "a", (Task("cup", "a-cup"),))

    with open_manifest(tmp_path / "out", SETTINGS, WHOLE) as manifest:
        list(manifest.left([unit("in/a.png")]))
        manifest.append(record(unit("in/a.png"), Task("cup", "a-cup")))
    with open_manifest(tmp_path / "out", SETTINGS, WHOLE) as manifest:
        assert list(manifest.left([unit(spelling.format(tmp_path))])) == []


def test_inputs_and_results_that_were_moved_together_are_the_same(tmp_path, monkeypatch):
    (tmp_path / "old" / "in").mkdir(parents=True)
    (tmp_path / "old" / "in" / "a.png").write_bytes(b"a picture")

    def unit():
        return Unit(Input("in/a.png", Path("in/a.png")), "a", (Task("cup", "a-cup"),))

    for folder in ("old", "new"):
        if folder == "new":
            (tmp_path / "old").rename(tmp_path / "new")
        monkeypatch.chdir(tmp_path / folder)
        with open_manifest(Path("out"), SETTINGS, WHOLE) as manifest:
            left = list(manifest.left([unit()]))
            assert left == ([unit()] if folder == "old" else [])
            for each in left:
                manifest.append(record(each, each.tasks[0]))


def test_another_version_device_or_dtype_is_told_once(tmp_path, units):
    made = {"files": [], "version": "0.1.0", "device": "cuda", "dtype": "bfloat16"}
    first, second, third = (unit.tasks[0] for unit in units)
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(units[0], first, **made))
        with pytest.warns(
            UserWarning, match=r"groundkit 0\.1\.0, cuda, bfloat16, and these with 0\.1\.0, cpu, float32"
        ):
            manifest.append(record(units[1], second, **{**made, "device": "cpu", "dtype": "float32"}))
        manifest.append(record(units[2], third, **{**made, "device": "cpu", "dtype": "float32"}))
        manifest.settle(units)
    header = json.loads(manifest.path.read_text().splitlines()[0])
    assert [each["device"] for each in header["made_with"]] == ["cuda", "cpu"]
    manifest.path.write_text(manifest.path.read_text().replace("0.1.0", "0.0.9"))
    with (
        pytest.warns(UserWarning, match=r"has results of groundkit 0\.0\.9, and this is 0\.1\.0"),
        open_manifest(tmp_path, SETTINGS, WHOLE) as manifest,
    ):
        manifest.append(record(units[2], third, **made))


@pytest.mark.parametrize(
    "change",
    [
        lambda record: [record],
        lambda record: {**record, "phrase": 3},
        lambda record: {**record, "name": "../a-cup"},
        lambda record: {**record, "files": ["../a.png"]},
        lambda record: {**record, "files": "a.png"},
        lambda record: {key: value for key, value in record.items() if key != "input"},
    ],
)
def test_a_line_that_is_no_record_is_told_by_its_number(tmp_path, change):
    header = {"groundkit": 3, "made_with": [], "settings": SETTINGS}
    good = {"input": "a.png", "phrase": "cup", "name": "a-cup", "files": ["a-cup.png", "v/cup"]}
    text = "".join(json.dumps(line) + "\n" for line in (header, good, change(good)))
    (tmp_path / "manifest.jsonl").write_text(text)
    with (
        pytest.raises(InputError, match=r"manifest\.jsonl is damaged \(line 3 is not a record\): delete it"),
        open_manifest(tmp_path, SETTINGS, Shard()),
    ):
        pass
    assert (tmp_path / "manifest.jsonl").read_text() == text


def test_a_file_that_is_no_manifest_is_left_as_it_is(tmp_path):
    path = tmp_path / "manifest.jsonl"
    for content, error in (("hello\n", InputError), ('{"input": "a"}\n', ConfigError)):
        path.write_text(content)
        told = pytest.raises(error, match=r"manifest\.jsonl (is damaged|was not written)")
        with told, open_manifest(tmp_path, SETTINGS, WHOLE):
            pass
        assert path.read_text() == content


def test_two_runs_cannot_write_one_output(tmp_path):
    refused = pytest.raises(ConfigError, match=r"manifest.*\.jsonl is being written by another run")
    with open_manifest(tmp_path, SETTINGS, WHOLE):
        with refused, open_manifest(tmp_path, SETTINGS, WHOLE):
            pass
        with refused, open_manifest(tmp_path, SETTINGS, Shard(1, 2)):
            pass
    with open_manifest(tmp_path, SETTINGS, Shard(1, 2)), open_manifest(tmp_path, SETTINGS, Shard(2, 2)):
        with refused, open_manifest(tmp_path, SETTINGS, WHOLE):
            pass
        with open_manifest(tmp_path, SETTINGS, WHOLE, write=False):
            pass


def test_a_name_that_belongs_to_another_input_is_not_overwritten(tmp_path, units):
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(units[0], units[0].tasks[0]))
        other = Unit(Input("other/a.png", tmp_path / "other" / "a.png"), "a", (Task("cup", "a-cup"),))
        with pytest.raises(ConfigError, match=r"a-cup holds the result of a\.png and 'cup', not of other/a\.png"):
            list(manifest.left([other]))


def test_settled_records_stand_in_the_order_of_the_plan_whatever_was_first(tmp_path, units):
    contents = set()
    for index, order in enumerate(([0, 1, 2], [2, 0, 1])):
        with open_manifest(tmp_path / str(index), SETTINGS, WHOLE) as manifest:
            manifest.append(record(units[1], units[1].tasks[0], error="no"))
            for place in order:
                for task in units[place].tasks:
                    manifest.append(record(units[place], task))
            manifest.settle(units)
        contents.add(manifest.path.read_bytes())
    (content,) = contents
    lines = [json.loads(line) for line in content.splitlines()]
    assert [(line["input"], line["phrase"]) for line in lines[1:]] == tasks(units)


def test_the_whole_takes_over_what_its_parts_have_finished(tmp_path, units):
    for index in (1, 2):
        shard = Shard(index, 2)
        with open_manifest(tmp_path, SETTINGS, shard) as manifest:
            for unit in shard.of(units):
                for task in unit.tasks:
                    manifest.append(record(unit, task))
    assert sorted(path.name for path in tmp_path.glob("m*")) == ["manifest_1_of_2.jsonl", "manifest_2_of_2.jsonl"]
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert list(manifest.left(units)) == []
        assert [(each["input"], each["phrase"]) for each in manifest.records_of(units)] == tasks(units)


def test_looking_leaves_no_trace(tmp_path):
    with open_manifest(tmp_path / "out", SETTINGS, WHOLE, write=False) as manifest:
        assert list(manifest.left([])) == []
    assert not (tmp_path / "out").exists()


def test_an_error_is_recorded_in_the_options_of_the_command_line(tmp_path, units):
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(units[0], units[0].tasks[0], error='out of memory: try device="cpu" or offload=True'))
        (kept,) = manifest.records_of(units)
    assert kept["error"] == "out of memory: try --device cpu or --offload"
    assert json.loads((tmp_path / "manifest.jsonl").read_text().splitlines()[1])["error"] == kept["error"]


def test_only_what_the_system_refuses_of_the_manifest_itself_is_told_of_it(tmp_path, units, monkeypatch):
    path = tmp_path / "manifest.jsonl"
    with pytest.raises(FileNotFoundError), open_manifest(tmp_path, SETTINGS, WHOLE):
        (tmp_path / "somewhere" / "else").read_bytes()
    a = units[0]
    a.item.path.write_bytes(b"a picture")
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(a, a.tasks[0]))

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as context:
        context.setattr("groundkit.run.manifest.is_same", refused)
        with (
            open_manifest(tmp_path, SETTINGS, WHOLE) as manifest,
            pytest.raises(InputError, match=re.escape(f"cannot read {a.item.path}: Permission denied")),
        ):
            list(manifest.records_of(units))
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=re.escape(f"cannot use {path}: ")), open_manifest(tmp_path, SETTINGS, WHOLE):
        pass


def test_where_settings_come_from_is_told_and_does_not_keep_a_run_from_going_on(tmp_path, units):
    origins = {"model": "--set"}, {"model": "file"}
    for each in origins:
        with open_manifest(tmp_path, SETTINGS, WHOLE, origins=each) as manifest:
            manifest.settle(units)
        assert json.loads((tmp_path / "manifest.jsonl").read_text().splitlines()[0])["origins"] == each


def test_memory_holds_where_records_stand_and_none_of_their_content(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)
    units = [Unit(Input(f"{i}.png", tmp_path / f"{i}.png"), str(i), (Task("cup", f"{i}-cup"),)) for i in range(300)]
    tracemalloc.start()
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        for unit in manifest.left(units):
            manifest.append(record(unit, unit.tasks[0], files=[], heat="x" * 100_000))
        manifest.settle(units)
        assert sum(len(each["heat"]) for each in manifest.records_of(units)) == 30_000_000
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert list(manifest.left(units)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000
