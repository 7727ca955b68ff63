"""SAM 2 and EdgeTAM as trackers: tiny models of the real classes with random weights, against the library's own run.

EdgeTAM's published image encoder comes from the package timm, which groundkit does not install; its tiny model holds a
Hiera instead, which its class also takes. All that is EdgeTAM's own comes after the image encoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from devices import Device
from safetensors.torch import load_file, save_file
from transformers import (
    EdgeTamVideoConfig,
    EdgeTamVideoModel,
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
)

import groundkit.tracking.sam2
from groundkit.errors import ModelError
from groundkit.models.options import LoadOptions
from groundkit.tracking.base import Tracked
from groundkit.tracking.load import load_tracker
from groundkit.tracking.sam2 import Sam2Tracker

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

SIDE, CELLS = 64, 4  # pixels of the models' input, cells of 16 pixels
MEMORIES, POINTERS = 3, 5  # frames, with the first: how far the models look back
KINDS = ["sam2", "edgetam"]


pytestmark = pytest.mark.usefixtures("one_thread")


def make_model(kind: str) -> Sam2VideoModel | EdgeTamVideoModel:
    """Random weights that react to the picture and to the memory, and say that the object is there."""
    torch.manual_seed(0)
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 2, 4, 2],
        "global_attention_blocks": [3],
        "window_positional_embedding_background_size": [4, 4],
    }
    common: dict[str, Any] = {
        "image_size": SIDE,
        "num_maskmem": MEMORIES,
        "max_object_pointers_in_encoder": POINTERS,
        "vision_config": {
            "model_type": "sam2_vision_model",
            "backbone_config": backbone,
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[scale * CELLS, scale * CELLS] for scale in (4, 2, 1)],
            "fpn_hidden_size": 128,
        },
        "prompt_encoder_config": {"hidden_size": 128, "image_size": SIDE, "mask_input_channels": 8},
        "mask_decoder_config": {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16},
        "memory_attention_hidden_size": 128,
        "memory_attention_num_layers": 1,
        "memory_attention_rope_feat_sizes": [CELLS, CELLS],
        "memory_encoder_hidden_size": 128,
        "memory_encoder_output_channels": 64,  # EdgeTAM takes no other
        "mask_downsampler_embed_dim": 128,
        "memory_fuser_num_layers": 1,
        "memory_fuser_embed_dim": 128,
        "memory_fuser_intermediate_dim": 32,
    }
    if kind == "sam2":
        model = Sam2VideoModel(Sam2VideoConfig(**common, memory_attention_feed_forward_hidden_size=32))
    else:
        config = EdgeTamVideoConfig(
            **common,
            memory_attention_mlp_hidden_size=32,
            memory_attention_rope_k_sizes=[2, 2],
            perceiver_resampler_num_latents=4,
            perceiver_resampler_num_latents_2d=4,
            perceiver_resampler_mlp_intermediate_size=32,
            perceiver_resampler_num_layers=1,
        )
        model = EdgeTamVideoModel(config)
    for name, parameter in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            torch.nn.init.normal_(parameter, mean=1.0, std=0.1)
        elif parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5)
        else:
            torch.nn.init.normal_(parameter, std=0.1)
    say_whether_it_is_there(model, 1.0)
    return model


def say_whether_it_is_there(model: Any, logit: float) -> None:
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, logit)


def save(model: Any, folder: Path) -> Path:
    """Save a model the way the Hub holds it: config, weights, and the processor's settings."""
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    images = Sam2ImageProcessor(size=size)
    Sam2VideoProcessor(images, Sam2VideoVideoProcessor(size=size)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(make_model(kind), tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(scope="module", params=KINDS)
def tracker(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Sam2Tracker:
    return Sam2Tracker.from_pretrained(folders[request.param])


def smooth(height: int, width: int, seed: int) -> Pixels:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def video(frames: int, height: int = 61, width: int = 83) -> tuple[list[Pixels], list[Mask]]:
    """A rectangle that wanders over a ground, and its masks."""
    ground, thing = smooth(height, width, 0), smooth(height, width, 1)
    images, masks = [], []
    for index in range(frames):
        mask = np.zeros((height, width), np.bool_)
        x, y = 4 + 3 * index % max(1, width // 2), 5 + 2 * index % max(1, height // 2)
        mask[y : y + height // 3 + 1, x : x + width // 3 + 1] = True
        images.append(np.where(mask[..., None], thing, ground))
        masks.append(mask)
    return images, masks


def propagate(tracker: Sam2Tracker, images: list[Pixels], mask: Mask, reverse: bool) -> list[tuple[Mask, float]]:
    """The library's own masks and scores for a whole video, in the order in which it visits the frames."""
    first = len(images) - 1 if reverse else 0
    session = tracker.processor.init_video_session(video=images)
    tracker.processor.add_inputs_to_inference_session(session, frame_idx=first, obj_ids=1, input_masks=mask)
    found = []
    for output in tracker.model.propagate_in_video_iterator(session, start_frame_idx=first, reverse=reverse):
        masks = tracker.processor.post_process_masks([output.pred_masks], [mask.shape])
        found.append((masks[0][0, 0].numpy(), torch.sigmoid(output.object_score_logits).item()))
    return found


@pytest.mark.parametrize("reverse", [False, True])
def test_a_stream_in_either_direction_equals_the_library_s_run_over_the_whole_video(
    tracker: Sam2Tracker, reverse: bool
) -> None:
    images, masks = video(9)
    expected = propagate(tracker, images, masks[-1 if reverse else 0], reverse)
    if reverse:
        images, masks = images[::-1], masks[::-1]
    track = tracker.start(images[0], masks[0])
    before = masks[0]
    for image, (mask, score) in zip(images[1:], expected[1:], strict=True):
        found = track.follow(image)
        np.testing.assert_array_equal(found.mask, mask)
        assert found.score == pytest.approx(score, abs=1e-6)
        assert 0.02 < mask.mean() < 0.98, "the masks must have an outline to compare"
        assert (mask != before).any(), "and change"
        before = mask


def test_only_a_video_shorter_than_the_pointers_reach_differs_from_the_library_s_run(tracker: Sam2Tracker) -> None:
    images, masks = video(POINTERS)
    for length, same in ((POINTERS, True), (POINTERS - 1, False)):
        (_, expected) = propagate(tracker, images[:length], masks[0], reverse=False)[2]
        track = tracker.start(images[0], masks[0])
        found = [track.follow(image) for image in images[1:3]][-1]
        assert (found.score == pytest.approx(expected, abs=1e-7)) == same


def test_what_is_forgotten_changes_nothing(tracker: Sam2Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = video(3 * POINTERS)
    track = tracker.start(images[0], masks[0])
    forgetful = [track.follow(image) for image in images[1:]]
    monkeypatch.setattr(groundkit.tracking.sam2, "_forget", lambda *_: None)
    track = tracker.start(images[0], masks[0])
    for one, image in zip(forgetful, images[1:], strict=True):
        other = track.follow(image)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.score == other.score


def test_three_threads_that_share_a_tracker_follow_what_one_follows(tracker: Sam2Tracker) -> None:
    def follow(number: int) -> list[tuple[bytes, float]]:
        images, masks = video(4, width=83 + number)
        track = tracker.start(images[0], masks[0])
        return [(found.mask.tobytes(), found.score) for found in map(track.follow, images[1:])]

    alone = [follow(number) for number in range(3)]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(follow, [0, 1, 2] * 4)) == alone * 4


def leaves(thing: object) -> Iterator[object]:
    """Every tensor and plain value that can be reached from an object's attributes, dictionaries and lists."""
    if isinstance(thing, dict):
        for value in thing.values():
            yield from leaves(value)
    elif isinstance(thing, list | tuple):
        for value in thing:
            yield from leaves(value)
    elif type(thing).__module__.startswith("transformers."):
        yield from leaves(vars(thing))
    else:
        yield thing


def test_memory_does_not_grow_with_the_video(tracker: Sam2Tracker) -> None:
    images, masks = video(60)
    track = tracker.start(images[0], masks[0])
    held = []
    for image in images[1:]:
        track.follow(image)
        things = list(leaves(track._session))
        tensors = [thing for thing in things if isinstance(thing, torch.Tensor)]
        held.append((len(tensors), sum(tensor.untyped_storage().nbytes() for tensor in tensors), len(things)))
    # The first frame's memory of two tensors and its pointer, then those of the frames before.
    assert held[-1][0] == 3 + 2 * (MEMORIES - 1) + (POINTERS - 1)
    assert set(held[POINTERS - 2 :]) == {held[-1]}


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (1, 50), (65, 63), (120, 7)])
def test_frames_of_any_shape_get_masks_of_their_size(tracker: Sam2Tracker, size: tuple[int, int]) -> None:
    images, _ = video(2, *size)
    found = tracker.start(images[0], np.ones(size, np.bool_)).follow(images[1])
    assert found.mask.shape == size
    assert found.mask.dtype == np.bool_
    assert 0.5 <= found.score <= 1


@pytest.mark.parametrize("height", [1, 3])
def test_a_frame_1_or_3_pixels_high_keeps_its_colours(tracker: Sam2Tracker, height: int) -> None:
    """Such an array could be taken for channels-first. At the model's input size a plain colour is always the same."""
    found = []
    for size in ((height, 40), (40, 40)):
        image = np.full((*size, 3), (250, 120, 10), np.uint8)
        found.append(tracker.start(image, np.ones(size, np.bool_)).follow(image))
    assert found[0].score == pytest.approx(found[1].score, abs=1e-6)


def test_an_object_that_the_model_does_not_see_has_an_empty_mask_and_comes_back(folders: dict[str, Path]) -> None:
    images, masks = video(4)
    for kind in KINDS:
        tracker = Sam2Tracker.from_pretrained(folders[kind])
        track = tracker.start(images[0], masks[0])
        assert track.follow(images[1]).mask.any()
        say_whether_it_is_there(tracker.model, -4.0)
        gone = track.follow(images[2])
        assert not gone.mask.any()
        assert 0 <= gone.score < 0.5
        say_whether_it_is_there(tracker.model, 1.0)
        assert track.follow(images[3]).mask.any()


def test_an_empty_mask_stays_empty(tracker: Sam2Tracker) -> None:
    images, masks = video(2)
    found = tracker.start(images[0], np.zeros_like(masks[0])).follow(images[1])
    assert not found.mask.any()
    assert found.mask.shape == masks[0].shape
    assert found.score == 0


def test_tracks_of_one_tracker_do_not_disturb_each_other(tracker: Sam2Tracker) -> None:
    images, masks = video(3)
    alone = tracker.start(images[0], masks[0])
    expected = [alone.follow(image) for image in images[1:]]
    track, other = tracker.start(images[0], masks[0]), tracker.start(images[0], ~masks[0])
    for image, one in zip(images[1:], expected, strict=True):
        other.follow(image)
        np.testing.assert_array_equal(track.follow(image).mask, one.mask)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_changes_scores_little(folders: dict[str, Path], kind: str, dtype: torch.dtype) -> None:
    images, masks = video(4)
    found = {}
    for precision in (torch.float32, dtype):
        tracker = Sam2Tracker.from_pretrained(folders[kind], LoadOptions(dtype=precision))
        assert {parameter.dtype for parameter in tracker.model.parameters()} == {precision}
        track = tracker.start(images[0], masks[0])
        found[precision] = [track.follow(image) for image in images[1:]]
    for one, other in zip(found[torch.float32], found[dtype], strict=True):
        assert one.score == pytest.approx(other.score, abs=0.02)
        assert (one.mask != other.mask).mean() < 0.1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_tracker_runs_in_the_dtype_of_the_segmenter(
    folders: dict[str, Path], kind: str, dtype: torch.dtype
) -> None:
    segmenter: Any = SimpleNamespace(dtype=dtype)
    loaded: Any = load_tracker(str(folders[kind]), segmenter, device="cpu", local_files_only=True)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {dtype}


def test_the_model_s_input_size_decides_not_the_processor_s(folders: dict[str, Path], tmp_path: Path) -> None:
    tracker = Sam2Tracker.from_pretrained(folders["sam2"])
    images = Sam2ImageProcessor()
    other = Sam2Tracker(tracker.model, Sam2VideoProcessor(images, Sam2VideoVideoProcessor()), name="other")
    frames, masks = video(2)
    one, two = (each.start(frames[0], masks[0]).follow(frames[1]) for each in (tracker, other))
    np.testing.assert_array_equal(one.mask, two.mask)


def test_both_classes_are_told_apart_by_the_folder(folders: dict[str, Path]) -> None:
    for kind, model in (("sam2", Sam2VideoModel), ("edgetam", EdgeTamVideoModel)):
        tracker = Sam2Tracker.from_pretrained(folders[kind])
        assert isinstance(tracker.model, model)
        assert tracker.name == str(folders[kind])


def copy(source: Path, folder: Path) -> Path:
    for file in source.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_folder_of_another_model_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(folders["sam2"], tmp_path)
    (folder / "config.json").write_text(json.dumps({"model_type": "sam"}))
    with pytest.raises(ModelError, match="this is a sam model, not a SAM 2; it works as the segmenter; here give"):
        Sam2Tracker.from_pretrained(folder)


@pytest.mark.skipif(find_spec("timm") is not None, reason="nothing is missing")
def test_without_timm_a_model_that_needs_it_says_so(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(folders["edgetam"], tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"] = {"model_type": "edgetam_vision_model", "backbone_config": {"model_type": "timm_wrapper"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="this model needs the package timm"):
        Sam2Tracker.from_pretrained(folder)


@pytest.mark.parametrize("missing", ["config.json", "processor_config.json"])
def test_a_folder_without_a_file_says_which(folders: dict[str, Path], tmp_path: Path, missing: str) -> None:
    folder = copy(folders["sam2"], tmp_path)
    (folder / missing).unlink()
    with pytest.raises(ModelError, match=f"the folder has no .*{missing}"):
        Sam2Tracker.from_pretrained(folder)


def test_weights_that_lack_a_tensor_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy(folders["sam2"], tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["no_object_pointer"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="the weights lack the tensor no_object_pointer"):
        Sam2Tracker.from_pretrained(folder)


def test_a_folder_that_does_not_exist_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        Sam2Tracker.from_pretrained(tmp_path / "nowhere", LoadOptions(local_files_only=True))
    assert "no such folder" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_track_on_the_device_is_that_on_the_cpu(device: Device, kind: str, folders: dict[str, Path]) -> None:
    def follow(where: str) -> list[Tracked]:
        track = Sam2Tracker.from_pretrained(folders[kind], LoadOptions(device=torch.device(where))).start(
            images[0], masks[0]
        )
        return [track.follow(image) for image in images[1:]]

    images, masks = video(6)
    expected = follow("cpu")
    with device.used():
        actual = follow(device.name)
    for one, other in zip(actual, expected, strict=True):
        device.assert_same(one.mask, other.mask)
        device.assert_same(one.score, other.score)
