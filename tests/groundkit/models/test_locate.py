"""A model is found, and known for what it is, by one small file."""

import json
from pathlib import Path

import huggingface_hub.constants
import pytest

from groundkit.errors import ModelError
from groundkit.models.locate import DIFFUSION, SEGMENTER, TRACKER, VISION_LANGUAGE, Wanted, locate
from groundkit.models.options import LoadOptions


def refusal(source: Path, wanted: Wanted) -> str:
    with pytest.raises(ModelError) as refused:
        locate(source, wanted, LoadOptions(local_files_only=True))
    message = str(refused.value)
    assert message.startswith(f"{source}: ")
    assert "\n" not in message
    return message.removeprefix(f"{source}: ")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("name", "wanted", "example"),
    [
        ("flux1.safetensors", DIFFUSION, "black-forest-labs/FLUX.1-schnell"),
        ("flux1-dev-fp8.gguf", DIFFUSION, "black-forest-labs/FLUX.1-dev"),
        ("sam.safetensors", SEGMENTER, "facebook/sam-vit-base"),
        ("sam_vit_huge.safetensors", SEGMENTER, "facebook/sam-vit-huge"),
        ("sam2.1_hiera_large.pt", TRACKER, "facebook/sam2.1-hiera-large"),
        ("model.bin", VISION_LANGUAGE, "Qwen/Qwen2.5-VL-3B-Instruct"),
    ],
)
def test_a_single_file_is_no_model_and_the_id_that_has_the_folder_is_named(
    name: str, wanted: Wanted, example: str, there: bool, tmp_path: Path
) -> None:
    file = tmp_path / name
    if there:
        file.write_bytes(b"x")
    first = "this is a file" if there else "no such file, and a file would not do"
    assert refusal(file, wanted) == (
        f"{first}; {wanted.what} is a folder in the layout of {example}: give such a folder or this id"
    )


def test_an_empty_folder_says_which_file_is_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path, DIFFUSION) == (
        "the folder has no model_index.json, as a diffusion pipeline has; copy or download the whole model, "
        "or give one such as black-forest-labs/FLUX.1-schnell"
    )


@pytest.mark.parametrize("text", ["{", "[]", '"text"'])
def test_a_file_that_is_no_json_object_is_damaged(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert "damaged" in refusal(tmp_path, SEGMENTER)


def test_what_the_file_says_is_returned(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "sam"}))
    assert locate(tmp_path, SEGMENTER).config == {"model_type": "sam"}


@pytest.mark.parametrize(
    ("source", "wanted", "said"),
    [
        ("facebook/sam-vit-huge", DIFFUSION, "this is SAM ViT-H, not a diffusion pipeline; it works as the segmenter"),
        (
            "facebook/sam2.1-hiera-tiny",
            SEGMENTER,
            "this is SAM 2.1 tiny, not a SAM; it works as the tracker of a video",
        ),
        ("facebook/sam-vit-base", VISION_LANGUAGE, "this is SAM ViT-B, not a vision-language model; it works as the"),
        ("black-forest-labs/FLUX.1-dev", TRACKER, "this is FLUX.1 dev, not a SAM 2; it works as the model"),
    ],
)
def test_a_known_id_of_another_kind_is_told_without_asking_the_hub(source: str, wanted: Wanted, said: str) -> None:
    message = refusal(Path(source), wanted)
    assert message.startswith(said)
    assert message.endswith(f"; here give one such as {wanted.example}")


@pytest.mark.parametrize(
    ("file", "config", "wanted", "said"),
    [
        ("config.json", {"model_type": "llava"}, DIFFUSION, "this is a llava model, not a diffusion pipeline; read it"),
        (
            "model_index.json",
            {"_class_name": "FluxPipeline"},
            SEGMENTER,
            "this is a diffusion pipeline (FluxPipeline), not a SAM; read it with",
        ),
        ("other.json", {}, SEGMENTER, "no such folder, and not in the local Hub cache; "),
    ],
)
def test_offline_a_cached_model_of_another_kind_is_told_as_such(
    file: str,
    config: dict[str, str],
    wanted: Wanted,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    model = tmp_path / "models--own--model"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(commit)
    (model / "snapshots" / commit).mkdir(parents=True)
    (model / "snapshots" / commit / file).write_text(json.dumps(config))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert refusal(Path("own/model"), wanted).startswith(said)
