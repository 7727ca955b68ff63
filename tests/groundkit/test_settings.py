"""Settings with parts: names, choices, layers, origins and messages, on kinds made for these tests."""

from __future__ import annotations

import pickle
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SerializeAsAny

from groundkit.errors import ConfigError
from groundkit.settings import RENAMED, Chosen, Given, Settings


class Step(Chosen):
    """A stage."""

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        return tuple(STEPS)

    @classmethod
    def kind(cls, name: str) -> type[Any]:
        return STEPS[name]

    @classmethod
    def kind_name(cls) -> str:
        return cls.__name__.lower()


class Smooth(Step):
    sigma: float = Field(1.0, gt=0, description="deviation in tokens")


class Contrast(Step):
    prompt: str = "the background"
    floor: float = 0.0


class Places(Step):
    floor: float = Field(0.2, ge=0, le=1)


class Other(Step):
    pass


STEPS = {"other": Other, "smooth": Smooth, "contrast": Contrast, "places": Places}


class Reading(Settings):
    layers: str = "all"
    heads: tuple[int, ...] | None = None
    direction: Literal["to_image", "to_text"] = "to_image"


class Method(Settings):
    evidence: bool = True
    reading: Reading = Reading()
    stages: tuple[SerializeAsAny[Step], ...] = (Smooth(), Places(floor=0.3))
    usual_order = ("contrast", "smooth", "sharpen", "places")
    last: SerializeAsAny[Step] = Smooth(sigma=3)


def test_a_field_is_named_by_itself_where_no_other_part_has_it_and_by_its_part_else() -> None:
    assert Method.read({}).flat() == {
        "evidence": True,
        "stages": ["smooth", "places"],
        "last": "smooth",
        "layers": "all",
        "heads": None,
        "direction": "to_image",
        "smooth.sigma": 1.0,
        "floor": 0.3,
        "last.sigma": 3.0,
    }


def test_both_names_of_a_field_set_it_and_the_later_layer_wins() -> None:
    method = Method.read({"reading.layers": "1-2", "floor": "0.5"}, {"layers": "3-4", "places.floor": 0.6})
    assert (method.reading.layers, method.stages[1]) == ("3-4", Places(floor=0.6))


def test_a_list_of_stages_replaces_the_methods_and_a_table_sets_their_fields() -> None:
    method = Method.read({"stages": [{"name": "contrast", "prompt": "sky"}, "places"], "reading": {"heads": "1,2"}})
    assert method.stages == (Contrast(prompt="sky"), Places(floor=0.3))
    assert method.reading.heads == (1, 2)
    assert Method.read({"stages": "none"}).stages == ()


def test_stages_are_added_and_taken_away_by_a_sign() -> None:
    assert Method.read({"stages": "-places,+other"}).stages == (Smooth(), Other())
    assert Method.read({"stages": "-smooth"}, {"stages": "+contrast"}).stages == (Contrast(), Places(floor=0.3))
    with pytest.raises(ConfigError, match=r"stages=-contrast: contrast is not among smooth, places"):
        Method.read({"stages": "-contrast"})


def test_a_name_that_several_parts_have_is_refused_with_the_full_names() -> None:
    with pytest.raises(ConfigError, match=r"^floor is a setting of several parts: write contrast.floor or pl"):
        Method.read({"stages": "+contrast", "floor": 0.1})


def test_a_setting_of_a_part_that_is_off_is_refused_with_how_to_switch_it_on_unless_it_came_with_a_model() -> None:
    with pytest.raises(
        ConfigError, match=r"^prompt is a setting of contrast, which is not used: add stages=\+contrast"
    ):
        Method.read({"prompt": "sky"})
    assert Method.read(Given({"contrast.prompt": "sky"}, "checkpoint", lenient=True)) == Method.read({})
    with pytest.raises(ConfigError, match="no setting named 'promt'"):
        Method.read(Given({"promt": "sky"}, "checkpoint", lenient=True))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stages": "smoth"}, "no step named 'smoth', did you mean smooth?"),
        ({"stages": "smooth,smooth"}, "stages=smooth,smooth: each can be there once"),
        ({"flor": 1}, "no setting named 'flor', did you mean floor?"),
        ({"floor": 2}, "floor=2: input should be less than or equal to 1"),
        ({"smooth.sigma": 0}, "smooth.sigma=0: input should be greater than 0"),
        ({"places.floor": 2}, "places.floor=2: input should be less than or equal to 1"),
        ({"direction": "to-image"}, "did you mean to_image?"),
    ],
)
def test_a_fault_is_told_in_one_line_with_the_name_as_it_is_written(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Method.read(given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_each_value_knows_where_it_comes_from_also_in_another_process() -> None:
    method = Method.read(
        Given({"layers": "1-2", "stages": "+contrast"}, "checkpoint"), Given({"reading.heads": "3"}, "--set")
    )
    expected = {"layers": "checkpoint", "stages": "checkpoint", "heads": "--set"}
    assert method.origins == expected
    assert pickle.loads(pickle.dumps(method)).origins == expected
    assert hash(method) == hash(Method.read(method.flat()))
    assert Method(evidence=False).origins == {"evidence": "given"}


def test_what_is_read_from_flat_values_is_the_same_method() -> None:
    method = Method.read({"stages": "contrast,places", "contrast.floor": 0.1, "places.floor": 0.4, "layers": "2-3"})
    assert Method.read(method.flat()) == method
    assert Method.read(method.tables()) == method
    assert method.tables()["stages"] == [
        {"name": "contrast", "prompt": "the background", "floor": 0.1},
        {"name": "places", "floor": 0.4},
    ]


def test_an_old_name_is_refused_with_the_new_one() -> None:
    for old, new in RENAMED.items():
        with pytest.raises(ConfigError) as refused:
            Method.read({old: 1})
        assert str(refused.value) == f"{old} is now {new}"


def test_a_text_becomes_what_the_field_holds() -> None:
    class Values(Settings):
        count: int | None = None
        names: Annotated[tuple[str, ...], Field(min_length=0)] = ("a",)

    assert Values.read({"count": "null", "names": "none"}) == Values(count=None, names=())
    assert Values.read({"count": "3", "names": "(a, 'b')"}) == Values(count=3, names=("a", "b"))
