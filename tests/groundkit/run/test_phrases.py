import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from groundkit.errors import AttentionError, ConfigError, InputError, PhraseError
from groundkit.media.inputs import Input, resolve_inputs
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure
from groundkit.run.phrases import BatchWriter, ground_files, ground_phrases, refused


class Rectangles(Pipeline):
    """A pipeline that finds one rectangle, refuses the phrase "bad", breaks at "broken", is ill set for "set"."""

    name = "rectangles"
    model = "none"

    def __init__(self, make_grounding):
        self.make_grounding = make_grounding
        self.encoded = 0

    def outcomes(self, image, phrases, *, seed=0):
        self.encoded += 1
        for phrase in phrases:
            if phrase == "broken":
                raise AttentionError("layer 3 was silent")
            refused = {"bad": PhraseError("say more"), "set": ConfigError("no head 9")}
            error = refused.get(phrase)
            yield Failure(phrase, error) if error else self.make_grounding((2, 3, 20, 30), image=image, phrase=phrase)


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / "in" / name for name in ("a.png", "b.png")]
    paths[0].parent.mkdir()
    for path in paths:
        Image.new("RGB", (64, 48)).save(path)
    return [Input(str(path), path) for path in paths]


def test_one_outcome_a_phrase_also_when_the_pipeline_gives_up(make_grounding):
    image = np.zeros((48, 64, 3), np.uint8)
    outcomes = list(ground_phrases(Rectangles(make_grounding), image, ["a", "bad", "b", "broken", "c"]))
    kinds = ["Grounding", "PhraseError", "Grounding", "AttentionError", "AttentionError"]
    assert [type(outcome).__name__ for outcome in outcomes] == kinds


def test_a_setting_that_the_model_refuses_ends_the_run(make_grounding):
    with pytest.raises(ConfigError, match="no head 9"):
        list(ground_phrases(Rectangles(make_grounding), np.zeros((48, 64, 3), np.uint8), ["a", "set", "b"]))


def test_an_unreadable_picture_fails_for_each_phrase_and_the_others_go_on(make_grounding, pictures):
    pictures[0].path.write_bytes(b"no picture")
    pipeline = Rectangles(make_grounding)
    outcomes = list(ground_files(pipeline, pictures, ["one", "two"]))
    assert [(item.name, phrase) for item, phrase, _ in outcomes] == [
        (item.name, phrase) for item in pictures for phrase in ("one", "two")
    ]
    assert [isinstance(outcome, InputError) for *_, outcome in outcomes] == [True, True, False, False]
    assert pipeline.encoded == 1


def test_every_result_has_files_of_its_own(make_grounding, tmp_path, pictures):
    phrases = ["Red cup", "red-cup", "red cup overlay", "红色", "🧸", "🎈"]
    writer = BatchWriter(tmp_path / "out", ["png", "overlay"], pictures, phrases)
    results = [writer.write(*outcome) for outcome in ground_files(Rectangles(make_grounding), pictures, phrases)]
    files = [file for result in results for file in result.files]
    assert len({file.name.casefold() for file in files}) == len(files) == 24
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    assert files[0].name == "a-red-cup.png"
    assert [result.record["phrase"] for result in results[:6]] == phrases


def test_a_run_has_one_coco_file(make_grounding, tmp_path, pictures, capsys):
    phrases = ["cup", "ball"]
    writer = BatchWriter(tmp_path / "out", ["coco"], pictures, phrases)
    for outcome in ground_files(Rectangles(make_grounding), pictures, phrases):
        assert writer.write(*outcome).files == ()
    (path,) = writer.finish()
    assert path == tmp_path / "out" / "coco.json"
    coco = COCO(str(path))
    assert [image["file_name"] for image in coco.imgs.values()] == ["a.png", "b.png"]
    assert coco.dataset["info"]["folder"] == (tmp_path / "in").as_posix()
    assert len(coco.anns) == 4


def test_a_run_over_a_part_leaves_the_rest_of_the_coco_file_whole(make_grounding, tmp_path, pictures):
    def run(inputs, phrases):
        writer = BatchWriter(tmp_path / "out", ["coco"], inputs, phrases)
        for outcome in ground_files(Rectangles(make_grounding), inputs, phrases):
            writer.write(*outcome)
        return json.loads(writer.finish()[0].read_text())

    whole = run(pictures, ["cup", "ball"])
    assert run(pictures[:1], ["ball"]) == whole  # replaced by the same
    (tmp_path / "other").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "other" / "c.png")
    more = run([Input("c", tmp_path / "other" / "c.png")], ["hat"])
    assert [image["file_name"] for image in more["images"]] == ["in/a.png", "in/b.png", "other/c.png"]
    assert [category["name"] for category in more["categories"]] == ["cup", "ball", "hat"]
    assert more["info"]["folder"] == tmp_path.as_posix()
    assert more["annotations"][:4] == whole["annotations"]
    assert len(more["annotations"]) == 5


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"images": [], "annotations": [], "categories": []}', '{"info": {"description": "x"}}']
)
def test_a_coco_file_of_another_maker_is_not_written_over(tmp_path, pictures, content):
    path = tmp_path / "out" / "coco.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"coco\.json was not written by groundkit segment: give another --output"):
        BatchWriter(tmp_path / "out", ["coco"], pictures, ["cup"])
    assert path.read_text() == content


def test_one_file_cannot_hold_several_results(tmp_path, pictures):
    with pytest.raises(ConfigError, match=r"a\.png is one file but there are 2 results: give a folder$"):
        BatchWriter(tmp_path / "a.png", ["png"], pictures, ["cup"])
    with pytest.raises(ConfigError, match="no format named"):
        BatchWriter(tmp_path / "out", ["tiff"], pictures, ["cup"])
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*out: Not a directory"):
        BatchWriter(tmp_path / "file" / "out", ["png"], pictures, ["cup"])


def test_an_input_is_never_written_over(make_grounding, tmp_path, pictures):
    before = [item.path.read_bytes() for item in pictures]
    with pytest.raises(ConfigError, match=r"a\.png is an input, and would be lost: give another --output"):
        BatchWriter(pictures[0].path, ["png"], pictures[:1], ["cup"])
    Image.new("RGB", (64, 48)).save(tmp_path / "in" / "a-cup.png")
    theirs = Input("a-cup.png", tmp_path / "in" / "a-cup.png")
    writer = BatchWriter(tmp_path / "in", ["png"], [*pictures, theirs], ["cup"])
    results = [writer.write(*outcome) for outcome in ground_files(Rectangles(make_grounding), pictures, ["cup"])]
    assert [result.failed for result in results] == [True, False]
    assert "a-cup.png is an input" in results[0].record["error"]
    assert [item.path.read_bytes() for item in pictures] == before


def test_a_place_that_cannot_be_written_to_fails_this_result_only(make_grounding, tmp_path, pictures):
    writer = BatchWriter(tmp_path / "out", ["png"], pictures, ["cup"])
    (tmp_path / "out" / "a-cup.png").mkdir()
    results = [writer.write(*outcome) for outcome in ground_files(Rectangles(make_grounding), pictures, ["cup"])]
    assert [result.failed for result in results] == [True, False]
    assert set(results[0].record) == {"input", "phrase", "error"}
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["a-cup.png", "b-cup.png"]


def test_what_is_refused_is_a_json_ready_record():
    result = refused("x.jpg", "cup", InputError("x.jpg: no such file"))
    assert json.loads(json.dumps(result.record)) == {"input": "x.jpg", "phrase": "cup", "error": "x.jpg: no such file"}
    assert result.failed


def test_resolved_inputs_are_what_a_batch_runs_over(make_grounding, tmp_path, pictures):
    resolved = resolve_inputs([str(tmp_path / "in")])
    assert [outcome.phrase for *_, outcome in ground_files(Rectangles(make_grounding), resolved.found, ["cup"])] == [
        "cup"
    ] * 2
