import json
import os

import pytest

from groundkit.errors import ConfigError, InputError
from groundkit.media.inputs import Input
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
    return {**known, **(fields or {"files": [], "bytes": unit.bytes})}


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
        for unit in units[:2]:
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
        assert manifest.records_of(units) == []
    with open_manifest(tmp_path, other, WHOLE) as manifest:
        assert json.loads(manifest.path.read_text())["settings"]["model"] == "flux"


def test_a_result_of_another_picture_of_the_same_name_is_done_again(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"a picture")

    def unit():
        return Unit(Input("a.png", path), "a", (Task("cup", "a-cup"),))

    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        manifest.append(record(unit(), unit().tasks[0]))
        assert list(manifest.left([unit()])) == []
        path.write_bytes(b"another picture")
        assert list(manifest.left([unit()])) == [unit()]


def test_a_file_that_is_no_manifest_is_left_as_it_is(tmp_path):
    path = tmp_path / "manifest.jsonl"
    for content, error in (("hello\n", InputError), ('{"input": "a"}\n', ConfigError)):
        path.write_text(content)
        with pytest.raises(error, match=r"manifest\.jsonl is"), open_manifest(tmp_path, SETTINGS, WHOLE):
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
        other = Unit(Input("other/a.png", tmp_path / "a.png"), "a", (Task("cup", "a-cup"),))
        with pytest.raises(ConfigError, match=r"a-cup holds the result of a\.png and 'cup', not of other/a\.png"):
            list(manifest.left([other]))


def test_a_result_whose_files_are_gone_is_done_again(tmp_path, units):
    unit = units[0].only(units[0].tasks[:1])
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        (tmp_path / "a-cup.png").write_bytes(b"")
        manifest.append(record(unit, unit.tasks[0], files=["a-cup.png"], bytes=None))
        assert list(manifest.left([unit])) == []
        (tmp_path / "a-cup.png").unlink()
        assert list(manifest.left([unit])) == [unit]


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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest_1_of_2.jsonl", "manifest_2_of_2.jsonl"]
    with open_manifest(tmp_path, SETTINGS, WHOLE) as manifest:
        assert list(manifest.left(units)) == []
        assert [(each["input"], each["phrase"]) for each in manifest.records_of(units)] == tasks(units)


def test_looking_leaves_no_trace(tmp_path):
    with open_manifest(tmp_path / "out", SETTINGS, WHOLE, write=False) as manifest:
        assert list(manifest.left([])) == []
    assert not (tmp_path / "out").exists()
