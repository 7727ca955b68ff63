import io
import json
from dataclasses import replace
from functools import partial

import pytest
from files import tree
from pycocotools.coco import COCO

from groundkit.errors import ConfigError, GroundkitError
from groundkit.media.videos import Video, read_video
from groundkit.outputs.save import RunFiles
from groundkit.report.page import ReportWriter
from groundkit.run import runner
from groundkit.run.engines.here import here
from groundkit.run.finished import add_entries, add_results, needs_grounding, without_existing
from groundkit.run.manifest import open_manifest
from groundkit.run.plan import Shard, count_tasks, make_plan
from groundkit.run.runner import Listener, RunSettings

WHOLE = Shard()


class Killed(BaseException):
    """Stands for kill -9: whatever is under way is left as it is."""


class Listens(Listener):
    """Keeps the records, and dies when there are so many."""

    def __init__(self, kill_after=None):
        self.records, self.kill_after = [], kill_after

    def result(self, record):
        self.records.append(record)
        if len(self.records) == self.kill_after:
            raise Killed


def run(job, plan, shard=WHOLE, engine=here, kill_after=None, report=None):
    """What the command does; dies when ``kill_after`` records are in the manifest."""
    listener = Listens(kill_after)
    runner.run(RunSettings(plan, job, engine, manifest={"model": "none"}, shard=shard, report=report), listener)
    return listener.records


@pytest.fixture
def whole(job, plan, tmp_path):
    """What an uninterrupted run leaves."""
    run(job, plan)
    kept = job.output.rename(tmp_path / "whole")
    return tree(kept)


def test_every_task_has_a_record_and_bad_ones_stop_no_others(job, plan, pipeline):
    done = run(job, plan)
    assert len(done) == count_tasks(plan) == 22
    errors = {(record["name"]): record["error"] for record in done if "error" in record}
    for name in ("broken", "huge"):
        assert {f"{name}-{phrase}" for phrase in ("cup", "bad", "ball", "nothing")} <= set(errors)
    assert errors["huge-cup"].startswith("main memory is full: try a smaller picture")
    assert errors["broken-cup"].endswith("convert it to PNG or JPEG")
    assert errors["missing-cup"].endswith("no such file or folder; check the path")
    assert errors["0-bad"] == errors["clip-bad"] == "say more"
    assert len(errors) == 4 + 4 + 2 + 3
    assert pipeline.asked.count("cup") == 3


def test_records_say_where_the_files_are_and_never_how_long_it_took(job, plan):
    done = {record["name"]: record for record in run(job, plan)}
    picture, clip = done["0-cup"], done["clip-cup"]
    assert picture["files"] == ["0-cup.json", "0-cup-overlay.png", "0-cup.png"]
    assert picture["masks"] == ["0-cup.png"]
    assert done["0-nothing"]["scores"] == []
    assert clip["files"] == ["clip-cup.mp4", "clip-cup.jsonl", "clip/cup"]
    assert (clip["input"].endswith("in/clip.mp4"), clip["frames"], clip["seen"]) == (True, 4, 4)
    assert len(list((job.output / "clip" / "cup").iterdir())) == 4
    described = json.loads((job.output / "0-cup.json").read_text())
    assert not any("seconds" in each for each in (picture, clip, described))
    assert all((job.output / file).exists() for record in done.values() for file in record.get("files", []))


@pytest.mark.slow
def test_a_kill_after_any_record_and_another_run_leave_what_an_uninterrupted_run_does(
    job, plan, pipeline, tmp_path, whole
):
    for kill_after in range(1, count_tasks(plan) + 1):
        with pytest.raises(Killed):
            run(job, plan, kill_after=kill_after)
        lines = [json.loads(line) for line in (job.output / "manifest.jsonl").read_text().splitlines()[1:]]
        assert len(lines) == kill_after
        finished = [record["name"] for record in lines if "files" in record]
        stamps = {path: path.stat().st_mtime_ns for name in finished for path in job.output.glob(f"{name}*")}
        again = run(job, plan)
        assert not {record["name"] for record in again} & set(finished)
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
        assert tree(job.output) == whole
        job.output.rename(tmp_path / f"killed-{kill_after}")


def test_a_kill_in_the_middle_of_a_line_and_of_a_file_leaves_no_trace(job, plan, whole):
    with pytest.raises(Killed):
        run(job, plan, kill_after=3)
    manifest = job.output / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    (job.output / f".{'0a' * 16}.png").write_bytes(b"half")
    (job.output / f".{'0b' * 16}").mkdir()
    (job.output / f".{'0b' * 16}" / "00000.png").write_bytes(b"half")
    run(job, plan)
    assert tree(job.output) == whole


def test_failures_are_tried_again_and_what_went_well_is_not(job, plan, pipeline, tmp_path):
    run(job, plan)
    asked = len(pipeline.asked)
    (tmp_path / "missing.png").write_bytes((tmp_path / "in" / "0.png").read_bytes())
    done = {record["name"]: record for record in run(job, plan)}
    assert "missing-cup" in done
    assert "0-cup" not in done
    assert pipeline.asked[asked:].count("ball") == 0


def test_no_model_is_loaded_when_nothing_is_left(job, plan):
    good = [unit.only(unit.tasks[:1]) for unit in plan if unit.item.name.endswith(("0.png", "1.png"))]
    run(job, good)
    assert run(replace(job, load=lambda: pytest.fail("loaded")), good) == []


def test_a_report_is_made_of_the_results_as_they_are_written_and_of_the_records_later(job, plan, tmp_path, monkeypatch):
    opened = []
    frames = Video.frames
    monkeypatch.setattr(Video, "frames", lambda self, *limits: opened.append(self.name) or frames(self, *limits))
    run(job, plan, report=tmp_path / "one.html")
    assert opened == ["clip"] * 4  # each phrase is followed once, and the report looks at no video again
    with pytest.raises(Killed):
        run(replace(job, output=tmp_path / "again"), plan, kill_after=20)
    run(replace(job, output=tmp_path / "again"), plan, report=tmp_path / "two.html")
    run(job, plan, report=tmp_path / "three.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "three.html").read_bytes()


def test_a_setting_that_the_model_refuses_ends_the_run_and_keeps_what_there_is(job, plan, pipeline, tmp_path):
    refused = make_plan([(str(tmp_path / "in" / "0.png"), ["cup", "refused", "ball"])])
    with pytest.raises(ConfigError, match="no head 9"):
        run(job, refused)
    assert (job.output / "0-cup.png").exists()


def test_shards_and_then_the_whole_leave_what_one_run_does(job, plan, whole):
    for index in (2, 3, 1):
        run(job, plan, Shard(index, 3))
    again = run(job, plan)
    assert all("error" in record for record in again)  # nothing that went well is done again
    for index in (1, 2, 3):
        (job.output / f"manifest_{index}_of_3.jsonl").unlink()
    assert tree(job.output) == whole


def test_the_coco_file_holds_the_pictures_of_the_whole_run(job, plan):
    run(job, plan)
    coco = COCO(str(job.output / "coco.json"))
    assert [image["file_name"] for image in coco.imgs.values()] == ["0.png", "1.png"]
    assert [category["name"] for category in coco.cats.values()] == ["cup", "ball", "nothing"]
    assert [annotation["bbox"] for annotation in coco.anns.values()] == [[0, 5, 20, 7]] * 2 + [[10, 5, 20, 7]] * 2


def test_one_picture_is_read_ahead_and_the_order_of_records_is_that_of_the_plan(job, plan):
    names = [task.name for unit in plan for task in unit.tasks]
    for jobs in (1, 4):
        assert [record["name"] for record in here(replace(job, jobs=jobs), plan)] == names


def test_stride_and_most_frames_thin_a_video_and_keep_its_names_and_times(job, plan):
    clip = [unit for unit in plan if unit.item.is_video][:1]
    (record,) = run(replace(job, stride=2, max_frames=2), clip)
    assert record["frames"] == 2
    assert sorted(path.name for path in (job.output / "clip" / "cup").iterdir()) == ["00000.png", "00002.png"]
    times = [float(frame.seconds) for frame in read_video(job.output / "clip-cup.mp4").frames()]
    assert times == pytest.approx([0, 0.2], abs=1e-4)


def test_files_that_are_there_can_be_left_out_whoever_wrote_them(job, plan, tmp_path):
    run(job, plan)
    (job.output / "manifest.jsonl").unlink()
    left = without_existing(plan, job.output, ("png", "overlay"))
    names = {task.name for unit in left for task in unit.tasks}
    assert {"0-cup", "1-ball", "clip-cup"}.isdisjoint(names)
    assert {"0-bad", "broken-cup", "clip-bad", "0-nothing"} <= names


@pytest.mark.filterwarnings("ignore:.*has results of groundkit x")
def test_no_change_to_a_manifest_ends_in_a_traceback_and_what_it_spoils_is_done_anew(job, plan):
    run(job, plan)
    path = job.output / "manifest.jsonl"
    whole = tree(job.output)
    header, *lines = path.read_text().splitlines()
    kinds = {"picture": "0-cup", "video": "clip-cup"}
    records = {kind: next(r for r in map(json.loads, lines) if r["name"] == name) for kind, name in kinds.items()}
    for kind, record in records.items():
        for key in record:
            for value in ("absent", None, 7, "x", [1], {}):
                changed = {k: v for k, v in record.items() if k != key or value != "absent"}
                changed |= {} if value == "absent" else {key: value}
                path.write_text("\n".join([header, json.dumps(changed)]) + "\n")
                try:
                    with open_manifest(job.output, {"model": "none"}, WHOLE, write=False) as manifest:
                        units = [unit for unit in plan if any(task.name == kinds[kind] for task in unit.tasks)]
                        lacks = partial(needs_grounding, output=job.output, formats=("png", "json"))
                        left = list(manifest.left(units, lacks=lacks))
                        sound = [each for each in manifest.records_of(units) if not lacks(each)]
                        assert len(sound) <= 1
                        add_entries(ReportWriter(path, io.StringIO()), manifest, [] if left else units, job.output, 1)
                        files = RunFiles(job.output, job.formats, "groundkit batch", whole=True)
                        add_results(files, manifest.all_records(units), job.output, {})
                except GroundkitError:
                    pass
    path.write_bytes(whole[str(path.relative_to(job.output))])
    run(job, plan)
    assert tree(job.output) == whole
