import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from groundkit.attention.select import select_layers
from groundkit.errors import AttentionError, ConfigError, ModelError
from groundkit.models.diffusion.base import EncodedClip, Text
from groundkit.models.diffusion.flux import FluxModel
from groundkit.models.options import LoadOptions, ReadOptions
from groundkit.weights.catalog import nano_folder


@pytest.fixture(scope="module")
def model(flux_folder: Path) -> FluxModel:
    return FluxModel.from_pretrained(flux_folder)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)


def encode(model: FluxModel, picture: np.ndarray, phrase: str = "the red cup") -> tuple[EncodedClip, Text]:
    return model.encode(picture[None]), model.encode_text([model.tokenizer(phrase).input_ids], phrase)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 20), (11, 0), (11, 20), (4, 13)])
def test_changing_one_patch_of_pixels_changes_the_token_of_that_patch_most(row: int, column: int) -> None:
    model = FluxModel.from_pretrained(nano_folder("flux"))  # an untrained autoencoder blurs
    height, width = 192, 336  # 12 x 21 patches: exactly the model's own size, so that nothing is resampled
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    changed = picture.copy()
    changed[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16] ^= 255
    before, after = model.encode(picture[None]), model.encode(changed[None])
    assert before.grid.shape == (1, 12, 21)
    moved = (after.latents - before.latents).norm(dim=1)[0, 0].reshape(12, 2, 21, 2).sum(dim=(1, 3))
    assert divmod(int(moved.argmax()), 21) == (row, column)


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (100, 3000), (3000, 100), (480, 640), (20000, 20), (5, 20000)])
def test_any_shape_of_picture_becomes_whole_patches_within_four_times_the_models_area(
    model: FluxModel, shape: tuple[int, int]
) -> None:
    height, width = model.clip_size(*shape)
    assert height % 16 == width % 16 == 0
    assert min(height, width) >= 16
    assert height * width <= 4 * 256**2


def test_image_size_keeps_the_pictures_shape_and_the_models_area(model: FluxModel) -> None:
    height, width = model.clip_size(480, 640)
    assert width / height == pytest.approx(640 / 480, rel=0.08)
    assert height * width == pytest.approx(256**2, rel=0.08)


def test_the_same_seed_gives_the_same_maps_and_another_seed_others(model: FluxModel, picture: np.ndarray) -> None:
    image, text = encode(model, picture)
    first, again, other = (
        model.read_attention(image, text, ReadOptions(noise_level=0.5, seed=seed, layers="0-0")).values
        for seed in (3, 3, 4)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_chosen_heads_average_to_the_mean_of_all_heads(model: FluxModel, picture: np.ndarray) -> None:
    image, text = encode(model, picture)

    def read(heads: tuple[int, ...] | None) -> torch.Tensor:
        return model.read_attention(image, text, ReadOptions(noise_level=0.5, seed=0, layers="all", heads=heads)).values

    torch.testing.assert_close((read((0,)) + read((1,))) / 2, read(None))
    with pytest.raises(ConfigError, match=r"heads: this model has heads 0 to 1, got \[2\]"):
        read((2,))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("all", ["a.0", "a.1", "single.0", "single.1"]),
        ("late", ["single.0", "single.1"]),
        ("double", ["a.0", "a.1"]),
        ("single", ["single.0", "single.1"]),
        ("1-2", ["a.1", "single.0"]),
        ("single.1, a.0", ["a.0", "single.1"]),
    ],
)
def test_layers_are_chosen_by_kind_range_or_name(wanted: str, expected: list[str]) -> None:
    assert select_layers(["a.0", "a.1", "single.0", "single.1"], wanted) == tuple(expected)


@pytest.mark.parametrize("wanted", ["", "nothing", "7-9", "a.0,b"])
def test_layers_that_do_not_exist_are_refused_with_those_that_do(wanted: str) -> None:
    with pytest.raises(ConfigError, match="use all, late, double, single, a range such as 0-1, or names from a to b"):
        select_layers(["a", "b"] if "b" not in wanted else ["a", "c", "b"][::2], wanted)


def test_a_folder_without_a_part_is_refused_in_one_line(flux_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model_index\.json") as refused:
        FluxModel.from_pretrained(tmp_path)
    assert "\n" not in str(refused.value)
    (tmp_path / "model_index.json").write_bytes((flux_folder / "model_index.json").read_bytes())
    with pytest.raises(ModelError) as refused:
        FluxModel.from_pretrained(tmp_path, LoadOptions(local_files_only=True))
    assert "\n" not in str(refused.value)


def test_offloading_without_a_gpu_is_refused(flux_folder: Path) -> None:
    with pytest.raises(ConfigError, match="offload=True moves parts to a GPU"):
        FluxModel.from_pretrained(flux_folder, LoadOptions(offload=True))


def test_an_attention_backend_that_the_tap_cannot_see_is_named(flux_folder: Path, picture: np.ndarray) -> None:
    model = FluxModel.from_pretrained(flux_folder)
    image, text = encode(model, picture)
    for block in model.pipeline.transformer.transformer_blocks:
        block.attn.processor = OwnAttention()
    with pytest.raises(AttentionError, match=r"transformer_blocks\.0"):
        model.read_attention(image, text, ReadOptions(noise_level=0.5, seed=0, layers="double"))


class OwnAttention:
    """A processor that never calls scaled_dot_product_attention."""

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None):
        return hidden_states, encoder_hidden_states


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("tokenizer_2", r"the folder has no tokenizer_2/\*\.json"),
        ("scheduler", r"the folder has no scheduler/\*\.json"),
        ("tokenizer_2/tokenizer.json", "tokenizer_2: the tokenizer has no vocabulary"),
    ],
)
def test_a_folder_without_a_part_is_refused_where_diffusers_would_invent_one(
    flux_folder: Path, tmp_path: Path, missing: str, message: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(flux_folder, folder)
    (shutil.rmtree if (folder / missing).is_dir() else os.remove)(folder / missing)
    with pytest.raises(ModelError, match=message):
        FluxModel.from_pretrained(folder)
