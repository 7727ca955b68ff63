"""LLaVA-1.5 sees all of a picture that is not square, as its authors show it, unless it is told to see the middle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor

from groundkit.attention.grids import lay_over
from groundkit.media.images import read_image
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.llava import LlavaModel
from groundkit.weights.catalog import nano_folder

Pixels = npt.NDArray[np.uint8]
ROOT = Path(__file__).parents[4]


@pytest.fixture(scope="module")
def model(load_tiny: Callable[[str], Any]) -> LlavaModel:
    loaded: LlavaModel = load_tiny("llava")
    return loaded


@pytest.mark.parametrize("size", [(96, 160), (150, 91), (80, 80)])
def test_the_picture_is_padded_as_pillow_pads_it_with_the_processor_s_mean_colour(
    model: LlavaModel, size: tuple[int, int]
) -> None:
    height, width = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    side = max(size)
    mean = tuple(int(255 * share) for share in model.processor.image_processor.image_mean)
    expected = Image.new("RGB", (side, side), mean)
    expected.paste(Image.fromarray(picture), ((side - width) // 2, (side - height) // 2))
    encoded = model.encode(picture)
    np.testing.assert_array_equal(encoded.image, np.array(expected))
    (view,) = model.ask(encoded, "").views
    x1, y1, x2, y2 = view.grid.box
    assert ((x2 - x1) * width, (y2 - y1) * height) == pytest.approx((side, side))
    assert (-x1 * width, -y1 * height) == pytest.approx(((side - width) // 2, (side - height) // 2))


@torch.inference_mode()
def changed_tokens(model: LlavaModel, framing: Any, where: tuple[slice, slice]) -> npt.NDArray[np.float32]:
    """How much each token's features change with a part of a grey picture of 90 x 180, laid over the picture."""
    grey = np.full((90, 180, 3), 128, np.uint8)
    spotted = grey.copy()
    spotted[where] = 255
    plain, other = (model.encode(image, framing) for image in (grey, spotted))
    (view,) = model.ask(plain, "").views

    def features(encoded: Any) -> Tensor:
        found: Tensor = encoded.features.pooler_output[0]
        return found

    change = (features(other) - features(plain)).norm(dim=-1)
    return lay_over(change, (view.grid,), (90, 180), interpolation=0)


@pytest.mark.parametrize("column", [slice(0, 20), slice(80, 100), slice(160, 180)], ids=["left", "middle", "right"])
def test_what_lies_at_a_border_is_seen_where_it_is(model: LlavaModel, column: slice) -> None:
    where = (slice(50, 70), column)
    change = changed_tokens(model, "pad", where)
    hottest = np.argwhere(change == change.max())
    centre = (hottest.min(axis=0) + hottest.max(axis=0)) / 2
    assert abs(centre[1] - (column.start + column.stop) / 2) <= 15  # half a token of 30 pixels
    assert abs(centre[0] - 60) <= 15


def test_cropped_to_its_middle_it_is_blind_at_the_border(model: LlavaModel) -> None:
    assert not changed_tokens(model, "crop", (slice(30, 60), slice(0, 20))).any()
    assert changed_tokens(model, "crop", (slice(30, 60), slice(80, 100))).any()


def test_a_checkpoint_whose_processor_stretches_the_picture_is_given_the_picture_itself() -> None:
    """As nano's does."""
    nano = LlavaModel.from_pretrained(nano_folder("llava"), LoadOptions(local_files_only=True))
    picture = read_image(ROOT / "samples" / "photo_cup.jpg")
    assert picture.shape[0] != picture.shape[1]
    encoded = nano.encode(picture)
    assert encoded.image is picture
    assert encoded.box == nano.ask(encoded, "").grids[0].box == (0.0, 0.0, 1.0, 1.0)


def test_a_copy_whose_processor_does_not_know_the_patches_gets_the_same_tokens(
    model: LlavaModel, tmp_path: Path, save_tiny: Callable[[str], Path]
) -> None:
    shutil.copytree(save_tiny("llava"), tmp_path, dirs_exist_ok=True)
    file = tmp_path / "processor_config.json"
    config = json.loads(file.read_text())
    for name in ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens"):
        del config[name]
    file.write_text(json.dumps(config))
    older = LlavaModel.from_pretrained(tmp_path, LoadOptions(local_files_only=True))
    picture = np.zeros((90, 180, 3), np.uint8)
    talks = [each.ask(each.encode(picture), "where is the cup") for each in (model, older)]
    assert talks[0].inputs["input_ids"].tolist() == talks[1].inputs["input_ids"].tolist()
    assert torch.isfinite(older.logits(talks[1])).all()


def test_a_copy_without_chat_template_is_asked_in_the_authors_format(
    tmp_path: Path, save_tiny: Callable[[str], Path]
) -> None:
    shutil.copytree(save_tiny("llava"), tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.warns(UserWarning, match="no chat template; it is asked in LLaVA-1.5's format"):
        model = LlavaModel.from_pretrained(tmp_path, LoadOptions(local_files_only=True))
    assert model.chat("where is the cup") == "USER: <image>\nwhere is the cup ASSISTANT:"
