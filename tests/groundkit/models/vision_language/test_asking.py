"""What a model is asked, in which format, and what of its checkpoint's own settings counts when it answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from groundkit.errors import ImageError, ModelError, PhraseError
from groundkit.language import parse_phrase
from groundkit.models.options import LoadOptions
from groundkit.models.vision_language.base import VisionLanguageModel
from groundkit.models.vision_language.families import load_vision_language
from groundkit.pipelines.discover import questions
from groundkit.pipelines.vlsam import QUESTIONS, VLSAM, read_config

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PICTURE: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (96, 160, 3), np.uint8)
THINKING = (
    "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
    "{{ '<|vision_start|><|image_pad|><|vision_end|>' if part['type'] == 'image' else part['text'] + ' ' }}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant\nTHOUGHT{% endif %}"
)


@pytest.fixture(scope="module")
def folder(save_tiny: Callable[[str], Path]) -> Callable[[str], Path]:
    return save_tiny


def load(folder: Path, **options: Any) -> VisionLanguageModel:
    return load_vision_language(folder, LoadOptions(local_files_only=True, **options))


def with_template(folder: Path, copy: Path, template: str | None) -> Path:
    """A copy of a model's folder with another chat template, or with none."""
    shutil.copytree(folder, copy)
    file = copy / "chat_template.jinja"
    file.unlink() if template is None else file.write_text(template)
    return copy


# Templates


@pytest.mark.parametrize("family", ["gemma3", "idefics3", "internvl", "llava_onevision", "qwen2_5_vl", "qwen3_vl"])
def test_a_base_model_without_chat_template_is_refused_in_one_line_as_it_is_loaded(
    family: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="a base model without a chat template") as refused:
        load(with_template(folder(family), tmp_path / "base", None))
    assert "\n" not in str(refused.value)
    assert "Instruct" in str(refused.value)


def test_a_chat_template_that_is_kept_with_the_tokenizer_is_used(folder: Callable[[str], Path], tmp_path: Path) -> None:
    template = (folder("qwen2_vl") / "chat_template.jinja").read_text()
    older = with_template(folder("qwen2_vl"), tmp_path / "older", None)
    file = older / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": template}))
    assert load(older).chat("where is the cup") == load(folder("qwen2_vl")).chat("where is the cup")


@pytest.mark.parametrize(
    "template",
    [
        "{% for message in messages %}{{ 'user: ' + message['content'] }}{% endfor %}",
        "{{ raise_exception('text only') }}",
    ],
)
def test_a_chat_template_that_takes_no_picture_is_refused_in_one_line(
    template: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="its chat template takes no picture") as refused:
        load(with_template(folder("qwen2_vl"), tmp_path / "text", template))
    assert "\n" not in str(refused.value)


def test_a_chat_template_that_leaves_the_picture_out_is_refused(folder: Callable[[str], Path], tmp_path: Path) -> None:
    blind = "{% for message in messages %}{{ message['role'] }}{% endfor %}"
    model = load(with_template(folder("llava"), tmp_path / "blind", blind))
    with pytest.raises(ImageError, match="Found total 0 <image> tokens") as refused:
        model.encode(PICTURE)
    assert "\n" not in str(refused.value)


def test_a_strip_that_the_processor_refuses_is_an_unusable_picture_and_no_traceback(
    folder: Callable[[str], Path],
) -> None:
    with pytest.raises(ImageError, match="takes no picture of 3000 x 3 pixels"):
        load(folder("qwen2_vl")).encode(np.zeros((3, 3000, 3), np.uint8))


@pytest.mark.parametrize("family", ["llava", "gemma3", "idefics3", "internvl", "paligemma", "qwen2_5_vl"])
def test_a_phrase_with_a_mark_of_the_models_own_is_refused_in_one_line(
    family: str, folder: Callable[[str], Path]
) -> None:
    model = load(folder(family))
    mark = model.tokenizer.convert_ids_to_tokens(model.model.config.image_token_id)
    pipeline = VLSAM(model, None, read_config({}))  # type: ignore[arg-type]
    for text in (f"the {mark} cup", "the </s> cup"):
        with pytest.raises(PhraseError, match="is a mark of"):
            pipeline.open(PICTURE).read(parse_phrase(text))


# Thoughts


@pytest.mark.parametrize("tag", ["<think>\n", "<think>", "<thinking>\n\n"])
def test_a_thought_that_the_template_opens_is_closed_before_question_phrase_and_yes_or_no(
    tag: str, folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = load(with_template(folder("qwen3_vl"), tmp_path / "thinking", THINKING.replace("THOUGHT", tag)))
    name = tag.strip("<>\n")
    assert model.chat("is there a cup").endswith(f"assistant\n<{name}>\n\n</{name}>\n\n")
    encoded = model.encode(PICTURE)
    asked = model.tokenizer.decode(model.ask(encoded, "is there a cup").inputs["input_ids"][0])
    closed = load(folder("qwen3_vl")).tokenizer.decode(model.tokenizer(f"<{name}></{name}>").input_ids[1:])
    assert asked.endswith(closed)  # where an answer, a phrase or yes and no begin
    taught = model.ask(encoded, "where is the cup", model.answer_ids("the red cup"))
    assert model.tokenizer.decode(taught.inputs["input_ids"][0]).endswith(f"{closed} the red cup")


def test_a_template_that_can_leave_thoughts_out_is_told_to(folder: Callable[[str], Path], tmp_path: Path) -> None:
    template = THINKING.replace("THOUGHT", "{% if enable_thinking is not false %}<think>\n{% endif %}")
    model = load(with_template(folder("qwen3_vl"), tmp_path / "either", template))
    assert model.chat("is there a cup").endswith("assistant\n")


# The space before an answer


def byte_pairs(prefix: bool) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer as GPT-2's, or one with "▁" before words as Llama's, which adds one at the beginning."""
    text = ["Assistant: the red cup and the blue ball", "User: where is the red cup, a blue ball"] * 20
    words = Tokenizer(models.BPE(unk_token=None if not prefix else "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Metaspace() if prefix else pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.Metaspace() if prefix else decoders.ByteLevel()
    alphabet = [] if prefix else pre_tokenizers.ByteLevel.alphabet()
    special = ["<unk>", "<image>", "<|im_start|>", "<end_of_utterance>"]
    words.train_from_iterator(
        text, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, special_tokens=special)
    )
    return PreTrainedTokenizerFast(tokenizer_object=words)


@pytest.mark.parametrize(("prefix", "first"), [(False, "Ġthe"), (True, "▁the")])
def test_a_phrase_begins_with_the_word_token_that_follows_assistant_colon_with_a_space(
    prefix: bool, first: str, folder: Callable[[str], Path]
) -> None:
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    model = load(folder("idefics3"))
    model.tokenizer = model.processor.tokenizer = byte_pairs(prefix)
    model.processor.chat_template = DEFAULT_CHAT_TEMPLATE
    model.__dict__.pop("_gap", None)
    assert model.chat("").endswith("Assistant:")
    ids = model.answer_ids("the red cup")
    assert model.tokenizer.convert_ids_to_tokens(ids)[0] == first
    whole = model.tokenizer(model.chat("") + " the red cup", add_special_tokens=False).input_ids
    assert whole[-len(ids) :] == ids


# Generation settings


@pytest.fixture(scope="module")
def penalised(folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose checkpoint asks for a penalty on words said twice, and for the likeliest word when it samples."""
    copy = shutil.copytree(folder("qwen2_5_vl"), tmp_path_factory.mktemp("penalised") / "model")
    file = copy / "generation_config.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "repetition_penalty": 5.0, "do_sample": True, "top_k": 1})
    )
    return copy


def test_a_greedy_answer_is_the_likeliest_whatever_penalty_the_checkpoint_asks_for(
    folder: Callable[[str], Path], penalised: Path
) -> None:
    from transformers import GenerationConfig

    plain, other = load(folder("qwen2_5_vl")), load(penalised)
    talk = plain.ask(plain.encode(PICTURE), "list all the objects")
    asked = {**plain._arguments(talk), "max_new_tokens": 8, "do_sample": False}
    theirs = plain.model.generate(**asked, generation_config=GenerationConfig.from_pretrained(penalised))
    said = plain.generate(talk, max_tokens=8)
    assert theirs[0, talk.answer.start :].tolist() != said  # the penalty would change the answer
    assert other.generate(talk, max_tokens=8) == said


def test_sampling_takes_no_top_k_from_the_checkpoint(penalised: Path) -> None:
    model = load(penalised)
    talk = model.ask(model.encode(PICTURE), "list all the objects")
    answers = {tuple(model.generate(talk, max_tokens=3, temperature=5.0, seed=seed)) for seed in range(4)}
    assert len(answers) > 1  # with top_k = 1 each would be the likeliest
    again = model.generate(talk, max_tokens=3, temperature=5.0, seed=2)
    assert tuple(again) in answers


# PaliGemma's tasks


def test_paligemma_is_set_the_tasks_that_it_was_trained_on(folder: Callable[[str], Path]) -> None:
    model = load(folder("paligemma"))
    pipeline = VLSAM(model, None, read_config({}))  # type: ignore[arg-type]
    asked: list[str] = []
    process = model._process

    def listen(image: Any, question: str, processor: Any = None) -> Any:
        asked.append(model.chat(question))
        return process(image, question, processor)

    model._process = listen  # type: ignore[method-assign]
    look = pipeline.open(PICTURE)
    encoded = look.picture
    assert questions(pipeline, look, 0) == model.listing_questions != QUESTIONS
    asked.clear()
    look.read(parse_phrase("the red cup"))
    model.agrees(model.ask(encoded, pipeline.config.discovery.verify_question.format(name="a cup")))
    model.ask(encoded, "detect the cup")
    assert asked == ["<image>caption en", "<image>answer en Is there a cup in the image?", "<image>detect the cup"]


@pytest.mark.parametrize(("name", "told"), [("google/paligemma-3b-pt-224", True), ("pt/paligemma-3b-mix-224", False)])
def test_a_pt_checkpoint_of_paligemma_is_said_to_answer_nothing(
    name: str, told: bool, folder: Callable[[str], Path], recwarn: pytest.WarningsRecorder
) -> None:
    load(folder("paligemma"), name=name)
    assert any("answers no questions before it is fine-tuned" in str(each.message) for each in recwarn) == told
