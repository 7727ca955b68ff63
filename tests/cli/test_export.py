"""``groundkit export``, and classes and filters of the commands whose results it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from files import tree
from pycocotools import mask as coco_mask

QUIET = "--quiet"


def labels_of(folder: Path) -> dict[str, list[str]]:
    files = (folder / "yolo" / "labels").glob("*/*.txt")
    return {file.stem: [line.split()[0] for line in file.read_text().splitlines()] for file in files}


def names_of(folder: Path) -> Any:
    return json.loads((folder / "yolo" / "data.yaml").read_text().splitlines()[-1].removeprefix("names: "))


def test_an_export_grounds_nothing_and_equals_the_format_of_the_run(
    command: Any, pipeline: Any, tmp_path: Path
) -> None:
    command("batch", "a.png", "b.png", "-p", "red cup=cup", "-p", "ball", "-o", "out", "-f", "yolo", QUIET)
    pipeline.loaded_with, before = {}, pipeline.encoded
    answer = command("export", "out", "--to", "yolo", "-o", "other")
    assert (answer.code, answer.out) == (0, "other/yolo\n")
    assert answer.err == "groundkit: 4 objects of 4 results\n"
    assert (pipeline.loaded_with, pipeline.encoded) == ({}, before)
    assert names_of(tmp_path / "other") == ["cup", "ball"]
    of_run, of_export = (
        {name: content for name, content in tree(tmp_path / each / "yolo").items() if name.startswith("labels")}
        for each in ("out", "other")
    )
    assert of_run == of_export
    assert of_run


def test_classes_are_numbered_by_their_file_and_renamed_after_the_run(command: Any, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("hat\ncup\nball\n")
    command("batch", "a.png", "-p", "red cup=cup", "-p", "blue cup=cup", "-p", "ball", "-o", "out", QUIET)
    assert command("export", "out", "-t", "yolo", "--classes", "names.txt", QUIET).code == 0
    assert names_of(tmp_path / "out/export") == ["hat", "cup", "ball"]
    assert labels_of(tmp_path / "out/export") == {"a": ["1", "1", "2"]}
    answer = command("export", "out", "-t", "yolo", "--classes", "names.txt", "--class", "ball=cap")
    assert answer.code == 2
    assert "no class named 'cap'" in answer.err
    answer = command("export", "out", "-t", "yolo", "--class", "red cap=cup")
    assert "no phrase named 'red cap', did you mean red cup?" in answer.err


def test_a_list_has_a_column_of_classes(command: Any, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("input,phrase,label\na.png,red cup,cup\nb.png,ball,\n")
    command("batch", "--list", "list.csv", "-o", "out", "-f", "yolo", QUIET)
    assert names_of(tmp_path / "out") == ["cup", "ball"]
    (tmp_path / "list.csv").write_text("input,phrase,label\na.png,cup,cup\nb.png,cup,mug\n")
    answer = command("batch", "--list", "list.csv", "-o", "out2")
    assert answer.code == 2
    assert answer.err.endswith("list.csv, line 3: 'cup' has two labels: cup and mug\n")


def test_segment_takes_classes_and_several_phrases_of_one(command: Any, tmp_path: Path) -> None:
    answer = command("segment", "a.png", "-p", "red cup . blue cup=cup", "-o", "out", "-f", "yolo", "-f", "coco", QUIET)
    assert answer.code == 0
    assert names_of(tmp_path / "out") == ["cup"]
    told = json.loads((tmp_path / "out/coco.json").read_text())
    assert [each["phrase"] for each in told["annotations"]] == ["red cup", "blue cup"]
    assert [each["name"] for each in told["categories"]] == ["cup"]
    assert command("segment", "a.png", "-p", "=cup").code == 2


def test_filters_hold_in_the_run_and_in_an_export(command: Any, tmp_path: Path) -> None:
    def areas(folder: str) -> list[int]:
        told = json.loads((tmp_path / folder / "coco.json").read_text())
        return [int(coco_mask.area(each["segmentation"])) for each in told["annotations"]]

    command("batch", "a.png", "b.png", "cup", "-o", "out", "-f", "coco", QUIET)
    whole = areas("out")
    limit = str(max(whole) + 1)
    answer = command("export", "out", "-t", "coco", "--min-area", limit)
    assert answer.err == "groundkit: 0 objects of 2 results; 2 filtered out\n"
    assert areas("out/export") == []
    assert command("export", "out", "-t", "coco", "--min-area", str(min(whole)), QUIET).code == 0
    assert areas("out/export") == whole
    command("batch", "a.png", "b.png", "cup", "-o", "small", "-f", "coco", "--min-area", limit, QUIET)
    assert areas("small") == []
    answer = command("batch", "a.png", "b.png", "cup", "-o", "small", "-f", "coco")
    assert answer.code == 2
    assert "other settings (cleaning" in answer.err


def test_an_export_reads_parts_that_were_not_joined(command: Any, tmp_path: Path) -> None:
    for part in ("1/2", "2/2"):
        command("batch", "a.png", "b.png", "cup", "-o", "out", "--shard", part, QUIET)
    command("export", "out", "-t", "yolo", QUIET)
    assert labels_of(tmp_path / "out/export") == {"a": ["0"], "b": ["0"]}


def test_what_cannot_be_exported_is_refused_in_one_line(command: Any, tmp_path: Path) -> None:
    command("batch", "a.png", "cup", "-o", "out", QUIET)
    for arguments, message in (
        (["nowhere", "-t", "yolo"], "nowhere has no manifest.jsonl: name the output folder of a groundkit batch"),
        (["out", "-t", "png"], "png has a file for each result: run the same groundkit batch again with -f png"),
        (["out", "-t", "yolo", "--val", "1"], "--val must be a share of the pictures from 0 to below 1, got 1.0"),
        (["out", "-t", "yolo", "--class", "cup"], "'cup': write PHRASE=CLASS, such as \"the red cup=cup\""),
    ):
        answer = command("export", *arguments)
        assert (answer.code, answer.err) == (2, f"groundkit: error: {message}\n")
    assert not (tmp_path / "out/export").exists()
