import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from groundkit.errors import ModelError
from groundkit.models.options import LoadOptions
from groundkit.segmenters.load import load_segmenter
from groundkit.segmenters.sam_original import OriginalSam
from groundkit.segmenters.sam_transformers import TransformersSam


@pytest.fixture
def folder(sam_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sam_folder, tmp_path / "sam"))


def refusal(source: object, **options: object) -> str:
    with pytest.raises(ModelError) as failure:
        load_segmenter(source, LoadOptions(**options))
    message = str(failure.value)
    assert message.startswith(f"{source}: ")
    assert "\n" not in message
    return message.removeprefix(f"{source}: ")


def test_the_suffix_tells_a_checkpoint_from_a_model(sam_folder: Path, sam_checkpoint: Path) -> None:
    assert isinstance(load_segmenter(sam_checkpoint), OriginalSam)
    assert isinstance(load_segmenter(str(sam_checkpoint)), OriginalSam)
    segmenter = load_segmenter(sam_folder)
    assert isinstance(segmenter, TransformersSam)
    assert segmenter.name == str(sam_folder)


def test_a_processor_saved_for_another_size_does_no_harm(folder: Path) -> None:
    """The model's own size decides: a folder saved with the default processor says 1024."""
    path = next(folder.glob("*processor_config.json"))
    path.write_text(path.read_text().replace("64", "1024"))
    processor = load_segmenter(folder).processor
    assert processor.size["longest_edge"] == 64
    assert (processor.pad_size["height"], processor.pad_size["width"]) == (64, 64)


@pytest.mark.parametrize("missing", ["config.json", "preprocessor_config.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    assert missing.removeprefix("pre") in refusal(folder)


def test_a_missing_variant_is_named(folder: Path) -> None:
    message = refusal(folder, variant="fp16")
    assert "model.fp16.safetensors" in message
    assert message.endswith("download the whole model, or check the variant")


def test_a_variant_is_loaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert isinstance(load_segmenter(folder, LoadOptions(variant="fp16")), TransformersSam)


def test_the_only_variant_that_a_folder_has_is_loaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert isinstance(load_segmenter(folder), TransformersSam)


@pytest.mark.parametrize("missing", ["/no/such/folder", "./nowhere", "a/b/c"])
def test_a_missing_folder_says_so(missing: str) -> None:
    assert (
        refusal(missing) == "no such folder; give an existing model folder, or a Hub id such as facebook/sam-vit-base"
    )


def test_a_hub_id_that_is_not_at_hand_names_the_way_out() -> None:
    message = refusal("groundkit-tests/no-such-model", local_files_only=True)
    assert "HF_HUB_OFFLINE" in message
    assert "local_files_only" in message


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_truncated_weights_say_so(folder: Path, size: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    message = refusal(folder)
    assert message.startswith("the weights are damaged or incomplete (")
    assert message.endswith("; copy or download them again")


def test_damaged_json_says_so(folder: Path) -> None:
    (folder / "config.json").write_text("{bad")
    assert refusal(folder).startswith("a JSON file of the model is damaged (")


def test_a_processor_whose_numbers_mean_nothing_is_refused_before_a_picture_is_read(folder: Path) -> None:
    path = next(folder.glob("*processor_config.json"))
    config = json.loads(path.read_text())
    (config.get("image_processor") or config)["image_mean"] = {}
    path.write_text(json.dumps(config))
    assert refusal(folder).startswith("cannot be loaded (")


def test_another_kind_of_model_says_so(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for kind, use in (
        ("sam2_video", "it works as the tracker of a video; here "),
        ("qwen2_5_vl", 'read it with pipeline="vlsam", or '),
        ("sam_hq", ""),
        ("no-such-type", ""),
    ):
        (folder / "config.json").write_text(json.dumps(config | {"model_type": kind}))
        assert refusal(folder) == f"this is a {kind} model, not a SAM; {use}give one such as facebook/sam-vit-base"


def test_weights_that_do_not_fit_the_config_say_so(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["mlp_dim"] += 1
    (folder / "config.json").write_text(json.dumps(config))
    assert refusal(folder) == (
        "the weights do not fit config.json (vision_encoder.layers.0.mlp.lin1.bias has the shape (65,) instead of "
        "(66,)); both must come from the same model"
    )


def test_absent_weights_are_never_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert refusal(folder) == (
        "the weights lack the tensor mask_decoder.iou_token.weight; copy or download the whole model again"
    )


def test_the_protocol_needs_no_torch() -> None:
    code = "import sys, groundkit.segmenters.base, groundkit.masks.choose; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
