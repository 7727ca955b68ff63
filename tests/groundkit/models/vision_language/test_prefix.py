"""A question that goes on from what is kept of its picture is read as one that is read from its first token on."""

from __future__ import annotations

import copy
import gc
import itertools
import logging
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from groundkit.attention.flow import Flow, image_flow
from groundkit.attention.heads import HeadWeights
from groundkit.language import parse_phrase
from groundkit.models.vision_language.base import Conversation, VisionLanguageModel
from groundkit.models.vision_language.prefix import Wanted
from groundkit.pipelines.decaf import DecAF
from groundkit.pipelines.vlsam import PRESETS, VLSAM, read_config

# PaliGemma's processor makes an array of a tensor in a way that numpy will not allow for ever.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUESTIONS = ("where is the red cup", "list all the objects in this picture", "is the blue ball in the picture")
PICTURE = np.random.default_rng(0).integers(0, 256, (96, 160, 3), dtype=np.uint8)
# What rounding makes of states and of attention.
TOLERANCES = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float32: {"rtol": 1e-4, "atol": 1e-5},
    torch.bfloat16: {"rtol": 0.1, "atol": 0.05},
}


@pytest.fixture(scope="session", params=list(TOLERANCES), ids=str)
def typed(request: pytest.FixtureRequest, load_model: Callable[..., VisionLanguageModel]) -> VisionLanguageModel:
    """Each family in each type."""
    return load_model(dtype=request.param)


def talks(model: VisionLanguageModel, *, keeps: bool) -> list[Conversation]:
    """Questions about one picture, the last with an answer, where its tokens are kept or are not."""
    picture = model.encode(PICTURE)
    picture.kept.max_bytes *= keeps
    answer = model.tokenizer("a red ball and the blue cup", add_special_tokens=False).input_ids
    asked = [model.ask(picture, question) for question in QUESTIONS]
    return [*asked, model.add_answer(asked[0], answer), model.add_answer(asked[1], answer[:3])]


class Passes:
    """Counts the tokens of each pass of a language model."""

    def __init__(self, model: VisionLanguageModel) -> None:
        self.tokens: list[tuple[int, ...]] = []
        self._hook = model.model.get_decoder().register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, decoder: Any, args: Any, kwargs: Any) -> None:
        self.tokens.append(tuple(kwargs["inputs_embeds"].shape[:2]))

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *error: object) -> None:
        self._hook.remove()


def flows(model: VisionLanguageModel, talk: Conversation, layers: list[Any], flow: Flow) -> Tensor:
    rows = torch.zeros(2, len(talk.ids), dtype=torch.promote_types(model.dtype, torch.float32))
    rows[[0, 1], [-1, -3]] = 1
    return image_flow(layers, rows, talk.image_positions, flow=flow)


@torch.inference_mode()
def test_states_of_last_tokens_are_those_of_whole_passes(typed: VisionLanguageModel) -> None:
    kept, whole = talks(typed, keeps=True), talks(typed, keeps=False)
    expected = [typed._last([each])[0] for each in whole]
    torch.testing.assert_close([typed._last([each])[0] for each in kept], expected, **TOLERANCES[typed.dtype])
    batched = typed._last(kept, batch_size=8)  # of different lengths
    torch.testing.assert_close(batched, expected, **TOLERANCES[typed.dtype])


@torch.inference_mode()
def test_flow_to_the_picture_is_that_of_whole_passes(typed: VisionLanguageModel) -> None:
    kept, whole = talks(typed, keeps=True), talks(typed, keeps=False)
    for weights, flow in itertools.product(HeadWeights, Flow):
        how: dict[str, Any] = {"weights": weights, "direct": flow is Flow.MEAN, "layers": "1-2"}
        expected = [flows(typed, each, typed.read_layers(each, **how), flow) for each in whole[::2]]
        found = [flows(typed, each, typed.read_layers(each, **how), flow) for each in kept[::2]]
        batch = zip(kept[::2], typed.read_layers_each(kept[::2], **how), strict=True)
        again = [flows(typed, *pair, flow) for pair in batch]
        for some in (found, again):
            for one, other in zip(some, expected, strict=True):
                torch.testing.assert_close(one / other.max(), other / other.max(), **TOLERANCES[typed.dtype])


def test_the_matrix_of_some_heads_is_that_of_a_whole_pass(model: VisionLanguageModel) -> None:
    kept, whole = (talks(model, keeps=keeps) for keeps in (True, False))
    how: dict[str, Any] = {"weights": HeadWeights.IMAGE_MAX, "heads": (1, 3)}
    for one, other in zip(kept, whole, strict=True):
        found, expected = (model.read_layers(each, **how) for each in (one, other))
        torch.testing.assert_close([each.weights for each in found], [each.weights for each in expected])
        torch.testing.assert_close([each.dense() for each in found], [each.dense() for each in expected])


def test_rows_of_tokens_are_those_of_whole_passes(typed: VisionLanguageModel) -> None:
    kept, whole = talks(typed, keeps=True), talks(typed, keeps=False)
    typed.logits(kept[0])
    for one, other in zip(kept, whole, strict=True):
        last = len(one.ids) - 1
        for positions in ((last, last - 2), (0, last)):  # behind the picture, and also before it
            found, expected = (typed.read_rows(each, positions)[1] for each in (one, other))
            torch.testing.assert_close(found, expected, **TOLERANCES[typed.dtype])


def test_checks_and_answers_are_those_of_whole_passes(model: VisionLanguageModel) -> None:
    kept, whole = (talks(model, keeps=keeps)[:3] for keeps in (True, False))
    expected = [model.agrees(each) for each in whole]
    assert [model.agrees(each) for each in kept] == pytest.approx(expected, rel=1e-4)
    assert model.agrees_each(kept, batch_size=2) == pytest.approx(expected, rel=1e-4)
    answers = [model.generate(each, max_tokens=6) for each in whole]
    assert [model.generate(each, max_tokens=6) for each in kept] == answers
    for talk, answer, other in zip(kept, answers, whole, strict=True):
        pair = [model.add_answer(each, answer) for each in (talk, other)]
        torch.testing.assert_close(model.logits(pair[0]), model.logits(pair[1]), rtol=1e-4, atol=1e-5)


def test_a_picture_is_run_through_a_causal_model_once(model: VisionLanguageModel) -> None:
    asked = talks(model, keeps=True)
    asked[0].picture.kept.wanted = Wanted(model.layer_names[1:], HeadWeights.MAX, direct=False)
    with Passes(model) as passes:
        answer = model.generate(asked[0], max_tokens=3)
        model.agrees_each(asked)
        model.read_layers(model.add_answer(asked[0], answer or [5]), layers="1-2")
        model.read_layers(asked[3], layers="1-2")
        model.read_rows(asked[3], asked[3].answer)
        model.logits(asked[1])
    of_picture = [count for _, count in passes.tokens if count > len(asked[0].image_positions)]
    assert (of_picture == [len(asked[0].ids)]) is model.causal
    assert not model.causal or sum(len(asked) == batch for batch, _ in passes.tokens) == 1


def test_only_families_whose_picture_sees_nothing_later_keep_it(model: VisionLanguageModel) -> None:
    assert model.keeps_prefix is model.causal
    (talk, *_) = talks(model, keeps=True)
    model.logits(talk)
    assert (talk.picture.kept.prefix is not None) is model.causal


def test_what_is_kept_is_dropped_with_its_picture_and_stays_within_its_limit(
    load_tiny: Callable[..., VisionLanguageModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = load_tiny("qwen2_5_vl")
    caplog.set_level(logging.INFO, "groundkit")
    tensors = []
    for _ in range(3):
        talk = talks(model, keeps=True)[0]
        model.read_layers(talk)
        prefix = talk.picture.kept.prefix
        assert prefix is not None
        assert f"{len(talk.ids)} tokens of the picture are kept in {prefix.nbytes / 2**20:.1f} MiB" in caplog.text
        tensors += [weakref.ref(each) for each in (*prefix.keys, *prefix.values)]
        tensors += [weakref.ref(rows.query) for rows in prefix.rows.values()]
        del talk, prefix
    gc.collect()
    assert not any(each() is not None for each in tensors)
    talk, other = talks(model, keeps=True)[:2]
    talk.picture.kept.max_bytes = 2**10
    with Passes(model) as passes:
        model.read_layers(talk)
        model.read_layers(other)
    assert talk.picture.kept.prefix is None
    assert passes.tokens == [(1, len(talk.ids)), (1, len(other.ids))]
    assert "above max_prefix_mib=0" in caplog.text


def test_a_checkpoint_with_sliding_windows_is_read_whole(load_tiny: Callable[..., VisionLanguageModel]) -> None:
    model = copy.copy(load_tiny("pixtral"))
    model.model = copy.copy(model.model)
    model.model.config = copy.deepcopy(model.model.config)
    model.model.config.get_text_config().sliding_window = 16
    vars(model).pop("_keeps_every_key", None)
    (talk, *_) = talks(model, keeps=True)
    assert not model._keeps(talk)


def test_a_picture_is_processed_once_and_questions_are_laid_out_as_if_it_were_processed_each_time(
    model: VisionLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = model.encode(PICTURE)
    asked = [model.ask(picture, question) for question in QUESTIONS]
    for talk, question in zip(asked, QUESTIONS, strict=True):
        plain = {name: value for name, value in model._process(picture.image, question).items() if name in talk.inputs}
        torch.testing.assert_close(dict(talk.inputs), plain, rtol=0, atol=0)
    real, calls = type(model.processor.image_processor).__call__, []
    monkeypatch.setattr(
        type(model.processor.image_processor), "__call__", lambda *args, **kw: (calls.append(1), real(*args, **kw))[1]
    )
    picture = model.encode(PICTURE)
    for question in QUESTIONS:
        model.ask(picture, question)
    assert len(calls) == 1


@pytest.mark.parametrize("preset", ["vlsam", "decaf"])
def test_phrases_of_one_picture_are_read_together_as_each_by_itself(model: VisionLanguageModel, preset: str) -> None:
    method = {"vlsam": VLSAM, "decaf": DecAF}[preset]
    pipeline = method(model, None, read_config(PRESETS[preset]))  # type: ignore[arg-type]
    phrases = [parse_phrase(text) for text in ("the red cup", "a blue ball", "the cup", "the red ball")]
    expecting, plain = pipeline.open(PICTURE), pipeline.open(PICTURE)
    expecting.expect(phrases)
    with Passes(model) as passes:
        found = [expecting.read(phrase) for phrase in phrases]
    assert (len(passes.tokens) == 2) is model.causal
    for maps, phrase in zip(found, phrases, strict=True):
        expected = plain.read(phrase)
        assert maps.tokens == expected.tokens
        scale = expected.values.max()
        torch.testing.assert_close(maps.values / scale, expected.values / scale, rtol=1e-4, atol=1e-5)
