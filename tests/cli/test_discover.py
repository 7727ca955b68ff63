"""``groundkit discover`` end to end: a tiny LLaVA of the real class that says "red cup , blue ball", and nano's SAM."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_clip
import tiny_llava
import torch
from PIL import Image
from pycocotools.coco import COCO
from transformers import AutoTokenizer, LlavaForConditionalGeneration
from transformers.utils import logging

from groundkit.cli.main import run
from groundkit.masks.rle import decode


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its layers add nothing to a token's embedding, so that each word has one follower: it can say one sentence."""
    folder = tmp_path_factory.mktemp("llava")
    torch.manual_seed(0)
    tiny_llava.save(folder)
    words = AutoTokenizer.from_pretrained(folder)
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings = torch.nn.functional.normalize(model.get_input_embeddings().weight, dim=-1)
        model.lm_head.weight.zero_()
        sentence = words.convert_tokens_to_ids(["assistant", "red", "cup", "and", "blue", "ball", "</s>"])
        for word, follower in itertools.pairwise(sentence):
            model.lm_head.weight[follower] = embeddings[word]
    model.save_pretrained(folder)
    return folder


Discover = Callable[..., tuple[int, str, str]]


@pytest.fixture
def discover(
    speaking: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Discover:
    """Run the command in an empty folder with two pictures, and return exit code, output and errors."""
    generator = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(generator.integers(0, 256, (80, 120, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    monkeypatch.chdir(tmp_path)
    logging.disable_progress_bar()  # as the command does before it imports transformers, which the tests have done

    def command(*arguments: str) -> tuple[int, str, str]:
        code = run(
            [
                "discover",
                *arguments,
                "--model",
                str(speaking),
                "--segmenter",
                "nano",
                "--quiet",
                "--set",
                "questions=one",
            ]
        )
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_every_object_it_names_is_cut_out_labelled_and_recorded(discover: Discover, tmp_path: Path) -> None:
    code, out, err = discover("a.png", "-o", "out")
    assert (code, err) == (0, "")
    files = [Path(line).name for line in out.splitlines()]
    assert files[:2] == ["a-overlay.png", "a.json"]
    record = json.loads((tmp_path / "out" / "a.json").read_text())
    assert record["input"] == "a.png"
    labels = {item["label"] for item in record["objects"]}
    assert labels <= {"red cup", "blue ball"}
    assert labels
    for label in labels:
        assert any(name.startswith(f"a-{label.replace(' ', '-')}-") and name.endswith(".png") for name in files)
    for item in record["objects"]:
        assert set(item) == {"label", "mask", "box", "score", "points"}
        mask = decode(item["mask"])
        x1, y1, x2, y2 = (int(side) for side in item["box"])
        assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0


def test_json_is_one_document_with_a_record_a_picture(discover: Discover) -> None:
    code, out, _ = discover("a.png", "b.png", "--json")
    assert code == 0
    assert [record["input"] for record in json.loads(out)] == ["a.png", "b.png"]


def test_coco_has_the_found_names_as_categories_or_those_of_a_vocabulary(discover: Discover, tmp_path: Path) -> None:
    discover("a.png", "-o", "names", "--format", "coco")
    found = {category["name"] for category in COCO(str(tmp_path / "names" / "coco.json")).loadCats([1, 2][:1])}
    assert found <= {"red cup", "blue ball"}
    (tmp_path / "categories.txt").write_text("vehicle\ncup\nball\n")
    code, *_ = discover("a.png", "-o", "given", "--format", "coco", "--vocabulary", "categories.txt")
    given = json.loads((tmp_path / "given" / "coco.json").read_text())
    assert code == 0
    assert given["categories"] == [{"id": i, "name": name} for i, name in enumerate(("vehicle", "cup", "ball"), 1)]
    assert given["annotations"]


def test_a_clip_of_one_s_own_maps_the_names_to_the_categories(discover: Discover, tmp_path: Path) -> None:
    tiny_clip.save(tmp_path / "clip")
    (tmp_path / "categories.txt").write_text("vehicle\nstool\n")
    code, out, err = discover(
        "a.png", "--json", "--vocabulary", "categories.txt", "--vocabulary-model", str(tmp_path / "clip")
    )
    assert (code, err) == (0, "")
    (record,) = json.loads(out)
    assert {item["label"] for item in record["objects"]} <= {"vehicle", "stool"}
    assert record["objects"]


def test_a_clip_without_a_vocabulary_is_a_usage_error_and_a_missing_one_is_refused(discover: Discover) -> None:
    code, _, err = discover("a.png", "--vocabulary-model", "clip")
    assert code == 2
    assert err == (
        "groundkit: error: --vocabulary-model and --vocabulary-min-likeness map names to categories: "
        "name their file by --vocabulary FILE\n"
    )
    Path("categories.txt").write_text("cup\n")
    code, _, err = discover("a.png", "--vocabulary", "categories.txt", "--vocabulary-model", "no/such/clip/here")
    assert code == 1
    assert len(err.splitlines()) == 1


def test_a_broken_picture_leaves_the_others_alone_and_the_exit_code_says_so(discover: Discover, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    code, out, err = discover("broken.png", "a.png", "-o", "out")
    assert code == 1
    assert err.startswith("groundkit: error: broken.png")
    assert len(err.splitlines()) == 1
    assert "a-overlay.png" in out


@pytest.mark.parametrize("pipeline", ["refam", "cross-attention", "ensemble"])
def test_a_pipeline_that_needs_a_phrase_is_refused_in_one_line(discover: Discover, pipeline: str) -> None:
    code, _, err = discover("a.png", "--pipeline", pipeline)
    assert code == 2
    assert err == f"groundkit: error: {pipeline} looks for a given phrase: discover with --pipeline vlsam\n"


def test_a_report_shows_every_label_and_yolo_numbers_them(discover: Discover, tmp_path: Path) -> None:
    code, out, _ = discover("a.png", "-o", "out", "-f", "yolo", "--report", "report.html")
    assert (code, out.splitlines()) == (0, ["out/yolo", "report.html"])
    labels = json.loads((tmp_path / "out/yolo/data.yaml").read_text().splitlines()[-1].removeprefix("names: "))
    page = (tmp_path / "report.html").read_text()
    assert labels
    assert all(f">{label}</h2>" in page for label in labels)


def test_an_unknown_format_is_refused_before_anything_is_loaded(discover: Discover) -> None:
    code, _, err = discover("a.png", "--format", "heatmap")
    assert code == 2
    assert err == "groundkit: error: heatmap needs a phrase, which discover does not take: choose another format\n"


def test_segment_grounds_a_phrase_with_the_same_model(
    speaking: Path, discover: Discover, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for pipeline in ("vlsam", "decaf"):
        arguments = [
            "segment",
            "a.png",
            "the red cup",
            "--pipeline",
            pipeline,
            "--model",
            str(speaking),
            "--segmenter",
            "nano",
            "--no-evidence",
            "--quiet",
        ]
        assert run([*arguments, "-o", pipeline]) == 0
        assert (tmp_path / pipeline / "a-the-red-cup-overlay.png").exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("pipeline", ["vlsam", "decaf", "ensemble"])
def test_explain_draws_the_steps_of_each_method(
    speaking: Path, discover: Discover, tmp_path: Path, pipeline: str
) -> None:
    model = f"nano,{speaking}" if pipeline == "ensemble" else str(speaking)
    arguments = [
        "explain",
        "a.png",
        "the red cup",
        "--pipeline",
        pipeline,
        "--model",
        model,
        "--segmenter",
        "nano",
        "--no-evidence",
        "--quiet",
    ]
    assert run([*arguments, "-o", "steps.png"]) == 0
    with Image.open(tmp_path / "steps.png") as page:
        assert page.width == 1600
        assert len(np.unique(np.asarray(page)[:, :30].reshape(-1, 3), axis=0)) == 1  # nothing runs into the margin
