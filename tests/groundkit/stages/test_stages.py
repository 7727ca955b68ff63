"""What every stage has to hold to, whatever it does: on a picture, on a clip, and on several grids."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError, StageError
from groundkit.language import Phrase, Role, Token, parse_phrase
from groundkit.models.look import Look
from groundkit.stages.base import STAGES, Scene, Stage
from groundkit.stages.negation import Negation
from groundkit.stages.tokens import Tokens

PHRASE = "the cup on the left that is not red"
PIECES = ["▁the", "▁cup", "▁on", "▁the", "▁left", "▁that", "▁is", "▁not", "▁red", "</s>"]
GRIDS = {
    "picture": (TokenGrid((4, 6)),),
    "clip": (TokenGrid((3, 4, 6), frames=(range(1), range(1, 4), range(4, 7))),),
    "tiles": (TokenGrid((4, 6), (0.0, 0.0, 0.5, 1.0)), TokenGrid((4, 6), (0.5, 0.0, 1.0, 1.0)), TokenGrid((2, 3))),
}
# The axes that a stage is there to reduce, and the stages that lay the maps on other grids.
REDUCED = {"layers": (0, 1), "fuse": (0,), "words": (2,), "tokens": (2,), "slices": (3,)}
REGRIDDED = ("picture", "sizes")
COMBINED = ("places", "negation", "contrast", *REGRIDDED)  # they come after the tokens are combined
UNFIT = {("slices", "tiles"), *((name, "clip") for name in REGRIDDED)}


class RandomLook(Look):
    """Another random reading of every text; 2 layers, 3 heads, with text to text."""

    can = frozenset({"heads", "text", "sizes"})

    def __init__(self, grids: tuple[TokenGrid, ...]) -> None:
        super().__init__(np.zeros((40, 60, 3), np.uint8), None)  # type: ignore[arg-type]
        self.grids, self.read_texts = grids, list[str]()

    def read(self, phrase: Phrase, *, seed: int = 0, excluded: bool = False) -> AttentionMaps:
        self.read_texts.append(phrase.text)
        generator = torch.Generator().manual_seed(seed + len(phrase.text))
        roles = [word.role for word in phrase.words]
        tokens = [Token(i, f"▁{word.text}", i, roles[i], word.text) for i, word in enumerate(phrase.words)]
        tokens.append(Token(1, "</s>", None, Role.SPECIAL))
        size = sum(grid.size for grid in self.grids)
        return AttentionMaps(
            values=torch.rand(2, 3, len(tokens), size, generator=generator),
            layers=("a", "b"),
            heads=("0", "1", "2"),
            tokens=tuple(tokens),
            grids=self.grids,
            text=torch.rand(2, len(tokens), len(tokens), generator=generator),
        )

    def seen_as(self, image: npt.NDArray[np.uint8]) -> Look:
        return self

    def at(self, scale: float) -> Look:
        return self


def made(name: str) -> Stage:
    stage: Stage = STAGES.load(name)(**({"index": 1} if name == "slices" else {}))
    return stage


@pytest.mark.parametrize(
    ("name", "grids"), [(name, grids) for name in STAGES.own for grids in GRIDS if (name, grids) not in UNFIT]
)
def test_a_stage_keeps_shape_and_dtype_but_for_the_axis_that_it_reduces_and_stays_finite(name: str, grids: str) -> None:
    look = RandomLook(GRIDS[grids])
    before = look.read(parse_phrase(PHRASE))
    if name in COMBINED:
        before = Tokens()(before.mean_layers(), Scene(look, parse_phrase(PHRASE), ()))
    kept = before.values.clone()
    stages = (Tokens(),) if len(before.tokens) == 1 else ()
    after = made(name)(before, Scene(look, parse_phrase(PHRASE), (STAGES.load("layers")(), *stages)))
    assert torch.equal(before.values, kept), "a stage must not change what it is given"
    assert after.values.dtype == torch.float32
    assert after.values.isfinite().all()
    reduced = () if (name, grids) == ("slices", "picture") else REDUCED.get(name, ())
    changed = [axis for axis in range(4) if after.values.shape[axis] != before.values.shape[axis]]
    if name in REGRIDDED:
        assert changed in ([], [3])
        return
    assert changed == list(reduced)
    assert all(after.values.shape[axis] < before.values.shape[axis] for axis in reduced)


def test_every_stage_is_found_by_its_file_and_says_what_it_does() -> None:
    for name in STAGES.own:
        stage = STAGES.load(name)
        assert stage.kind_name() == name
        assert stage.__doc__
        assert all(field.description for field in stage.model_fields.values()), name


class Probe(Stage):
    """Keeps what other texts look like."""

    def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
        first, again = scene.maps_of("the blue ball"), scene.maps_of("the blue ball")
        assert first is again
        assert scene.maps_of() is maps
        return replace(maps, values=maps.values - first.values)


def test_another_text_goes_through_the_stages_before_and_is_read_once() -> None:
    look = RandomLook(GRIDS["picture"])
    stages = (STAGES.load("layers")(), Tokens(reduction="sum"), Probe())
    maps, steps = Scene(look, parse_phrase(PHRASE), stages, seed=3).run()
    cup, ball = (look.read(parse_phrase(text), seed=3) for text in (PHRASE, "the blue ball"))
    expected = cup.values.mean(dim=(0, 1)).sum(dim=0) - ball.values.mean(dim=(0, 1)).sum(dim=0)
    torch.testing.assert_close(maps.values[0, 0, 0], expected)
    assert look.read_texts[:-2] == [parse_phrase(PHRASE).text, "the blue ball"]
    assert [step.name for step in steps] == ["read", "layers", "tokens", "test_stages"]
    assert list(steps[-1].beside) == ["the blue ball"]
    assert all(step.maps.values.shape[:2] == (1, 1) for step in steps)


def test_other_later_stages_do_not_read_again() -> None:
    look = RandomLook(GRIDS["clip"])
    merge = (STAGES.load("layers")(), Tokens())
    scene = Scene(look, parse_phrase(PHRASE), (*merge, Negation()))
    scene.run()
    read = list(look.read_texts)
    scene.through((*merge, STAGES.load("slices")(index=1), Negation())).run()
    assert look.read_texts == read


def test_what_a_phrase_leaves_out_is_where_all_of_its_words_look() -> None:
    look = RandomLook(GRIDS["picture"])
    phrase = parse_phrase(PHRASE)
    assert phrase.negated is not None
    stages: tuple[Stage, ...] = (STAGES.load("layers")(), Tokens(reduction="sum"), Negation())
    _, steps = Scene(look, phrase, stages).run()
    (beside,) = steps[-1].beside.values()
    read = look.read(phrase.negated).values.mean(dim=(0, 1))
    torch.testing.assert_close(beside.values[0, 0, 0], read.log().mean(dim=0).exp())


def test_where_words_compete_what_a_phrase_leaves_out_is_combined_as_the_phrase_is() -> None:
    look = RandomLook(GRIDS["picture"])
    stages: tuple[Stage, ...] = (STAGES.load("layers")(), STAGES.load("compete")(), Tokens(reduction="sum"), Negation())
    phrase = parse_phrase(PHRASE)
    assert phrase.negated is not None
    _, steps = Scene(look, phrase, stages).run()
    (beside,) = steps[-1].beside.values()
    read = look.read(phrase.negated).values.mean(dim=(0, 1))
    torch.testing.assert_close(beside.values[0, 0, 0], (read / read.sum(dim=0)).sum(dim=0))


def test_a_stage_that_needs_what_the_model_does_not_give_is_refused_before_anything_runs() -> None:
    class Gradients(Probe):
        needs = frozenset({"gradients", "text"})

    look = RandomLook(GRIDS["picture"])
    with pytest.raises(ConfigError, match=r"^the stage test_stages needs gradients, which this model does not give"):
        Scene(look, parse_phrase(PHRASE), (Gradients(),)).run()
    assert look.read_texts == []


@pytest.mark.parametrize("name", STAGES.own)
def test_a_stage_goes_to_settings_and_back(name: str) -> None:
    stage: Any = made(name)
    assert type(stage).read(stage.flat()) == stage


def test_places_weigh_every_map_and_negation_before_the_tokens_are_combined_is_refused_in_one_line() -> None:
    look = RandomLook(GRIDS["picture"])
    merge, weigh = STAGES.load("layers")(), STAGES.load("places")()
    maps, steps = Scene(look, parse_phrase("the cup on the left"), (merge, weigh)).run()
    assert maps.values.shape[2] > 1
    (ramp,) = steps[-1].beside.values()
    assert ramp.over((4, 6))[0].argmax() == 0
    with pytest.raises(ConfigError, match=r"^the stage negation compares one map with one: take tokens before it$"):
        Scene(look, parse_phrase(PHRASE), (merge, Negation())).run()


FAULTS: dict[str, tuple[Callable[[AttentionMaps], object], str]] = {
    "nothing": (lambda maps: None, "must return AttentionMaps, not NoneType"),
    "a tensor": (lambda maps: maps.values, "must return AttentionMaps, not Tensor"),
    "float64": (
        lambda maps: replace(maps, values=maps.values.double()),
        "must return values in float32, not in float64",
    ),
    "tokens that do not fit": (
        lambda maps: replace(maps, values=maps.values[:, :, :1]),
        r"fails \(ValueError: values must",
    ),
    "places that do not fit": (
        lambda maps: replace(maps, values=maps.values[..., :5]),
        r"fails \(ValueError: values must",
    ),
    "a NaN": (lambda maps: replace(maps, values=maps.values * float("nan")), "makes values that are not finite"),
    "an exception": (lambda maps: maps.values @ maps.values[..., :1], "fails .RuntimeError: "),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("nested", [False, True])
def test_what_a_faulty_stage_returns_is_told_with_the_name_of_the_stage(fault: str, nested: bool) -> None:
    make, message = FAULTS[fault]

    class Faulty(Probe):
        def __call__(self, maps: AttentionMaps, scene: Scene) -> AttentionMaps:
            return make(maps)  # type: ignore[return-value]

    stages = (Faulty(), Probe()) if nested else (STAGES.load("sinks")(), Faulty())
    with pytest.raises(StageError, match=f"^the stage test_stages {message}.*mend the stage, or leave it out"):
        Scene(RandomLook(GRIDS["picture"]), parse_phrase(PHRASE), stages).run()
