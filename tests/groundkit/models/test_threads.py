"""Several threads in one pipeline, one model, one tap: each gets what it would have got alone, bit for bit."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from transformers import SamConfig, SamImageProcessor, SamModel

from groundkit.attention.tap import AttentionTap, Selection
from groundkit.errors import AttentionError
from groundkit.exclusive import seeded
from groundkit.models.diffusion.flux import FluxModel
from groundkit.models.diffusion.mochi import MochiModel
from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.models.vision_language.llava import LlavaModel
from groundkit.models.vision_language.qwen2_vl import Qwen2VlModel
from groundkit.pipelines import decaf, ensemble, refam, vlsam
from groundkit.pipelines import video as refam_video
from groundkit.results import Grounding
from groundkit.segmenters.sam_transformers import TransformersSam
from groundkit.tracking.optical_flow import OpticalFlowTracker

Picture = npt.NDArray[np.uint8]
Load = Callable[[Path, str, Any], Any]
HERE = Path(__file__).parent
THREADS, CALLS = 3, 20
PHRASES = ("the red cup", "the blue ball", "a cup in the picture", "red ball")

BARE = {"evidence": False}  # a pass less for each phrase


pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass(frozen=True)
class Frame:
    index: int
    image: Picture
    name: str = "frame"

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.index)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (40 + 8 * i, 64, 3), dtype=np.uint8) for i in range(len(PHRASES))]


@pytest.fixture(scope="module")
def sam() -> TransformersSam:
    torch.manual_seed(0)
    vision = {
        "hidden_size": 16,
        "mlp_dim": 16,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 8,
        "window_size": 3,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
    }
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 8}
    decoder = {"hidden_size": 16, "mlp_dim": 24, "num_attention_heads": 8, "iou_head_hidden_dim": 12}
    model = SamModel(SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.7 / parameter[0].numel() ** 0.5)
    processor = SamImageProcessor(size={"longest_edge": 64}, pad_size={"height": 64, "width": 64})
    return TransformersSam(model, processor, name="tiny")


@pytest.fixture(scope="module")
def flux(flux_folder: Path) -> FluxModel:
    model = FluxModel.from_pretrained(flux_folder)
    model.pipeline.vae.register_to_config(sample_size=64)  # the area at which it encodes: a few patches will do
    return model


@pytest.fixture(scope="module")
def mochi(load_tiny: Load) -> MochiModel:
    model: MochiModel = load_tiny("mochi")
    model.size = (48, 64)
    return model


@pytest.fixture(scope="module")
def llava(load_tiny: Load) -> LlavaModel:
    model: LlavaModel = load_tiny("llava")
    return model


@pytest.fixture(scope="module")
def qwen(load_tiny: Load) -> Qwen2VlModel:
    """A model that remembers the last prompt's places between the steps of an answer."""
    model: Qwen2VlModel = load_tiny("qwen2_5_vl")
    return model


@pytest.fixture(autouse=True)
def threads_that_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-3)
    yield
    sys.setswitchinterval(before)


def together(call: Callable[[int], Any], kinds: int = len(PHRASES)) -> None:
    """Each thread makes the calls in an order of its own; every result is that of one thread."""
    alone = [call(kind) for kind in range(kinds)]
    begin = threading.Barrier(THREADS)

    def work(thread: int) -> list[tuple[int, Any]]:
        begin.wait()
        return [(kind, call(kind)) for kind in ((thread + step) % kinds for step in range(CALLS))]

    with ThreadPoolExecutor(THREADS) as pool:
        results = [result for results in pool.map(work, range(THREADS)) for result in results]
    assert len(results) == THREADS * CALLS
    for kind, result in results:
        assert_equal(result, alone[kind])
    if kinds > 1:  # else equality would say nothing
        with pytest.raises(AssertionError):
            assert_equal(alone[0], alone[1])


def assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, Grounding):
        for name in ("heatmap", "masks", "scores", "points"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other


@pytest.mark.parametrize("preset", refam.PRESETS)
def test_three_threads_in_one_refam_get_what_one_gets(
    preset: str, flux: FluxModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    pipeline = refam.RefAM(flux, sam, refam.read_config({**refam.PRESETS[preset], "evidence": True}))
    together(lambda kind: pipeline(pictures[kind], PHRASES[kind], seed=kind))


@pytest.mark.parametrize("preset", vlsam.PRESETS)
def test_three_threads_in_one_vlsam_get_what_one_gets(
    preset: str, llava: LlavaModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    method = decaf.DecAF if preset == "decaf" else vlsam.VLSAM
    pipeline = method(llava, sam, vlsam.read_config({**vlsam.PRESETS[preset], **BARE}))
    together(lambda kind: pipeline(pictures[kind], PHRASES[kind]))


def test_three_threads_in_one_ensemble_get_what_one_gets(
    flux: FluxModel, llava: LlavaModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    shared = ensemble.EmbeddedOnce(sam)
    members = [refam.RefAM(flux, shared, refam.read_config(BARE)), vlsam.VLSAM(llava, shared, vlsam.read_config(BARE))]
    pipeline = ensemble.Ensemble(members, shared, ensemble.read_config(BARE))
    together(lambda kind: pipeline(pictures[kind], PHRASES[kind]))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_three_threads_discover_what_one_discovers(
    temperature: float, qwen: Qwen2VlModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    settings = {"questions": "one", "crop_shares": (), "max_tokens": 4, "temperature": temperature}
    pipeline = vlsam.VLSAM(qwen, sam, vlsam.read_config(settings))

    def discover(kind: int) -> Any:
        found = pipeline.discover(pictures[kind], seed=kind)
        return found.answers, found.labels, found.masks, found.scores

    together(discover)


def test_three_threads_in_one_clip_pipeline_get_what_one_gets(
    mochi: MochiModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    pipeline = refam.RefAM(mochi, sam)
    together(lambda kind: pipeline.ground_clip([pictures[kind]], PHRASES[kind], seed=kind), kinds=2)


def test_three_threads_in_one_video_pipeline_get_what_one_gets(
    flux: FluxModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    pipeline = refam_video.VideoPipeline(refam.RefAM(flux, sam), OpticalFlowTracker(sam))

    def follow(kind: int) -> Any:
        frames = [Frame(index, np.roll(pictures[kind], 2 * index, axis=1)) for index in range(2)]
        found = pipeline.ground(lambda: iter(frames), PHRASES[kind], seed=kind)
        return [(frame.rle, frame.score) for frame in found.frames]

    together(follow)


def test_three_threads_in_one_vision_language_model_write_and_read_what_one_does(
    qwen: VisionLanguageModel, pictures: list[Picture]
) -> None:
    def converse(kind: int) -> Any:
        picture = qwen.encode(pictures[kind])
        talk = qwen.ask(picture, f"where is {PHRASES[kind]}")
        ids = qwen.generate(talk, max_tokens=6, temperature=1.0, seed=kind)
        words = qwen.tokenizer(PHRASES[kind], add_special_tokens=False).input_ids
        layers = qwen.read_layers(qwen.add_answer(talk, words))
        return ids, qwen.logits(talk), qwen.agrees(talk), [layer.dense() for layer in layers]

    together(converse)


def test_a_run_that_is_not_read_to_its_end_blocks_no_other_thread(
    flux: FluxModel, llava: LlavaModel, sam: TransformersSam, pictures: list[Picture]
) -> None:
    shared = ensemble.EmbeddedOnce(sam)
    members = [refam.RefAM(flux, shared, refam.read_config(BARE)), vlsam.VLSAM(llava, shared, vlsam.read_config(BARE))]
    pipeline = ensemble.Ensemble(members, shared, ensemble.read_config(BARE))
    suspended = pipeline.ground(pictures[0], PHRASES)
    first = next(suspended)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(pipeline, pictures[0], PHRASES[0]).result(timeout=60)
    assert_equal(first, other)
    assert len(list(suspended)) == len(PHRASES) - 1


def test_an_error_in_one_thread_leaves_the_model_to_the_others(flux: FluxModel, pictures: list[Picture]) -> None:
    with pytest.raises(TypeError):
        flux.encode(pictures[0][0, 0, 0])
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(flux.encode, pictures[0][None]).result(timeout=60).grid.size > 0


class Layer(torch.nn.Module):
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(states, states, states)


def entries(states: torch.Tensor) -> torch.Tensor:
    return (states[0] @ states[0].mT / states.shape[-1] ** 0.5).softmax(-1)


def test_taps_of_several_threads_on_one_module_read_their_own_pass_each() -> None:
    """Without any lock: hooks hang on the module for all threads."""
    layer = Layer()
    states = [torch.randn(1, 2, 6 + i, 8, generator=torch.Generator().manual_seed(i)) for i in range(4)]

    def read(kind: int) -> torch.Tensor:
        with (
            AttentionTap({"layer": layer}, {"all": Selection(slice(None), slice(None), "all")}) as tap,
            AttentionTap({"inner": layer}, {"mean": Selection(slice(None), slice(None))}) as inner,
        ):
            layer(states[kind])
        torch.testing.assert_close(inner.read("mean")[0, 0], entries(states[kind]).mean(0))
        return tap.read("all")[0, 0]

    together(read)
    torch.testing.assert_close(read(1), entries(states[1]))


def test_a_tap_does_not_count_a_plain_run_in_another_thread() -> None:
    layer = Layer()
    mine, others = torch.randn(2, 1, 2, 5, 8, generator=torch.Generator().manual_seed(0))
    with AttentionTap({"layer": layer}, {"all": Selection(slice(None), slice(None), "all")}) as tap:
        layer(mine)
        with ThreadPoolExecutor(1) as pool:
            pool.submit(layer, others).result()
    torch.testing.assert_close(tap.read("all")[0, 0], entries(mine))


def test_a_tap_is_refused_to_a_second_thread_while_it_is_active() -> None:
    layer = Layer()
    with (
        AttentionTap({"layer": layer}, {"all": Selection(slice(None), slice(None))}) as tap,
        ThreadPoolExecutor(1) as pool,
    ):
        layer(torch.zeros(1, 2, 5, 8))
        with pytest.raises(AttentionError, match="active in another thread: make one for each thread"):
            pool.submit(tap.__enter__).result()


def test_seeded_numbers_are_the_same_in_every_thread_and_the_users_own_go_on_as_before() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)

    def draw(kind: int) -> torch.Tensor:
        with seeded(kind, torch.device("cpu")):
            return torch.cat([torch.rand(2), torch.rand(2)])

    together(draw)
    assert torch.equal(torch.rand(3), expected)


def test_a_picture_embedded_for_one_thread_is_never_handed_to_another(pictures: list[Picture]) -> None:
    both_have_stored = threading.Barrier(2)

    class Heights:
        name = "heights"

        def embed(self, image: Picture) -> int:
            return image.shape[0]

    class Raced(ensemble.EmbeddedOnce):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if value is not None and name == "_last":
                both_have_stored.wait(timeout=60)

    shared = Raced(Heights())  # type: ignore[arg-type]
    with ThreadPoolExecutor(2) as pool:
        heights = list(pool.map(shared.embed, pictures[:2]))
    assert heights == [picture.shape[0] for picture in pictures[:2]]
