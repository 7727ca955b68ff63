"""Checkpoints that lack a tensor are refused by its name, whichever part lacks it; whole ones load without a word."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from groundkit.errors import ModelError
from groundkit.models.diffusion.families import diffusion_family
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.families import load_vision_language

TINY = Path(__file__).parents[2] / "tiny"
DIFFUSION, LANGUAGE = (
    {path.stem.removeprefix("tiny_") for path in (TINY / kind).glob("tiny_*.py")}
    for kind in ("diffusion", "vision_language")
)


def load(folder: Path) -> object:
    if (folder / "model_index.json").exists():
        return diffusion_family(folder).from_pretrained(folder, LoadOptions(local_files_only=True))
    return load_vision_language(folder, LoadOptions(local_files_only=True))


def without(file: Path, tensor: str) -> None:
    weights = load_file(file)
    del weights[tensor]
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize("family", sorted(DIFFUSION | LANGUAGE))
def test_a_whole_folder_loads_without_a_warning(family: str, save_tiny: Callable[[str], Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(save_tiny(family))


@pytest.mark.parametrize("family", sorted(DIFFUSION | LANGUAGE))
def test_a_tensor_that_any_part_lacks_is_named(family: str, save_tiny: Callable[[str], Path], tmp_path: Path) -> None:
    for part in sorted(save_tiny(family).rglob("*.safetensors")):
        folder = tmp_path / "_".join(part.relative_to(save_tiny(family)).parts)
        shutil.copytree(save_tiny(family), folder)
        file = folder / part.relative_to(save_tiny(family))
        with safe_open(file, "pt") as tensors:
            names = sorted(tensors.keys())
        gone = names[len(names) // 2]
        without(file, gone)
        with pytest.raises(ModelError) as refused:
            load(folder)
        message = str(refused.value)
        # A library may have renamed the tensor, not its last words.
        assert gone.rsplit(".", 2)[-2] in message
        assert message.startswith(f"{folder}: the weights")
        assert message.endswith("; copy or download the whole model again")
        assert "\n" not in message
        if part.parent != save_tiny(family):
            assert f"of {part.parent.name} lack" in message


@pytest.mark.parametrize("family", sorted(LANGUAGE))
def test_tied_weights_may_be_stored_once_but_not_nowhere(
    family: str, save_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(save_tiny(family), tmp_path / family))
    file = folder / "model.safetensors"
    weights = load_file(file)
    embeddings = [name for name in weights if name.endswith("embed_tokens.weight")]
    if "lm_head.weight" in weights:
        pytest.skip("not tied")
    without(file, *embeddings)
    with pytest.raises(ModelError, match=r"the weights lack .*(embed_tokens|lm_head)\.weight"):
        load(folder)


def test_weights_of_another_size_are_refused_with_both_shapes(save_tiny: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(save_tiny("qwen2_5_vl"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["intermediate_size"] += 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"the weights do not fit config\.json \(\S+ has the shape \(.*\) instead of"):
        load(folder)


def test_a_transformer_of_another_size_is_refused_in_one_line(flux_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(flux_folder, tmp_path / "model"))
    config = json.loads((folder / "transformer" / "config.json").read_text())
    config["joint_attention_dim"] += 8
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        ModelError, match=r"the weights do not fit config\.json \(\S*context_embedder\.weight"
    ) as refused:
        load(folder)
    assert "\n" not in str(refused.value)


def test_tensors_that_the_architecture_does_not_have_are_told(save_tiny: Callable[[str], Path], tmp_path: Path) -> None:
    """A deeper checkpoint under a shallower config would be another model."""
    folder = Path(shutil.copytree(save_tiny("qwen2_5_vl"), tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] -= 1
    if "layer_types" in config["text_config"]:
        config["text_config"]["layer_types"].pop()
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match=r"the weights hold \d+ tensors, such as \S+, which a .* does not have"):
        load(folder)
