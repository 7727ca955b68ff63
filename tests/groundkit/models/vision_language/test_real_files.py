"""With real processors, tokenizers and templates: tokens of a picture, and how questions and answers begin."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from real_files import GRANITE, QWEN, needs_checkpoints, save_small

from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.models.vision_language.families import load_vision_language
from groundkit.pipelines.vlsam import VLSAM, read_config

pytestmark = needs_checkpoints


@pytest.fixture(scope="module", params=[QWEN, GRANITE])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VisionLanguageModel:
    folder = tmp_path_factory.mktemp("real")
    save_small(request.param, folder)
    return load_vision_language(folder, LoadOptions(name=request.param, local_files_only=True))


# Tokens of a picture, and those it has at the processor's own limit; Idefics3's include the marks of its 13 tiles.
TOKENS = {
    QWEN: {
        (480, 640): (391, 391),
        (1080, 1920): (1296, 2691),
        (3000, 4000): (1271, 15301),
        (6000, 8000): (1271, 16170),
    },
    GRANITE: dict.fromkeys([(480, 640), (1080, 1920), (3000, 4000), (6000, 8000)], (862, 862)),
}


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920), (3000, 4000), (6000, 8000)])
def test_a_picture_gets_so_many_tokens(model: VisionLanguageModel, size: tuple[int, int]) -> None:
    def tokens(**settings: object) -> int:
        pipeline = VLSAM(model, None, read_config(settings))  # type: ignore[arg-type]
        scale = (pipeline._pixels(*size) / (size[0] * size[1])) ** 0.5
        height, width = (round(side * scale) for side in size)
        if isinstance(counted := model.processor._get_num_multimodal_tokens(image_sizes=[(height, width)]), dict):
            return int(counted["num_image_tokens"][0])
        return int(counted.num_image_tokens[0])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        now = tokens()
    assert (now, tokens(max_pixels=10**9)) == TOKENS[model.name][size]


def test_the_counted_tokens_are_those_of_the_sequence(model: VisionLanguageModel) -> None:
    picture = VLSAM(model, None, read_config({})).open(np.zeros((480, 640, 3), np.uint8)).picture  # type: ignore[arg-type]
    assert len(model.ask(picture, "").image_positions) == {QWEN: 391, GRANITE: 13 * 64}[model.name]


def test_a_crop_of_a_small_photograph_gets_four_times_the_tokens_for_what_it_shows(model: VisionLanguageModel) -> None:
    pipeline = VLSAM(model, None, read_config({}))  # type: ignore[arg-type]
    whole = np.zeros((480, 640, 3), np.uint8)
    tokens = [
        len(model.ask(pipeline.open(each, whole=whole).picture, "").views[0].positions)
        for each in (whole, whole[:240, :320])
    ]
    assert tokens[0] == tokens[1]


def test_yes_and_no_begin_with_tokens_of_their_own(model: VisionLanguageModel) -> None:
    yes, no = model._beginnings("yes"), model._beginnings("no")
    assert len(yes) == len(no) == 6  # with and without a space, in three spellings
    assert not yes & no
    for word, tokens in (("yes", yes), ("no", no)):
        assert {model.tokenizer.decode([token]).strip().lower() for token in tokens} == {word}


# Idefics3's and SmolVLM's own, which writes a space before an answer and none at the prompt's end.
ASSISTANT = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ ' ' + part['text'] }}"
    "{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


@pytest.mark.parametrize("template", ["its own", "Assistant:"])
@pytest.mark.parametrize("phrase", ["the red cup", "A cat", "3 year old dog", "«été»"])
def test_a_taught_phrase_begins_with_the_token_of_an_answer_as_the_template_writes_it(
    model: VisionLanguageModel, template: str, phrase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if template != "its own":
        monkeypatch.setattr(model.processor, "chat_template", ASSISTANT)
        model.__dict__.pop("_gap", None)
    question = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where is it?"}]}
    answer = {"role": "assistant", "content": [{"type": "text", "text": phrase}]}
    written = model.processor.apply_chat_template([question, answer], tokenize=False)
    expected = model.tokenizer(written, add_special_tokens=False).input_ids
    prompt = model.tokenizer(model.chat("Where is it?"), add_special_tokens=False).input_ids
    taught = model.answer_ids(phrase)
    model.__dict__.pop("_gap", None)
    assert [*prompt, *taught] == expected[: len(prompt) + len(taught)]
    assert model.tokenizer.decode(taught).strip() == phrase
