"""``groundkit batch``: what the command says and leaves, and that kill -9 does not matter."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from files import tree
from PIL import Image

from groundkit.outputs.video.mp4 import write_mp4

SAMPLES = Path(__file__).parents[2] / "samples"
QUIET = "--quiet"
COMMAND = [sys.executable, "-c", "from groundkit.cli.main import main; main()", "batch"]


def test_folders_times_phrases_give_files_and_a_manifest(command: Any, pipeline: Any, tmp_path: Path) -> None:
    answer = command("batch", ".", "-p", "cup", "-p", "ball", "-o", "out")
    assert answer.code == 0
    assert answer.out == "out/manifest.jsonl\n"
    names = [f"{stem}-{phrase}{ending}" for stem in "ab" for phrase in ("ball", "cup") for ending in ("-overlay", "")]
    assert sorted(tree(tmp_path / "out")) == [*(f"{name}.png" for name in names), "manifest.jsonl"]
    assert pipeline.encoded == 2
    assert "groundkit: 4 results (0 before, 4 now in " in answer.err
    assert answer.err.endswith("; 0 empty, 0 failed; see out\n")


def test_a_second_run_has_nothing_to_do_and_loads_nothing(command: Any, pipeline: Any, tmp_path: Path) -> None:
    first = command("batch", "a.png", "b.png", "cup", "-o", "out", "-f", "png", "-f", "coco", QUIET)
    before = tree(tmp_path / "out")
    pipeline.loaded_with = {}
    assert command("batch", "a.png", "b.png", "cup", "-o", "out", "-f", "png", "-f", "coco", QUIET) == first
    assert first == (0, "out/manifest.jsonl\nout/coco.json\n", "")
    assert (pipeline.encoded, pipeline.loaded_with) == (2, {})
    assert tree(tmp_path / "out") == before


def test_a_part_run_again_leaves_the_coco_file_whole(command: Any, tmp_path: Path) -> None:
    arguments = ("cup", "-o", "out", "-f", "coco", QUIET)
    command("batch", "a.png", "b.png", *arguments)
    before = tree(tmp_path / "out")
    assert command("batch", "b.png", *arguments).code == 0
    again = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert sorted(image["file_name"] for image in again["images"]) == ["a.png", "b.png"]
    assert len(again["annotations"]) == 2
    assert command("batch", "a.png", "b.png", *arguments).code == 0
    assert tree(tmp_path / "out") == before


def test_formats_and_a_report_are_added_to_a_finished_batch_without_grounding_again(
    command: Any, pipeline: Any, tmp_path: Path
) -> None:
    every = [part for kind in ("png", "overlay", "cutout", "json", "coco") for part in ("-f", kind)]
    arguments = ("batch", "a.png", "b.png", "-p", "cup", "-p", "nothing")
    command(*arguments, "-o", "whole", *every, "--report", "whole.html", QUIET)
    command(*arguments, "-o", "out", "-f", "png", QUIET)
    encoded, pipeline.loaded_with = pipeline.encoded, {}
    answer = command(*arguments, "-o", "out", *every, "--report", "out.html")
    assert (answer.code, pipeline.encoded, pipeline.loaded_with) == (0, encoded, {})
    assert "groundkit: 4 results completed with missing files, without grounding again" in answer.err
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert (tmp_path / "out.html").read_bytes() == (tmp_path / "whole.html").read_bytes()


def test_only_what_needs_it_is_grounded_again_and_told(command: Any, pipeline: Any, tmp_path: Path) -> None:
    arguments = ("batch", "a.png", "b.png", "cup", "-o", "out")
    command(*arguments, "-f", "png", "-f", "overlay", QUIET)
    (tmp_path / "out" / "a-cup.png").unlink()
    answer = command(*arguments, "-f", "png", "-f", "overlay")
    assert (pipeline.encoded, (tmp_path / "out" / "a-cup.png").exists()) == (2, True)
    assert "1 result completed with missing files" in answer.err
    shutil.copy(tmp_path / "b.png", tmp_path / "new.png")
    arguments = ("batch", "a.png", "b.png", "new.png", "cup", "-o", "out")
    answer = command(*arguments, "-f", "heatmap")
    assert pipeline.encoded == 5
    assert "groundkit: 2 finished results grounded again: missing files need it" in answer.err
    first, _, new = json.loads(command(*arguments, "-f", "heatmap", "--json", QUIET).out)
    assert first["files"] == ["a-cup-heatmap.png", "a-cup-overlay.png", "a-cup.png"]
    assert new["files"] == ["new-cup-heatmap.png"]  # what others had is not made of it
    assert pipeline.encoded == 5


def test_a_coco_file_of_another_command_is_refused_before_the_work(command: Any, pipeline: Any) -> None:
    command("segment", "a.png", "cup", "-o", "out", "-f", "coco", QUIET)
    pipeline.loaded_with = {}
    answer = command("batch", "b.png", "cup", "-o", "out", "-f", "coco", QUIET)
    assert (answer.code, pipeline.loaded_with) == (2, {})
    assert answer.err.startswith("groundkit: error: out/coco.json was not written by groundkit batch: ")


def test_bad_inputs_are_summed_up_at_the_end_and_are_exit_code_1(command: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n")
    answer = command("batch", "missing.png", "broken.mp4", "broken.png", "a.png", "-p", "cup", "-p", "bad", "-o", "out")
    assert answer.code == 1
    *errors, summary = answer.err.splitlines()
    starts = ["missing.png: no such file", "broken.mp4: ", "broken.png: ", "a.png: the phrase is bad: say something"]
    assert len(errors) == len(starts)  # once an input, not once a phrase
    assert all(line.startswith(f"groundkit: error: {start}") for line, start in zip(errors, starts, strict=True))
    assert summary.endswith("0 empty, 7 failed; see out")
    assert set(tree(tmp_path / "out")) == {"a-cup.png", "a-cup-overlay.png", "manifest.jsonl"}


def test_no_model_is_loaded_when_no_input_can_be_used(command: Any, pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "film.mp4").write_bytes(b"no film")
    answer = command("batch", "notes.txt", "film.mp4", "missing.png", "cup", "-o", "out")
    assert (answer.code, pipeline.loaded_with) == (1, {})
    assert [line.split(": ")[2] for line in answer.err.splitlines()[:3]] == ["notes.txt", "film.mp4", "missing.png"]
    (tmp_path / "notes.txt").write_bytes((tmp_path / "a.png").read_bytes())  # tried again, as every failure
    assert command("batch", "notes.txt", "film.mp4", "missing.png", "cup", "-o", "out", "--json", QUIET).code == 1
    records = (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()[1:]
    assert ["error" in json.loads(record) for record in records] == [False, True, True]


def test_json_is_the_records_and_nothing_else(command: Any) -> None:
    answer = command("batch", "a.png", "-p", "cup", "-p", "nothing", "-o", "out", "-f", "png", "--json", QUIET)
    records = json.loads(answer.out)
    assert records[0] == {
        "input": "a.png",
        "phrase": "cup",
        "pipeline": "refam",
        "model": "fake",
        "segmenter": "",
        "version": "0.1.0",
        "device": "",
        "dtype": "",
        "masks": ["a-cup.png"],
        "scores": [0.9],
        "boxes": [[10.0, 10.0, 40.0, 20.0]],
        "points": [[25.0, 15.0, 1], [0.5, 0.5, 0]],
        "name": "a-cup",
        "formats": ["png"],
        "files": ["a-cup.png"],
        "path": "../a.png",
        "size": [48, 64],
        "bytes": Path("a.png").stat().st_size,
        "modified": Path("a.png").stat().st_mtime_ns,
        "digest": records[1]["digest"],
    }
    assert (records[1]["scores"], answer.code) == ([], 0)
    assert command("batch", "a.png", "-p", "nothing", "-o", "empty", "--fail-on-empty", QUIET).code == 1


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(command: Any, pipeline: Any, tmp_path: Path) -> None:
    before = tree(tmp_path)
    answer = command("batch", "a.png", "b.png", "-p", "cup", "-p", "ball", "-o", "out", "--dry-run")
    assert answer == (0, "".join(f"{x}.png\t{p}\t{x}-{p}\tpicture\n" for x in "ab" for p in ("cup", "ball")), "")
    assert (tree(tmp_path), pipeline.loaded_with, (tmp_path / "out").exists()) == (before, {}, False)
    command("batch", "a.png", "-p", "cup", "-o", "out", QUIET)
    before = tree(tmp_path)
    answer = command("batch", "a.png", "-p", "cup", "-p", "ball", "-o", "out", "--dry-run")
    assert answer.out == "a.png\tball\ta-ball\tpicture\n"
    assert tree(tmp_path) == before


def test_a_folder_of_camera_photos_is_pictures_and_a_video_only_when_asked(command: Any, tmp_path: Path) -> None:
    (tmp_path / "camera" / "more").mkdir(parents=True)
    for number in range(4101, 4105):
        Image.new("RGB", (40, 30 + number % 2), "white").save(tmp_path / "camera" / f"IMG_{number}.png")
    Image.new("RGB", (40, 30), "white").save(tmp_path / "camera" / "more" / "a.png")
    told = "camera: 1 folder below it left out: give 'camera/**', in quotes, to include all"
    answer = command("batch", "camera", "cup", "-o", "out", "-f", "coco", QUIET)
    assert (answer.code, answer.out) == (0, "out/manifest.jsonl\nout/coco.json\n")
    assert told in answer.err
    assert len(json.loads((tmp_path / "out" / "coco.json").read_text())["images"]) == 4
    answer = command("batch", "camera", "cup", "-o", "film", "--frames", "--dry-run", "-f", "coco")
    assert answer.out == "camera\tcup\tcamera-cup\tframes\n"
    assert told in answer.err
    assert "coco.json holds pictures only; the masks of a video are in its .jsonl" in answer.err


def test_a_list_groups_its_rows_by_input(command: Any, pipeline: Any, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("input,phrase\na.png,cup\nb.png,cup\na.png,ball\n")
    assert command("batch", "--list", "list.csv", "-o", "out", "-f", "png", QUIET).code == 0
    assert pipeline.encoded == 2
    assert set(tree(tmp_path / "out")) == {"a-cup.png", "a-ball.png", "b-cup.png", "manifest.jsonl"}


def test_shards_and_the_command_without_them_give_the_whole(command: Any, pipeline: Any, tmp_path: Path) -> None:
    arguments = ("batch", "a.png", "b.png", "cup", "-f", "png", "-f", "coco", QUIET)
    assert command(*arguments, "-o", "whole").code == 0
    for part in ("2/2", "1/2"):
        answer = command(*arguments, "-o", "parts", "--shard", part)
        assert answer.out == f"parts/manifest_{part.replace('/', '_of_')}.jsonl\n"
    encoded = pipeline.encoded
    assert command(*arguments, "-o", "parts").out == "parts/manifest.jsonl\nparts/coco.json\n"
    assert pipeline.encoded == encoded
    parts = {name: content for name, content in tree(tmp_path / "parts").items() if "_of_" not in name}
    assert parts == tree(tmp_path / "whole")


def test_files_of_other_commands_can_be_left_out(command: Any, pipeline: Any, tmp_path: Path) -> None:
    command("segment", "a.png", "cup", "-o", "out", QUIET)
    answer = command("batch", "a.png", "b.png", "cup", "-o", "out", "--skip-existing")
    assert pipeline.encoded == 2
    assert ", 1 skipped); 0 empty, 0 failed" in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a.png", "cup", "-o", "x.png"), "x.png is one file, but a batch writes many: give a folder"),
        (("a.png", "cup", "--shard", "3/2"), "shard 3/2: write i/n"),
        (("a.png", "cup", "--skip-existing", "-f", "coco"), "--skip-existing has no masks"),
        (("a.png", "cup", "--engine", "dask"), "no engine named 'dask': use one of local, ray"),
        (("a.png", "cup", "-f", "gif"), "no format named 'gif'"),
        (("a.png", "cup", "--key-frame", "frist"), "key_frame=frist"),
        (("a.png", "cup", "--set", "lost_interval=often"), "lost_interval=often"),
        (("--list", "list.csv", "-p", "cup"), "a list has its own phrases"),
        (("a.png",), "give an input and a phrase: groundkit batch photos/"),
        (("-", "cup"), "cannot read standard input again"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_writes_nothing(
    command: Any, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    before = tree(tmp_path)
    answer = command("batch", *arguments)
    assert answer.code == 2
    assert message in " ".join(answer.err.replace("│", " ").split())
    assert tree(tmp_path) == before


def test_other_settings_are_refused_in_the_same_output(command: Any, tmp_path: Path) -> None:
    assert command("batch", "a.png", "cup", QUIET).code == 0
    before = tree(tmp_path)
    answer = command("batch", "a.png", "cup", "--set", "max_peaks=3", QUIET)
    assert answer.code == 2
    assert "belongs to a run with other settings (max_peaks 1, now 3)" in answer.err
    assert tree(tmp_path) == before


def test_ctrl_c_says_how_to_go_on(command: Any, tmp_path: Path) -> None:
    answer = command("batch", "a.png", "-p", "cup", "-p", "interrupt", "-o", "out", QUIET)
    assert (answer.code, answer.err) == (130, "groundkit: interrupted; run the same command again to continue\n")
    # What was being written is whole, and nothing is written any more.
    assert set(tree(tmp_path / "out")) == {"a-cup.png", "a-cup-overlay.png", "manifest.jsonl"}


def start(folder: Path, workers: int) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    inputs = [str(folder.parent / name) for name in ("scene_1.png", "missing.png", "scene_2.png", "clip.mp4")]
    options = ["-p", "the red cup", "-p", "the bird", "-o", "out", "-f", "png", "-f", "json", "-f", "coco"]
    return subprocess.Popen(
        [*COMMAND, *inputs, *options, "--workers", str(workers), "--offline", QUIET],
        cwd=folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(folder: Path) -> list[dict[str, Any]]:
    manifest = folder / "out" / "manifest.jsonl"
    lines = manifest.read_bytes().split(b"\n")[1:-1] if manifest.exists() else []
    return [record for record in map(json.loads, lines) if "files" in record]


@pytest.mark.slow
def test_nano_is_killed_twice_and_ends_with_what_a_quiet_run_leaves(tmp_path: Path) -> None:
    pictures = [np.asarray(Image.open(SAMPLES / f"scene_{number}.png").convert("RGB")) for number in (1, 2)]
    for number, picture in enumerate(pictures, 1):
        Image.fromarray(picture).save(tmp_path / f"scene_{number}.png")
    small = cv2.resize(pictures[0], (96, 96), interpolation=cv2.INTER_AREA)
    write_mp4(tmp_path / "clip.mp4", [np.roll(small, step, axis=1) for step in range(3)], rate=12)
    with start(tmp_path / "quiet", 2) as quiet:
        _, err = quiet.communicate(timeout=600)
    assert quiet.returncode == 1  # a file is missing
    (line,) = err.splitlines()
    assert "missing.png: no such file or folder" in line

    folder = tmp_path / "killed"
    stamps: dict[Path, int] = {}
    for results in (1, 3):
        with start(folder, 2) as process:
            deadline = time.monotonic() + 600
            while len(finished(folder)) < results and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        done = [folder / "out" / file for record in finished(folder) for file in record["files"]]
        assert len(finished(folder)) >= results
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
        stamps = {path: path.stat().st_mtime_ns for path in done}
    with start(folder, 2) as process:
        process.communicate(timeout=600)
    assert process.returncode == 1
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert tree(folder / "out") == tree(tmp_path / "quiet" / "out")
    assert any(name.endswith(".mp4") for name in tree(folder / "out"))
