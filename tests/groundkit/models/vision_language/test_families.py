"""What every family has to prove: parity, the same output bit for bit, and where each patch of the picture stands."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from groundkit.attention.heads import HeadWeights, WeighedHeads
from groundkit.models.vision_language.base import Conversation, VisionLanguageModel

# PaliGemma's processor makes an array of a tensor in a way that numpy will not allow for ever.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUESTION = "list all the objects in this picture"


class Softmaxes(TorchFunctionMode):
    """Keeps the softmax of every attention call over ``size`` keys, float64 ``(H, N, N)``: the plain reference."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            named = dict(zip(("query", "key", "value", "attn_mask", "dropout_p", "is_causal"), args, strict=False))
            named |= kwargs
            query, key = named["query"].double(), named["key"].double()
            if query.shape[2] == key.shape[2] == self.size:
                key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
                scores = query @ key.mT * (named.get("scale") or 1 / math.sqrt(query.shape[-1]))
                mask = named.get("attn_mask")
                if named.get("is_causal"):
                    mask = torch.ones(self.size, self.size, dtype=torch.bool).tril()
                if mask is not None:
                    scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
                self.found.append(scores.softmax(-1)[0])
        return func(*args, **kwargs)


def conversation(model: VisionLanguageModel, picture: npt.NDArray[np.uint8]) -> Conversation:
    answer = model.tokenizer("the red cup and a blue ball", add_special_tokens=False).input_ids
    return model.ask(model.encode(picture), QUESTION, answer)


def test_a_question_is_laid_out_as_the_processor_itself_lays_it_out(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8]
) -> None:
    if model.processor.chat_template is None:  # PaliGemma: the picture, then a task between start and line end
        text = f"<image>answer en {QUESTION}"
        expected = model.processor(images=Image.fromarray(picture), text=text, return_tensors="pt")
    else:
        content = [{"type": "image", "image": Image.fromarray(picture)}, {"type": "text", "text": QUESTION}]
        expected = model.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
    talk = model.ask(model.encode(picture), QUESTION)
    assert talk.inputs["input_ids"].tolist() == expected["input_ids"].tolist()
    assert talk.inputs["attention_mask"].tolist() == expected["attention_mask"].tolist()


@torch.inference_mode()
@pytest.mark.parametrize("keep", ["matrix", "queries", "prefix"])
def test_layers_equal_a_float64_softmax_of_the_same_queries_and_keys(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8], keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = conversation(model, picture)
    if keep != "prefix":
        talk.picture.kept.max_bytes = 0
        monkeypatch.setattr(
            "groundkit.models.vision_language.passes.WeighedHeads", functools.partial(WeighedHeads, keep=keep)
        )
    layers = model.read_layers(talk, weights=HeadWeights.MAX)
    with Softmaxes(len(talk.ids)) as reference:
        model.model(**model._arguments(talk), use_cache=False, logits_to_keep=1)
    assert len(layers) == len(reference.found) == len(model.layer_names)
    for layer, attention in zip(layers, reference.found, strict=True):
        weights = attention.amax(-1).mean(-1)
        expected = (weights[:, None, None] * attention).mean(0)
        torch.testing.assert_close(layer.dense().double(), expected, atol=1e-6, rtol=1e-4)


@torch.inference_mode()
def test_attention_equals_that_of_eager_attention(model: VisionLanguageModel, picture: npt.NDArray[np.uint8]) -> None:
    talk = conversation(model, picture)
    layers = model.read_layers(talk, weights=HeadWeights.UNIFORM)
    names, rows = model.read_rows(talk, talk.answer)
    model.model.set_attn_implementation("eager")
    try:
        out = model.model(**model._arguments(talk), use_cache=False, output_attentions=True)
    finally:
        model.model.set_attn_implementation("sdpa")
    assert len(out.attentions) == len(layers)
    for layer, attention in zip(layers, out.attentions, strict=True):
        torch.testing.assert_close(layer.dense(), attention[0].float().mean(0), atol=1e-5, rtol=1e-3)
    assert names == model.layer_names
    for row, attention in zip(rows, out.attentions, strict=True):  # every head, from the answer to the picture
        expected = attention[0][:, talk.answer.start : talk.answer.stop][:, :, talk.image_positions].float()
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-3)


@torch.inference_mode()
def test_the_model_says_bit_for_bit_what_it_says_without_groundkit(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8]
) -> None:
    encoded = model.encode(picture)  # which pads it, if the family is shown squares
    talk = model.ask(encoded, QUESTION)
    plain = model.model(**model._process(encoded.image, QUESTION), use_cache=False, logits_to_keep=1).logits[0, -1]
    torch.testing.assert_close(model.logits(talk), plain.float(), atol=0, rtol=0)


def test_agreement_is_what_yes_gets_of_yes_and_no(model: VisionLanguageModel, picture: npt.NDArray[np.uint8]) -> None:
    talk = model.ask(model.encode(picture), QUESTION)
    said = model.logits(talk).double().softmax(-1).tolist()
    yes, no = model.tokenizer("yes no", add_special_tokens=False).input_ids
    assert model.agrees(talk) == pytest.approx(said[yes] / (said[yes] + said[no]), rel=1e-4)


def test_an_answer_ends_where_the_model_ends_it_and_can_be_laid_beside_the_picture_again(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8]
) -> None:
    encoded = model.encode(picture)
    answer = model.generate(model.ask(encoded, QUESTION), max_tokens=5)
    assert len(answer) <= 5
    talk = model.ask(encoded, QUESTION, answer)
    assert talk.inputs["input_ids"][0, talk.answer.start : talk.answer.stop].tolist() == answer
    # What was generated is what one pass over all of it finds likeliest, word by word.
    for count in range(len(answer)):
        assert int(model.logits(model.ask(encoded, QUESTION, answer[:count])).argmax()) == answer[count]


def test_a_causal_family_sees_nothing_later_and_another_does(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8]
) -> None:
    talk = conversation(model, picture)
    for layer in model.read_layers(talk):
        later = layer.dense().triu(1)
        assert bool((later == 0).all()) is model.causal
        # No family lets its answer's words see later ones, nor the question see its answer: they are said one by one.
        assert not later[:, talk.answer.start :].any()


@torch.inference_mode()
def test_a_changed_patch_of_the_picture_changes_the_token_that_stands_for_it(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8]
) -> None:
    """The locality probe: row order, flips, tile order and the grid's shape."""

    def embedded(pixels: npt.NDArray[np.uint8]) -> Tensor:
        talk = model.ask(model.encode(pixels), QUESTION)
        kept: list[Tensor] = []
        hook = model.model.get_decoder().register_forward_pre_hook(
            lambda _module, _args, kwargs: kept.append(kwargs["inputs_embeds"][0]), with_kwargs=True
        )
        model.logits(talk)
        hook.remove()
        return kept[0].float()

    height, width = picture.shape[:2]
    flat = np.full_like(picture, 128)
    before = embedded(flat)
    views = model.ask(model.encode(flat), QUESTION).views
    assert views
    for view in views:
        rows, columns = view.grid.shape
        x1, y1, x2, y2 = view.grid.box
        for row, column in {
            (0, 0),
            (rows - 1, 0),
            (0, columns - 1),
            (rows // 2, columns // 3),
            (rows - 1, columns - 1),
        }:
            left, right = (width * (x1 + (x2 - x1) * (column + edge) / columns) for edge in (0.15, 0.85))
            top, bottom = (height * (y1 + (y2 - y1) * (row + edge) / rows) for edge in (0.15, 0.85))
            if left < 0 or top < 0 or right > width or bottom > height:
                continue  # padding, of which the picture has nothing
            changed = flat.copy()
            changed[
                round(top) : max(round(bottom), round(top) + 1), round(left) : max(round(right), round(left) + 1)
            ] = 255
            difference = (embedded(changed) - before)[view.positions].norm(dim=-1)
            assert int(difference.argmax()) == row * columns + column, (view.grid, row, column)


def test_blocks_kept_in_main_memory_until_they_run_change_nothing(
    model: VisionLanguageModel, picture: npt.NDArray[np.uint8]
) -> None:
    """On the CPU for want of a GPU: the hooks and what each family reads outside of them are the same."""
    other = type(model)(copy.deepcopy(model.model), model.processor, model.name, torch.device("cpu"), offload=True)
    away = {name for name, tensor in other.model.named_parameters() if tensor.is_meta}
    blocks = {name for name, _ in model.model.get_decoder().layers.named_parameters()}
    assert sum(any(name.endswith(f"layers.{block}") for block in blocks) for name in away) >= len(blocks)
    talks = [conversation(each, picture) for each in (model, other)]
    plain, offloaded = (
        [each.dense() for each in one.read_layers(talk)] for one, talk in zip((model, other), talks, strict=True)
    )
    # Not bit for bit: copies of weights lie otherwise in memory, for which some CPU kernels add in another order.
    torch.testing.assert_close(offloaded, plain, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.logits(talks[1]), model.logits(talks[0]), rtol=1e-4, atol=1e-5)
    asked = [each.ask(talk.picture, QUESTION) for each, talk in zip((model, other), talks, strict=True)]
    with pytest.warns(UserWarning, match="very slow"):  # it moves the model for each token
        answer = other.generate(asked[1], max_tokens=3)
    assert model.generate(asked[0], max_tokens=3) == answer
