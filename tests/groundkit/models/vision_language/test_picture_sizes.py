"""How many tokens a picture gets: bounded for any photograph, more for a closer look, and told where that acts."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.attention.grids import finest_grid
from groundkit.cli.errors import for_command_line
from groundkit.media.crops import crops
from groundkit.models.vision_language.base import EncodedPicture, VisionLanguageModel
from groundkit.pipelines.vlsam import VLSAM, read_config

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Pixels = npt.NDArray[np.uint8]
# Image tokens of the tiny models at the most: what their processors' settings say, or 1280 times the pixels of a real
# token over those of a tiny one (16 x 16).
MOST_TOKENS = {
    "llava": 36,
    "gemma3": 25,
    "idefics3": 9 * (3 * 3 + 1),
    "internvl": 16 * (6 + 1),
    "llava_onevision": round(16 + 1.1**2 * 3 * 16 + 12),
    "paligemma": 36,
    "pixtral": 10 * 10,
    "qwen2_5_vl": 1280 * 28**2 // 16**2,
    "qwen2_vl": 1280 * 28**2 // 16**2,
    "qwen3_vl": 1280 * 32**2 // 16**2,
    "smolvlm": 16 * (3 * 3 + 1),
}


def pipeline(model: VisionLanguageModel, **settings: object) -> VLSAM:
    return VLSAM(model, None, read_config(settings))  # type: ignore[arg-type]


def grid(model: VisionLanguageModel, picture: EncodedPicture) -> tuple[int, int]:
    """The finest grid of tokens over the picture."""
    return finest_grid(model.ask(picture, "").grids)


@pytest.mark.parametrize("size", [(3000, 4000), (8000, 6000)], ids=["12 megapixels", "48 megapixels"])
def test_a_photograph_of_any_size_gets_no_more_tokens_than_its_family_allows(
    model: VisionLanguageModel, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        model, "encode", lambda image, framing: EncodedPicture(image, None)
    )  # the layout needs no features
    photograph = np.zeros((*size, 3), np.uint8)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        picture = pipeline(model).open(photograph).picture
        talk = model.ask(picture, "")
    # Rounding to whole tokens may add half a row and half a column.
    config = model.model.config
    kind = "pixtral" if config.vision_config.model_type == "pixtral" else config.model_type
    assert len(talk.image_positions) <= 1.02 * MOST_TOKENS[kind]
    of_model = model.picture_size
    reduced = [str(each.message) for each in told if "megapixels are reduced" in str(each.message)]
    assert len(reduced) == (of_model is not None and of_model.max_pixels is not None)
    assert all("--set max_pixels=4000000 shows finer detail" in for_command_line(each) for each in reduced)


def test_a_crop_is_a_closer_look_in_every_family(model: VisionLanguageModel) -> None:
    """Half the sides, about four times the tokens for what is in it, but for the rounding to whole tiles."""
    whole = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    vlsam = pipeline(model)
    seen = vlsam.open(whole).picture
    rows, columns = grid(model, seen)
    for crop in crops(whole, [0.5])[1:]:
        picture = vlsam.open(crop.pixels, whole=whole).picture
        closer = grid(model, picture)
        assert closer[0] * closer[1] >= 0.9 * rows * columns  # in a quarter of the area


def test_the_processor_of_a_family_with_a_fixed_size_is_given_the_crop_itself(model: VisionLanguageModel) -> None:
    whole = np.zeros((360, 480, 3), np.uint8)
    # With framing="pad" LLaVA-1.5's would be padded.
    picture = pipeline(model, framing="crop").open(whole[:180, :240], whole=whole).picture
    assert (picture.image.shape == (180, 240, 3)) == (model.picture_size is None)


def test_a_small_picture_is_enlarged_where_its_tokens_would_be_few(model: VisionLanguageModel) -> None:
    picture = pipeline(model, framing="crop").open(np.zeros((60, 80, 3), np.uint8)).picture
    of_model = model.picture_size
    least = of_model.min_pixels if of_model and of_model.min_pixels else 60 * 80
    assert np.prod(picture.image.shape[:2]) == pytest.approx(least, rel=0.01)


def test_most_pixels_overrules_the_default_and_is_not_told(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "encode", lambda image, framing: EncodedPicture(image, None))
    photograph = np.zeros((1200, 1600, 3), np.uint8)
    for pixels in (300 * 400, 1200 * 1600):
        picture = pipeline(model, max_pixels=pixels).open(photograph).picture
        assert np.prod(picture.image.shape[:2]) == pixels
