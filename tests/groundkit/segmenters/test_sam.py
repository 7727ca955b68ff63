"""Both SAM implementations, on one set of weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor
from transformers import SamModel

from groundkit.batches import BatchSize
from groundkit.models.options import LoadOptions
from groundkit.segmenters.base import MaskProposals, Segmenter, segment_each
from groundkit.segmenters.load import load_segmenter
from groundkit.segmenters.points import PointPrompts
from groundkit.segmenters.sam_original import OriginalSam
from groundkit.segmenters.sam_transformers import TransformersSam


def points(*xyl: tuple[float, float, int]) -> PointPrompts:
    return PointPrompts(
        np.array([point[:2] for point in xyl], dtype=np.float32).reshape(-1, 2),
        np.array([point[2] for point in xyl], dtype=np.int64),
    )


def two_points(image: np.ndarray) -> PointPrompts:
    height, width = image.shape[:2]
    return points((width / 3, height / 4, 1), (width * 0.9, height * 0.8, 0))


def iou(one: MaskProposals, other: MaskProposals) -> np.ndarray:
    """IoU of each pair of masks, where two empty masks are equal."""
    intersection = (one.masks & other.masks).sum(axis=(1, 2))
    union = (one.masks | other.masks).sum(axis=(1, 2))
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


@pytest.fixture(scope="module", params=["folder", "checkpoint"])
def segmenter(request: pytest.FixtureRequest, sam_folder: Path, sam_checkpoint: Path) -> Segmenter:
    return load_segmenter(sam_folder if request.param == "folder" else sam_checkpoint)


@pytest.mark.parametrize(
    ("architecture", "size", "same"),
    [
        ({}, (64, 64), 0.999),
        ({}, (48, 64), 0.999),
        ({}, (64, 23), 0.999),
        ({}, (200, 300), 0.999),
        ({}, (5, 40), 0.999),
        # Pillow, which the original scales with, and torchvision differ by one grey level here and there: here in a
        # thirtieth of all values, of an input that is just 14 pixels wide.
        ({}, (700, 150), 0.995),
        ({"image_size": 256, "window_size": 14}, (256, 171), 0.999),
        ({"image_size": 256, "window_size": 14}, (240, 400), 0.999),
        ({"image_size": 1024, "patch_size": 16, "window_size": 14, "width": 16}, (333, 500), 0.999),
    ],
)
def test_both_segmenters_agree_on_the_same_weights(
    architecture: dict[str, int],
    size: tuple[int, int],
    same: float,
    make_sam: Callable[..., SamModel],
    save_sam: Callable[[SamModel], Path],
    save_original_sam: Callable[[SamModel], Path],
    make_picture: Callable[[int, int], np.ndarray],
) -> None:
    model = make_sam(**architecture)
    one, other = load_segmenter(save_sam(model)), load_segmenter(save_original_sam(model))
    assert isinstance(one, TransformersSam)
    assert isinstance(other, OriginalSam)
    image = make_picture(*size)
    embedding, other_embedding = one.embed(image), other.embed(image)
    for prompts in (points((size[1] / 2, size[0] / 2, 1)), two_points(image)):
        first, second = one.segment(embedding, prompts), other.segment(other_embedding, prompts)
        covered = first.masks.mean(axis=(1, 2))
        assert ((covered > 0.02) & (covered < 0.98)).any(), "the masks must have an outline to compare"
        assert iou(first, second).min() >= same
        np.testing.assert_allclose(
            first.scores, second.scores, atol=1e-6 if max(size) == model.config.vision_config.image_size else 1e-3
        )


def test_original_sam_equals_its_own_predictor(
    sam_checkpoint: Path, make_picture: Callable[[int, int], np.ndarray]
) -> None:
    segmenter = OriginalSam.from_checkpoint(sam_checkpoint)
    image = make_picture(90, 128)
    prompts = two_points(image)
    predictor = SamPredictor(segmenter.model)
    predictor.set_image(image)
    # The predictor adds half a pixel of the model's square to points that count from pixel centres.
    masks, scores, _ = predictor.predict(prompts.xy - 0.5 * (128 / 64), prompts.labels, multimask_output=True)
    proposals = segmenter.segment(segmenter.embed(image), prompts)
    np.testing.assert_array_equal(proposals.masks, masks)
    np.testing.assert_allclose(proposals.scores, scores, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 3), (3, 40), (1, 1000), (1000, 1), (300, 1), (65, 63)])
def test_pictures_of_any_shape_get_masks_of_their_size(
    segmenter: Segmenter, size: tuple[int, int], make_picture: Callable[[int, int], np.ndarray]
) -> None:
    proposals = segmenter.segment(segmenter.embed(make_picture(*size)), points((size[1] / 2, size[0] / 2, 1)))
    assert proposals.masks.shape == (3, *size)
    assert proposals.scores.dtype == np.float32


@pytest.mark.parametrize("size", [(64, 64), (200, 300), (1, 300), (300, 1), (65, 63)])
def test_logits_are_enlarged_to_the_very_mask_of_the_picture_and_masks_of_another_size_are_the_same_object(
    segmenter: Segmenter, size: tuple[int, int], make_picture: Callable[[int, int], np.ndarray]
) -> None:
    image = make_picture(*size)
    embedding, prompts = segmenter.embed(image), two_points(image)
    full, same = segmenter.segment(embedding, prompts), segmenter.segment(embedding, prompts, size=size)
    half = segmenter.segment(embedding, prompts, size=(max(1, size[0] // 2), max(1, size[1] // 2)))
    np.testing.assert_array_equal(same.masks, full.masks)
    np.testing.assert_array_equal(half.logits, full.logits)
    assert half.masks.shape == (3, max(1, size[0] // 2), max(1, size[1] // 2))
    for index in range(3):
        np.testing.assert_array_equal(segmenter.enlarge(embedding, half.logits[index]), full.masks[index])
    if min(size) >= 200:  # smaller than the decoder's own square, masks lose detail
        np.testing.assert_allclose(half.masks.mean(axis=(1, 2)), full.masks.mean(axis=(1, 2)), atol=0.01)


@pytest.mark.parametrize("size", [(1, 1), (3, 3), (3, 40), (1, 50)])
def test_a_picture_1_or_3_pixels_high_keeps_its_colours(
    size: tuple[int, int],
    sam_folder: Path,
    sam_checkpoint: Path,
    make_picture: Callable[[int, int], np.ndarray],
) -> None:
    """Such an array could be taken for channels-first. The original knows no such order."""
    image = make_picture(*size)
    features = load_segmenter(sam_folder).embed(image).features
    torch.testing.assert_close(features, load_segmenter(sam_checkpoint).embed(image).features, atol=0.01, rtol=0)


def test_one_embedding_serves_many_prompts(
    segmenter: Segmenter, make_picture: Callable[[int, int], np.ndarray]
) -> None:
    image = make_picture(60, 80)
    embedding = segmenter.embed(image)
    segmenter.embed(make_picture(33, 44))
    for prompts in (points((9, 9, 1)), two_points(image), points((9, 9, 1))):
        again = segmenter.segment(segmenter.embed(image), prompts)
        proposals = segmenter.segment(embedding, prompts)
        np.testing.assert_array_equal(proposals.masks, again.masks)
        np.testing.assert_array_equal(proposals.scores, again.scores)


def test_points_and_their_labels_matter(segmenter: Segmenter, make_picture: Callable[[int, int], np.ndarray]) -> None:
    embedding = segmenter.embed(make_picture(64, 64))
    scores = [
        segmenter.segment(embedding, prompts).scores
        for prompts in (points((9, 9, 1)), points((50, 9, 1)), points((9, 9, 0)), points((9, 9, 1), (50, 9, 1)))
    ]
    for place, one in enumerate(scores):
        for other in scores[place + 1 :]:
            assert np.abs(one - other).max() > 1e-3


def test_without_points_there_are_no_masks(
    segmenter: Segmenter, make_picture: Callable[[int, int], np.ndarray]
) -> None:
    proposals = segmenter.segment(segmenter.embed(make_picture(20, 30)), points())
    assert proposals.masks.shape == (0, 20, 30)
    assert proposals.scores.shape == (0,)


def test_a_point_at_the_centre_of_a_patch_has_the_position_of_that_patch(
    sam_folder: Path, make_picture: Callable[[int, int], np.ndarray]
) -> None:
    """SAM encodes points and grid cells alike, so the two codes are equal just where our pixel frame is SAM's."""
    segmenter = TransformersSam.from_pretrained(sam_folder)
    # 128 x 96 pixels, scaled by half: a patch of 8 model pixels is 16 picture pixels wide.
    embedding = segmenter.embed(make_picture(96, 128))
    row, column = 2, 5
    xy = embedding.to_input_frame(np.array([[column * 16 + 8, row * 16 + 8]], dtype=np.float32))
    code = segmenter.model.shared_image_embedding(xy[None, None] + 0.5, (64, 64))[0, 0, 0]
    grid = segmenter.model.get_image_wide_positional_embeddings()[0]
    torch.testing.assert_close(code, grid[:, row, column])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("source", ["sam_folder", "sam_checkpoint"])
def test_half_precision_changes_masks_little(
    dtype: torch.dtype, source: str, request: pytest.FixtureRequest, make_picture: Callable[[int, int], np.ndarray]
) -> None:
    path = request.getfixturevalue(source)
    image = make_picture(200, 300)
    proposals = {}
    for precision in (torch.float32, dtype):
        segmenter = load_segmenter(path, LoadOptions(dtype=precision))
        embedding = segmenter.embed(image)
        assert embedding.features.dtype == torch.float32
        proposals[precision] = segmenter.segment(embedding, two_points(image))
    assert iou(proposals[dtype], proposals[torch.float32]).min() > 0.95
    np.testing.assert_allclose(proposals[dtype].scores, proposals[torch.float32].scores, atol=0.02)


@pytest.mark.parametrize("source", ["sam_folder", "sam_checkpoint"])
def test_half_precision_holds_the_encoder_in_half_the_memory_and_the_decoder_in_full(
    source: str, request: pytest.FixtureRequest
) -> None:
    model = load_segmenter(request.getfixturevalue(source), LoadOptions(dtype=torch.bfloat16)).model
    encoder = model.vision_encoder if source == "sam_folder" else model.image_encoder
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in model.mask_decoder.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in model.prompt_encoder.parameters()} == {torch.float32}


def test_a_mask_and_a_box_as_prompts_give_the_same_masks_in_both(
    sam_folder: Path, sam_checkpoint: Path, make_picture: Callable[[int, int], np.ndarray]
) -> None:
    image = make_picture(64, 48)
    box = np.array([5, 8, 30, 40], dtype=np.float32)
    results = []
    for source in (sam_folder, sam_checkpoint):
        segmenter = load_segmenter(source)
        embedding = segmenter.embed(image)
        first = segmenter.segment(embedding, two_points(image), several=False)
        assert first.masks.shape[0] == 1
        assert first.logits is not None
        plain = segmenter.segment(embedding, two_points(image))
        refined = segmenter.segment(embedding, two_points(image), mask=first.logits[0])
        boxed = segmenter.segment(embedding, two_points(image), mask=first.logits[0], box=box)
        assert np.abs(plain.scores - refined.scores).max() > 1e-4
        assert np.abs(refined.scores - boxed.scores).max() > 1e-4
        results.append((first, refined, boxed))
    for one, other in zip(*results, strict=True):
        assert iou(one, other).min() >= 0.999
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-4)


@pytest.mark.parametrize("batch_size", ["auto", 2])
@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize("size", [None, (35, 45)])
def test_several_objects_in_one_call_get_what_each_gets_alone(
    segmenter: Segmenter,
    make_picture: Callable[[int, int], np.ndarray],
    size: tuple[int, int] | None,
    several: bool,
    batch_size: BatchSize,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(segmenter, "batch_size", batch_size)
    embedding = segmenter.embed(make_picture(70, 90))
    nothing = PointPrompts(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    pairs = [points((x, 30, 1), (80, y, 0)) for x, y in ((10, 10), (40, 50))]
    prompts = [points((20, 30, 1)), pairs[0], nothing, points((60, 50, 1)), points((5, 5, 0)), pairs[1]]
    together = segment_each(segmenter, embedding, prompts, several=several, size=size)
    assert len(together) == len(prompts)
    for each, prompt in zip(together, prompts, strict=True):
        alone = segmenter.segment(embedding, prompt, several=several, size=size)
        np.testing.assert_array_equal(each.masks, alone.masks)
        np.testing.assert_allclose(each.scores, alone.scores, atol=1e-5)
        if alone.logits is not None:
            np.testing.assert_allclose(each.logits, alone.logits, atol=1e-4)
    assert segment_each(segmenter, embedding, []) == []


def test_objects_that_do_not_fit_into_memory_together_are_asked_for_in_smaller_batches(
    segmenter: Segmenter, make_picture: Callable[[int, int], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    embedding, tried = segmenter.embed(make_picture(70, 90)), []
    prompts = [points((x, 30, 1)) for x in (10, 30, 50, 70, 85)]
    expected = [segmenter.segment(embedding, each) for each in prompts]
    decode = segmenter._decode  # type: ignore[attr-defined]

    def small(embedding: Any, xy: torch.Tensor, *arguments: Any) -> Any:
        tried.append(len(xy))
        if len(xy) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return decode(embedding, xy, *arguments)

    monkeypatch.setattr(segmenter, "_decode", small)
    found = segment_each(segmenter, embedding, prompts)
    assert tried == [5, 2, 2, 1]
    for each, alone in zip(found, expected, strict=True):
        np.testing.assert_array_equal(each.masks, alone.masks)
