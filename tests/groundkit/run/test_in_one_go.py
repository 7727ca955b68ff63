"""A run without a manifest: phrases in pictures, or everything that there is."""

import json
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from groundkit.errors import AttentionError, ConfigError, InputError, PhraseError
from groundkit.outputs.save import save_result
from groundkit.pipelines.base import Pipeline
from groundkit.report.page import picture_entry
from groundkit.results import Discovery, Failure
from groundkit.run import worker
from groundkit.run.plan import make_plan
from groundkit.run.runner import Listener, RunSettings, run
from groundkit.run.worker import Job


class Rectangles(Pipeline):
    """A pipeline that finds one rectangle, refuses the phrase "bad", breaks at "broken", is ill set for "set"."""

    name, model, segmenter = "rectangles", "none", None

    def __init__(self, make_grounding):
        self.make_grounding = make_grounding
        self.encoded = 0

    def outcomes(self, image, phrases, *, seed=0):
        self.encoded += 1
        for phrase in phrases:
            if phrase == "broken":
                raise AttentionError("layer 3 was silent")
            error = {"bad": PhraseError("say more"), "set": ConfigError("no head 9")}.get(phrase)
            yield Failure(phrase, error) if error else self.make_grounding((2, 3, 20, 30), image=image, phrase=phrase)


class Listens(Listener):
    def __init__(self):
        self.records = []

    def result(self, record):
        self.records.append(record)


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / "in" / name for name in ("a.png", "b.png")]
    paths[0].parent.mkdir()
    for path in paths:
        Image.new("RGB", (64, 48)).save(path)
    return paths


@pytest.fixture
def segment(make_grounding, tmp_path):
    """Run phrases over pictures; records and summary."""

    def call(paths, phrases, formats, output=tmp_path / "out", pipeline=None, **options):
        pipeline = pipeline or Rectangles(make_grounding)
        plan = make_plan([(str(path), phrases) for path in paths], output)
        job = Job(lambda: pipeline, output, tuple(formats), command="segment")
        listener = Listens()
        return listener.records, run(RunSettings(plan, job, **options), listener)

    return call


def test_one_outcome_per_phrase_also_when_the_pipeline_gives_up(segment, pictures):
    records, summary = segment(pictures[:1], ["a", "bad", "b", "broken", "c"], ["png"])
    assert [record.get("error", "found") for record in records] == [
        *("found", "say more", "found", "layer 3 was silent", "layer 3 was silent")
    ]
    assert (summary.total, summary.failed, summary.empty) == (5, 3, 0)


def test_a_setting_that_the_model_refuses_ends_the_run(segment, pictures):
    with pytest.raises(ConfigError, match="no head 9"):
        segment(pictures, ["a", "set", "b"], ["png"])


def test_an_unreadable_picture_fails_for_each_phrase_and_the_others_go_on(segment, pictures, make_grounding):
    pictures[0].write_bytes(b"no picture")
    pipeline = Rectangles(make_grounding)
    records, _ = segment(pictures, ["one", "two"], ["png"], pipeline=pipeline)
    assert [(record["input"], record["phrase"], "error" in record) for record in records] == [
        (str(path), phrase, path == pictures[0]) for path in pictures for phrase in ("one", "two")
    ]
    assert pipeline.encoded == 1


@pytest.fixture
def watched(make_grounding, pictures, tmp_path):
    """Run phrases over a picture, by a pipeline that calls ``ask`` with the number of phrases it was asked for."""

    def call(ask, phrases="abc"):
        class Watched(Rectangles):
            def outcomes(self, image, phrases, *, seed=0):
                for number, outcome in enumerate(super().outcomes(image, phrases, seed=seed)):
                    ask(number)
                    yield outcome

        plan = make_plan([(str(pictures[0]), list(phrases))])
        job = Job(lambda: Watched(make_grounding), tmp_path / "out", ("png",), command="segment")
        run(RunSettings(plan, job), listener)

    class Tells(Listens):
        def result(self, record):
            assert all((tmp_path / "out" / file).exists() for file in record["files"])
            super().result(record)

    listener = Tells()
    return call, listener.records


def test_a_result_is_told_before_the_next_phrase_is_looked_for_where_the_phrase_took_much_longer_than_its_files(
    watched, monkeypatch
):
    call, told = watched
    monkeypatch.setattr(worker, "_PATIENCE", 1e9)  # a phrase took a billionth of the time

    def ask(number):
        assert len(told) == number

    call(ask)
    assert len(told) == 3


def test_files_are_written_while_the_next_phrase_is_looked_for(watched, monkeypatch):
    call, told = watched
    monkeypatch.setattr(worker, "_PATIENCE", 0)
    asked = Event()
    original = worker.write_result

    def write(*arguments):
        assert asked.wait(20)
        return original(*arguments)

    monkeypatch.setattr(worker, "write_result", write)
    call(lambda number: asked.set() if number else None)
    assert [record["phrase"] for record in told] == ["a", "b", "c"]


def test_few_results_wait_for_their_files(watched, monkeypatch):
    call, told = watched
    asked, seen = [], []
    waiting = Event()
    original = worker.write_result

    def ask(number):
        asked.append(number)
        if len(asked) == 3:
            waiting.set()

    def write(*arguments):
        assert waiting.wait(20)
        seen.append(len(asked) - len(told))
        return original(*arguments)

    monkeypatch.setattr(worker, "write_result", write)
    call(ask, "abcdefghij")
    assert len(told) == 10
    assert max(seen) <= 4  # one in work, two that wait, and the next phrase


def test_an_interrupt_while_files_are_written_loses_no_result_and_leaves_nothing_half_written(
    watched, monkeypatch, tmp_path
):
    call, told = watched
    interrupted = Event()
    original = worker.write_result

    def write(*arguments):
        assert interrupted.wait(20)
        return original(*arguments)

    def ask(number):
        if number == 2:
            interrupted.set()
            raise KeyboardInterrupt

    monkeypatch.setattr(worker, "write_result", write)
    with pytest.raises(KeyboardInterrupt):
        call(ask)
    assert [record["phrase"] for record in told] == ["a", "b"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-a.png", "a-b.png"]


def test_a_full_disk_fails_the_result_it_belongs_to_and_leaves_nothing_half_written(
    segment, make_grounding, tmp_path, pictures, largest_file
):
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    Image.fromarray(noise).save(pictures[0])
    with largest_file(10_000):
        records, summary = segment(pictures, ["cup", "ball"], ["overlay"])
    assert [("error" in record, record["phrase"]) for record in records] == [
        (True, "cup"),
        (True, "ball"),
        (False, "cup"),
        (False, "ball"),
    ]
    assert records[0]["error"].startswith(f"cannot write {tmp_path / 'out' / 'a-cup-overlay.png'}: ")
    assert summary.failed == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["b-ball-overlay.png", "b-cup-overlay.png"]


def test_every_result_has_files_of_its_own(segment, tmp_path, pictures):
    phrases = ["Red cup", "red-cup", "red cup overlay", "红色", "🧸", "🎈"]
    records, _ = segment(pictures, phrases, ["png", "overlay"])
    files = [file for record in records for file in record["files"]]
    assert len({file.casefold() for file in files}) == len(files) == 24
    assert sorted(files) == sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files[0] == "a-red-cup.png"
    assert [record["phrase"] for record in records[:6]] == phrases


def test_a_run_has_one_coco_file(segment, tmp_path, pictures):
    records, summary = segment(pictures, ["cup", "ball"], ["coco"])
    assert all(record["files"] == [] for record in records)
    assert summary.files == [tmp_path / "out" / "coco.json"]
    coco = COCO(str(summary.files[0]))
    assert [image["file_name"] for image in coco.imgs.values()] == ["a.png", "b.png"]
    assert coco.dataset["info"]["folder"] == (tmp_path / "in").as_posix()
    assert len(coco.anns) == 4


def test_a_run_over_a_part_leaves_the_rest_of_the_coco_file_whole(segment, tmp_path, pictures):
    def coco(paths, phrases):
        return json.loads(segment(paths, phrases, ["coco"])[1].files[0].read_text())

    whole = coco(pictures, ["cup", "ball"])
    assert coco(pictures[:1], ["ball"]) == whole  # replaced by the same
    (tmp_path / "other").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "other" / "c.png")
    more = coco([tmp_path / "other" / "c.png"], ["hat"])
    assert [image["file_name"] for image in more["images"]] == ["in/a.png", "in/b.png", "other/c.png"]
    assert [category["name"] for category in more["categories"]] == ["cup", "ball", "hat"]
    assert more["info"]["folder"] == tmp_path.as_posix()
    assert more["annotations"][:4] == whole["annotations"]
    assert len(more["annotations"]) == 5


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"images": [], "annotations": [], "categories": []}', '{"info": {"description": "x"}}']
)
def test_a_coco_file_of_another_maker_is_not_written_over(segment, tmp_path, pictures, content):
    path = tmp_path / "out" / "coco.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"coco\.json was not written by groundkit segment: give another --output"):
        segment(pictures, ["cup"], ["coco"])
    assert path.read_text() == content


def test_one_file_cannot_hold_several_results(segment, tmp_path, pictures):
    with pytest.raises(ConfigError, match=r"a\.png is one file but there are 2 results: give a folder$"):
        segment(pictures, ["cup"], ["png"], tmp_path / "a.png")
    with pytest.raises(ConfigError, match="no format named"):
        segment(pictures, ["cup"], ["tiff"])
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*out: Not a directory"):
        segment(pictures, ["cup"], ["png"], tmp_path / "file" / "out")


def test_an_input_is_never_written_over(segment, tmp_path, pictures):
    before = [path.read_bytes() for path in pictures]
    with pytest.raises(ConfigError, match=r"a\.png is an input, and would be lost: give another --output"):
        segment(pictures[:1], ["cup"], ["png"], pictures[0])
    theirs = tmp_path / "in" / "a-cup.png"
    Image.new("RGB", (64, 48)).save(theirs)
    records, _ = segment([*pictures, theirs], ["cup"], ["png"], tmp_path / "in")
    assert ["error" in record for record in records] == [True, False, False]
    assert "a-cup.png is an input" in records[0]["error"]
    assert [path.read_bytes() for path in pictures] == before


def test_a_place_that_cannot_be_written_to_fails_this_result_only(segment, tmp_path, pictures):
    (tmp_path / "out" / "a-cup.png").mkdir(parents=True)
    records, _ = segment(pictures, ["cup"], ["png"])
    assert ["error" in record for record in records] == [True, False]
    assert set(records[0]) == {"input", "phrase", "error", "name"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a-cup.png", "b-cup.png"]


def test_results_of_a_batch_are_not_written_over_and_a_batch_tells_whose_results_it_writes_over(
    segment, make_grounding, tmp_path, pictures
):
    plan = make_plan([(str(path), ["cup"]) for path in pictures], tmp_path / "out")
    job = Job(lambda: Rectangles(make_grounding), tmp_path / "out", ("png", "json"))
    run(RunSettings(plan, job, manifest={}))
    before = (tmp_path / "out" / "a-cup.json").read_bytes()
    with pytest.raises(ConfigError, match=r"out/a-cup is a result of groundkit batch, whose manifest\.jsonl would be"):
        segment(pictures[:1], ["cup"], ["json"])
    assert (tmp_path / "out" / "a-cup.json").read_bytes() == before
    segment(pictures[:1], ["ball"], ["png"])
    with pytest.warns(UserWarning, match=r"a-ball\.png was written by groundkit segment, and is overwritten"):
        run(RunSettings(make_plan([(str(pictures[0]), ["ball"])], tmp_path / "out"), job, manifest={}))


def found(*labels, grey=0):
    """A picture of 8 x 8 pixels; each label has one pixel, in the row of its own number."""
    masks = np.zeros((len(labels), 8, 8), np.bool_)
    for row, mask in enumerate(masks):
        mask[row, row] = True
    return Discovery(
        image=np.full((8, 8, 3), grey, np.uint8),
        labels=labels,
        masks=masks,
        scores=np.linspace(0.9, 0.5, len(labels), dtype=np.float32),
        points=tuple(np.zeros((1, 3), np.float32) for _ in labels),
        answers=(),
        pipeline="vlsam",
        model="planted",
        seconds=0.0,
    )


class Knows:
    """Discovers what was said of each picture, told by its grey."""

    segmenter = None

    def __init__(self, discoveries):
        self.discoveries = discoveries

    def discover(self, image, *, seed=0):
        return self.discoveries[image[0, 0, 0]]


def discovered(folder, formats, pictures, **options):
    """The files of a run of discoveries, in their order."""
    for grey, name in enumerate(pictures):
        Image.new("RGB", (8, 8), (grey, grey, grey)).save(folder / name)
    plan = make_plan([(str(folder / name), [None]) for name in pictures], folder / "out", videos=False)
    load = lambda: Knows(list(pictures.values()))  # noqa: E731
    job = Job(load, folder / "out", tuple(formats), command="discover")
    listener = Listens()
    summary = run(RunSettings(plan, job, **options), listener)
    assert summary.failures == {}
    return [folder / "out" / file for record in listener.records for file in record["files"]] + summary.files


FORMATS = ("overlay", "png", "cutout", "json", "coco")


@pytest.mark.parametrize(
    "pictures",
    [
        {"a.png": found("red cup"), "a-red.png": found("cup")},
        {"a-red.png": found("cup"), "a.png": found("red cup")},
        {"a.png": found("b"), "a-b.png": found("c")},
        {"a.png": found("overlay", "cutout"), "A-Overlay.png": found("x")},
        {"a.png": found("cup 2", "cup", "cup!"), "a-cup.png": found("2")},
        {"coco.png": found("cup"), "b.png": found("cup")},
    ],
)
def test_no_file_is_written_twice_whatever_pictures_and_labels_are_called(tmp_path, pictures):
    files = discovered(tmp_path, FORMATS, pictures)
    names = [file.name.casefold() for file in files]
    assert len(set(names)) == len(names)
    there = [file.name.casefold() for file in (tmp_path / "out").iterdir() if not file.name.startswith(".")]
    assert sorted(names) == sorted(there)
    labels = sum(len(discovery.labels) for discovery in pictures.values())
    assert len(files) == 2 * len(pictures) + 2 * labels + 1


def test_each_file_holds_its_own_picture_s_object(tmp_path):
    files = discovered(tmp_path, ("png",), {"a.png": found("x", "red cup"), "a-red.png": found("cup")})
    rows = [int(np.asarray(Image.open(file)).nonzero()[0][0]) for file in files]
    assert rows == [0, 1, 0]


def test_a_picture_keeps_its_own_name_where_an_earlier_one_s_label_would_take_it(tmp_path):
    files = discovered(tmp_path, ("json", "png"), {"a.png": found("b"), "a-b.png": found("c")})
    assert [file.name for file in files] == ["a.json", "a-b-2.png", "a-b.json", "a-b-c.png"]
    assert json.loads(files[2].read_text())["input"].endswith("/a-b.png")


def test_long_names_of_pictures_stay_possible_file_names(tmp_path):
    files = discovered(tmp_path, FORMATS, {f"{'ü' * 100}.png": found("cup " * 60)})
    assert all(len(file.name.encode()) < 255 for file in files)


def test_coco_covers_the_run_with_a_category_per_name_and_given_ones_first(tmp_path):
    files = discovered(
        tmp_path, ("coco",), {"a.png": found("cup", "ball"), "b.png": found("cup")}, categories=("hat", "ball")
    )
    assert [file.name for file in files] == ["coco.json"]
    coco = COCO(str(files[0]))
    assert [each["name"] for each in coco.loadCats(coco.getCatIds())] == ["hat", "ball", "cup"]
    assert len(coco.getAnnIds()) == 3


def test_a_picture_that_is_discovered_again_replaces_all_its_objects_and_no_others(tmp_path):
    discovered(tmp_path, ("coco",), {"a.png": found("cup", "ball"), "b.png": found("cup")})
    discovered(tmp_path, ("coco",), {"a.png": found("hat"), "c.png": found("cup")})
    coco = COCO(str(tmp_path / "out" / "coco.json"))
    names = {image["id"]: image["file_name"] for image in coco.imgs.values()}
    objects = {(names[each["image_id"]], coco.cats[each["category_id"]]["name"]) for each in coco.anns.values()}
    assert objects == {("a.png", "hat"), ("b.png", "cup"), ("c.png", "cup")}
    assert len(coco.anns) == 3


def test_yolo_holds_one_file_of_labels_per_discovered_picture(tmp_path):
    discovered(tmp_path, ("yolo",), {"a.png": found("cup", "ball"), "b.png": found("ball"), "c.png": found()})
    labels = {path.name: path.read_text().split("\n")[:-1] for path in (tmp_path / "out/yolo/labels/train").iterdir()}
    assert {name: [line.split()[0] for line in lines] for name, lines in labels.items()} == {
        **{"a.txt": ["0", "1"], "b.txt": ["1"], "c.txt": []}
    }


def test_the_heatmap_of_a_discovery_is_refused_and_not_drawn_as_if_nothing_was_hot(tmp_path):
    (grounding,) = found("cup").groundings()
    with pytest.raises(ConfigError, match="heatmap: discovered objects have no heatmap"):
        grounding.save(tmp_path, ["heatmap"])
    with pytest.raises(ConfigError, match="heatmap needs a phrase, which discover does not take"):
        discovered(tmp_path, ("heatmap",), {"a.png": found("cup")})
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert 'class="heat"' not in picture_entry("a.png", "cup", grounding)


def test_objects_that_are_not_found_any_more_are_removed_and_those_of_other_pictures_stay(tmp_path):
    discovered(tmp_path, ("png", "cutout"), {"a.png": found("cup", "ball"), "a-b.png": found("cup")})
    discovered(tmp_path, ("cutout",), {"a.png": found("ball", "hat")})
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("a-b-cup-cutout.png", "a-b-cup.png", "a-ball-cutout.png", "a-ball.png"),
        *("a-cup.png", "a-hat-cutout.png"),
    ]


def test_a_picture_of_the_same_name_is_told_before_it_takes_another_s_place(tmp_path):
    discovered(tmp_path, ("overlay",), {"a.png": found("cup")})
    with pytest.warns(UserWarning, match=r"a-overlay\.png was the result of another input, and is overwritten"):
        discovered(tmp_path, ("overlay",), {"a.jpg": found("cup")})


def test_the_name_of_a_file_is_no_place_for_discoveries(tmp_path):
    plan = make_plan([(str(tmp_path / "a.png"), [None])], videos=False)
    job = Job(lambda: None, tmp_path / "cup.png", ("overlay",), command="discover")
    with pytest.raises(ConfigError, match=r"cup\.png is one file, and discovery writes several: give a folder"):
        run(RunSettings(plan, job))
    assert list(tmp_path.iterdir()) == []


def test_a_discovery_saves_itself_as_a_run_does(tmp_path):
    files = save_result(found("red cup", "ball"), tmp_path, ["overlay", "json", "png", "yolo"])
    assert [file.name for file in files] == [
        *("discovery-overlay.png", "discovery.json", "discovery.txt"),
        *("discovery-red-cup.png", "discovery-ball.png"),
    ]
    assert replace(found("x")).save(tmp_path / "x.png") == [tmp_path / "x.png"]
