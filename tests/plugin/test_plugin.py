"""The example package is installed into a folder, and what it registers is found, loaded and right."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from reference import QueriesAndKeys

import groundkit
from groundkit.attention.tap import AttentionTap, Selection
from groundkit.cli.main import run
from groundkit.models.options import LoadOptions, ReadOptions
from groundkit.models.vision_language.families import load_vision_language
from groundkit.plugins import plugins

HERE = Path(__file__).parent
SCENE = HERE.parents[1] / "samples" / "scene_1.png"
PHRASE, OTHER = "the red cup", "the blue cup"


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package's wheel, unpacked on the path, as ``pip install --target`` does; forgotten afterwards."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(HERE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "tiny", "test_*"))
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder / "site")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "site")
        patch.syspath_prepend(HERE / "tiny")
        plugins.cache_clear()
        yield folder / "site"
    plugins.cache_clear()


# The format


def test_its_format_is_listed_and_written_by_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["segment", str(SCENE), PHRASE, "-f", "boxes", "--json", "--offline", "--quiet"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    (file,) = tmp_path.rglob("*-boxes.csv")
    (row,) = csv.DictReader(file.read_text().splitlines())
    assert row["label"] == PHRASE
    assert [float(row[name]) for name in ("x1", "y1", "x2", "y2")] == record["boxes"][0]


# The diffusion family


@pytest.fixture(scope="module")
def sd3_folder(save_tiny: Callable[[str], Path]) -> Path:
    return save_tiny("stable_diffusion_3")


@pytest.fixture(scope="module")
def sd3(sd3_folder: Path) -> Any:
    pipeline = groundkit.load("refam", model=sd3_folder, segmenter="nano", dtype="float32", local_files_only=True)
    return pipeline.diffusion  # type: ignore[union-attr]


@pytest.fixture
def picture(sd3: Any) -> npt.NDArray[np.uint8]:
    """Noise of the model's own size, so that nothing is resampled: uint8 RGB."""
    return np.random.default_rng(0).integers(0, 256, (1, *sd3.size, 3), dtype=np.uint8)


def ids(model: Any, phrase: str) -> list[int]:
    found: list[int] = model.tokenizer(phrase).input_ids
    return found


def joint_calls(model: Any, clip: Any, text: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Queries and keys of the joint attention, block by block, of a pass without the tap: float64."""
    options = ReadOptions()
    noisy = model.noised(clip.latents, model.noise(clip.latents, options.seed), options.noise_level)
    with torch.inference_mode(), QueriesAndKeys(model.layers(model.pipeline.transformer)) as seen:
        model.run(noisy, text, options)
    return [(query.double(), key.double()) for query, key, _ in seen.calls]


def test_a_folder_of_stable_diffusion_3_is_read_by_the_package_s_family(sd3: Any, installed: Path) -> None:
    assert type(sd3).__name__ == "StableDiffusion3Model"
    assert Path(sys.modules[type(sd3).__module__].__file__ or "").is_relative_to(installed)


@torch.inference_mode()
def test_its_text_is_clip_s_77_tokens_and_then_t5_s_which_alone_are_words(sd3: Any) -> None:
    text = sd3.encode_text([ids(sd3, PHRASE)], PHRASE)
    assert text.columns == slice(77, 77 + len(ids(sd3, PHRASE)))
    t5 = sd3.pipeline.text_encoder_3(torch.tensor([ids(sd3, PHRASE)]))[0]
    assert torch.equal(text.states[:, text.columns], t5)
    (prompt, _, pooled, _) = sd3.pipeline.encode_prompt(PHRASE, None, None, do_classifier_free_guidance=False)
    assert torch.equal(text.states[:, :77], prompt[:, :77])
    assert torch.equal(text.pooled, pooled)


def test_its_maps_equal_a_float64_softmax_of_the_same_queries_and_keys(
    sd3: Any, picture: npt.NDArray[np.uint8]
) -> None:
    clip, text = sd3.encode(picture), sd3.encode_text([ids(sd3, PHRASE)], PHRASE)
    maps = sd3.read_attention(clip, text, ReadOptions())
    patches = clip.grid.size
    calls = joint_calls(sd3, clip, text)
    assert len(calls) == len(sd3.layer_names) == 3
    words = range(patches + 77, patches + text.states.shape[1])
    for layer, (query, key) in enumerate(calls):
        full = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1).mean(dim=0)
        expected = full[:patches, words.start : words.stop].mT
        torch.testing.assert_close(maps.values[layer, 0].double(), expected, atol=1e-6, rtol=1e-5)


def test_its_transformer_returns_bit_for_bit_what_it_returns_without_the_tap(
    sd3: Any, picture: npt.NDArray[np.uint8]
) -> None:
    clip, text = sd3.encode(picture), sd3.encode_text([ids(sd3, PHRASE)], PHRASE)
    patches = clip.grid.size
    with torch.inference_mode():
        plain = sd3.run(clip.latents, text, ReadOptions())[0]
        rows = Selection(slice(patches), slice(patches + 77, None))
        with AttentionTap(sd3.layers(sd3.pipeline.transformer), {"all": rows}):
            tapped = sd3.run(clip.latents, text, ReadOptions())[0]
    assert torch.equal(plain, tapped)


def test_another_word_changes_the_key_of_its_own_column_most(sd3: Any, picture: npt.NDArray[np.uint8]) -> None:
    clip = sd3.encode(picture)
    one, other = (sd3.encode_text([ids(sd3, phrase)], PHRASE) for phrase in (PHRASE, OTHER))
    keys = [joint_calls(sd3, clip, text)[0][1] for text in (one, other)]
    moved = (keys[1] - keys[0]).norm(dim=-1).norm(dim=0)
    (word,) = [i for i, pair in enumerate(zip(ids(sd3, PHRASE), ids(sd3, OTHER), strict=True)) if len(set(pair)) > 1]
    assert int(moved.argmax()) == clip.grid.size + 77 + word


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 7), (7, 0), (3, 5)])
def test_changing_a_patch_of_latents_changes_the_query_of_that_patch_most(
    sd3: Any, picture: npt.NDArray[np.uint8], row: int, column: int
) -> None:
    clip, text = sd3.encode(picture), sd3.encode_text([ids(sd3, PHRASE)], PHRASE)
    latents = clip.latents.clone()
    side = sd3.patch[1]
    latents[..., row * side : (row + 1) * side, column * side : (column + 1) * side] += 3
    queries = [joint_calls(sd3, each, text)[0][0] for each in (clip, replace(clip, latents=latents))]
    moved = (queries[1] - queries[0]).norm(dim=-1).norm(dim=0)[: clip.grid.size]
    assert divmod(int(moved.argmax()), clip.grid.shape[-1]) == (row, column)


def test_refam_grounds_a_phrase_with_it(sd3_folder: Path) -> None:
    pipeline = groundkit.load("refam", model=sd3_folder, segmenter="nano", dtype="float32", local_files_only=True)
    found = pipeline(SCENE, PHRASE)
    assert found.heatmap.shape == found.image.shape[:2]
    assert found.heatmap.max() > found.heatmap.min()


# The stage


def test_its_stage_is_added_to_a_method_by_its_name(sd3_folder: Path) -> None:
    """RefAM with the stage behind the combined map: each value is what the stage's equation says."""
    pipeline: Any = groundkit.load(
        "refam",
        model=sd3_folder,
        segmenter="nano",
        dtype="float32",
        local_files_only=True,
        config={"stages": "sinks,layers,compete,words,tokens,sharpen", "sharpen.power": 3, "evidence": False},
    )
    steps = {step.name: step.maps.values for step in pipeline(SCENE, PHRASE).steps.steps}
    assert list(steps)[:7] == ["read", "sinks", "layers", "compete", "words", "tokens", "sharpen"]
    plain = steps["tokens"]
    torch.testing.assert_close(steps["sharpen"], plain**3 / plain.max() ** 2)
    assert not torch.equal(steps["sharpen"], plain)


# The vision-language family


def test_a_folder_of_vip_llava_is_read_by_the_package_s_family(
    save_tiny: Callable[[str], Path], picture: npt.NDArray[np.uint8]
) -> None:
    pipeline = groundkit.load(
        "vlsam",
        model=save_tiny("vipllava"),
        segmenter="nano",
        dtype="float32",
        local_files_only=True,
        config={"evidence": False},
    )
    model = pipeline.vlm  # type: ignore[union-attr]
    assert type(model).__name__ == "VipLlavaModel"
    assert pipeline(SCENE, PHRASE).heatmap.max() > 0


@torch.inference_mode()
def test_its_image_tokens_stand_where_it_says(save_tiny: Callable[[str], Path]) -> None:
    """Another patch of pixels changes the feature of its own cell most, and the cells are the picture's tokens."""
    model = load_vision_language(save_tiny("vipllava"), LoadOptions(local_files_only=True))
    image = np.random.default_rng(0).integers(0, 256, (84, 84, 3), dtype=np.uint8)
    changed = image.copy()
    changed[28:42, 56:70] ^= 255
    one, other = (model.encode(each) for each in (image, changed))
    moved = (other.features.pooler_output[0] - one.features.pooler_output[0]).norm(dim=-1)
    talk = model.ask(one, "where is the cup")
    (view,) = talk.views
    assert view.grid.shape == (6, 6)
    assert divmod(int(moved.argmax()), 6) == (2, 4)
    picture_tokens = talk.inputs["input_ids"][0] == model.model.config.image_token_id
    assert picture_tokens.nonzero()[:, 0].tolist() == view.positions.tolist()
