"""What a further phrase, a check and ``discover`` cost where the picture's tokens are kept, and where they are not.

    python benchmarks/prefix.py [--tokens 1000 2000] [--layers 2] [--discover 500] [--repeats 3] [--json]

The subject is Qwen2.5-VL of transformers' own class, of the shapes of the 3B checkpoint (hidden 2048, MLP 11008, 16
heads of 128, 2 key heads, 151,936 words), with random weights, few of its 36 layers and a vision tower that costs
nearly nothing; masks are drawn by the embedded segmenter. Such a model says no words, so that the answers in which
``discover`` reads names are given to it, after as many tokens were generated. "whole" reads every question from its
first token on (``max_prefix_mib=0``). ``--nano PICTURE`` takes the embedded models as they are.

Seconds are the process's own CPU time, which other work on the machine hardly stretches; run it with one thread
(``OMP_NUM_THREADS=1``). Cases take turns; medians of the rounds' own ratios are printed. Equality of what was found is
checked in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

import groundkit
from groundkit.media.images import read_image
from groundkit.models.vision_language.base import Conversation, VisionLanguageModel
from groundkit.models.vision_language.qwen2_vl import Qwen2VlModel
from groundkit.pipelines.vlsam import VLSAM
from groundkit.pipelines.vlsam_config import AnswerReading, read_config

ANSWER = "a red cup, a blue ball, the green box"
PHRASES = ["the red cup", "the blue ball", "the green box", "the yellow book", "a white plate"] * 100
_SPECIAL = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<|endoftext|>", "<unk>"]
_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }} {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}assistant {% endif %}"
)
_WORDS = (
    "user assistant is there where in the image a an red blue green yellow white cup ball box book plate ? . , yes no "
    "Yes No YES NO Is Where list all objects List this picture separated by commas What are Name every one of them "
    "thing"
)

Run = Callable[[], object]


class Prompted(Qwen2VlModel):
    """A model with random weights whose answers are put in its mouth, after as many tokens were generated."""

    said: tuple[int, ...] = ()

    def generate(self, conversation: Conversation, **how: Any) -> list[int]:
        super().generate(conversation, **{**how, "max_tokens": len(self.said)})
        return list(self.said)


def qwen(layers: int = 2, dtype: torch.dtype = torch.float32) -> VisionLanguageModel:
    """Qwen2.5-VL of the shapes of the 3B checkpoint, with some of its layers."""
    torch.manual_seed(0)
    vocabulary = {word: index for index, word in enumerate([*_SPECIAL, *_WORDS.split()])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|endoftext|>", unk_token="<unk>", additional_special_tokens=_SPECIAL[:4]
    )
    start, _, image, film, end, _ = range(len(_SPECIAL))
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": layers,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "max_position_embeddings": 32768,
            "bos_token_id": None,
            "eos_token_id": end,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 2048},
        image_token_id=image,
        video_token_id=film,
        vision_start_token_id=start,
        tie_word_embeddings=True,
    )
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="sdpa", dtype=dtype)
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=_TEMPLATE
    )
    loaded = Prompted(model, processor, "qwen2.5-vl shapes", torch.device("cpu"))
    loaded.said = tuple(tokenizer(ANSWER, add_special_tokens=False).input_ids)
    return loaded


def picture(tokens: int) -> npt.NDArray[np.uint8]:
    """Noise of as many tokens of 28 x 28 pixels, about square."""
    rows = round(tokens**0.5)
    size = (28 * rows, 28 * round(tokens / rows), 3)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def pipelines(layers: int) -> dict[str, VLSAM]:
    """The same pipeline, which keeps pictures and which does not."""
    model, segmenter = qwen(layers), groundkit.load("vlsam").segmenter
    found = {}
    for name, limit in (("whole", 0), ("kept", 4096)):
        settings: dict[str, Any] = {"min_verification": 1e-9, "max_pixels": 10**8}
        if "max_prefix_mib" in AnswerReading.model_fields:  # older versions keep nothing
            settings["max_prefix_mib"] = limit
        found[name] = VLSAM(model, segmenter, read_config(settings))
    return found


def further_phrases(pipeline: VLSAM, image: npt.NDArray[np.uint8], count: int) -> Run:
    """Each call takes so many further phrases of an open picture through to their masks."""
    found: Iterator[Any] = pipeline.ground(image, PHRASES)
    next(found)
    return lambda: [next(found) for _ in range(count)]


def checks(pipeline: VLSAM, image: npt.NDArray[np.uint8], count: int) -> Run:
    """Each call asks an open picture about so many names."""
    look, number = pipeline.open(image), iter(range(10**6))
    names = _WORDS.split()

    def run() -> object:
        at = next(number)
        talks = [look.ask(f"Is there a {names[(at + each) % 20]} {names[each]} in the image?") for each in range(count)]
        if hasattr(pipeline.vlm, "agrees_each"):
            return pipeline.vlm.agrees_each(talks)
        return [pipeline.vlm.agrees(talk) for talk in talks]

    run()
    return run


def seconds(cases: dict[str, Run], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each case, which take turns."""
    took: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(repeats):
        names = list(cases)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.process_time()
            cases[name]()
            took[name].append(time.process_time() - start)
    return took


def measure(cases: dict[str, Run], repeats: int, first: str) -> dict[str, Any]:
    """Median seconds of each case, for one of ``COUNTS``, and their share of the first case's."""
    took = seconds(cases, repeats)
    shares = {name: [a / b for a, b in zip(took[name], took[first], strict=True)] for name in cases}
    return {
        name: {
            "seconds": statistics.median(took[name]) / COUNTS.get(name, 1),
            "share": statistics.median(shares[name]) / COUNTS.get(name, 1),
        }
        for name in cases
    }


TOGETHER = 8  # phrases in a batch on a CPU
COUNTS = {"further phrase, kept": TOGETHER, "eight checks": 8}


def phrases(made: dict[str, VLSAM], image: npt.NDArray[np.uint8]) -> dict[str, Run]:
    """A first phrase and further ones with each pipeline."""
    cases: dict[str, Run] = {}
    for name, each in made.items():
        cases[f"first phrase, {name}"] = lambda each=each: next(each.ground(image, PHRASES))
        further = f"further phrase, {name}"
        cases[further] = further_phrases(each, image, COUNTS.get(further, 1))
    return cases


def discoveries(made: dict[str, VLSAM], image: npt.NDArray[np.uint8]) -> dict[str, Run]:
    """Everything that a picture shows, found with each pipeline."""
    return {name: lambda each=each: each.discover(image) for name, each in made.items()}


def same(one: Any, other: Any) -> bool:
    """Whether two discoveries are equal in labels and masks."""
    return one.labels == other.labels and np.array_equal(one.masks, other.masks)


def tables(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each table as it is measured."""
    made = pipelines(options.layers) if options.tokens or options.discover else {}
    for tokens in options.tokens:
        image = picture(tokens)
        cases = phrases(made, image)
        yield f"{tokens} tokens, phrase to mask", measure(cases, options.repeats, "first phrase, kept")
        model = made["whole"].vlm
        talk = model.ask(made["whole"].open(image).picture, "Is there a cup in the image?")

        @torch.inference_mode()
        def full(model: VisionLanguageModel = model, talk: Conversation = talk) -> object:
            return model.model(**model._arguments(talk), use_cache=False, logits_to_keep=1)

        asked = {"one check": checks(made["kept"], image, 1), "eight checks": checks(made["kept"], image, 8)}
        yield (
            f"{tokens} tokens, checks, each",
            measure({"a full pass": full, **asked}, options.repeats, "a full pass"),
        )
    if options.discover:
        image = picture(options.discover)
        runs = discoveries(made, image)
        yield f"discover, five views of {options.discover} tokens", measure(runs, options.discover_repeats, "whole")
    if options.nano:
        yield from nano(options)


def nano(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """The embedded models."""
    image = read_image(options.nano)
    made = {
        name: groundkit.load("vlsam", config={"max_prefix_mib": limit})
        for name, limit in (("whole", 0), ("kept", 4096))
    }
    yield "nano, phrase to mask", measure(phrases(made, image), 5 * options.repeats, "first phrase, kept")
    assert same(*(each.discover(image) for each in made.values())), "labels or masks differ"
    yield "nano, discover, 13 views", measure(discoveries(made, image), options.repeats, "whole")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="*", default=[1000, 2000])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--discover", type=int, default=500, help="tokens of a view; 0 leaves it out")
    parser.add_argument("--discover-repeats", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--nano", help="a picture for the embedded models")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for title, rows in tables(options):
        if options.json:
            print(json.dumps({title: rows}), flush=True)
            continue
        print(title)
        for name, row in rows.items():
            print(f"  {name:30s} {row['seconds']:9.3f} s  {row['share']:6.3f}", flush=True)


if __name__ == "__main__":
    main()
