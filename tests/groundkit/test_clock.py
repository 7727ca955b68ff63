"""The clock: exclusive times by part, passes and tokens of models, nothing at all while it does not run."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import groundkit
from groundkit import clock
from groundkit.errors import ConfigError
from groundkit.pipelines.refam import RefAM
from groundkit.pipelines.vlsam import VLSAM

SCENE = Path(__file__).parents[2] / "samples" / "scene_1.png"


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time that goes on by a second whenever it is asked for."""
    ticks = itertools.count()
    monkeypatch.setattr(clock, "now", lambda: float(next(ticks)))


@pytest.fixture(scope="module")
def refam() -> RefAM:
    return groundkit.load("refam", device="cpu")


@pytest.fixture(scope="module")
def vlsam() -> VLSAM:
    return groundkit.load("vlsam", device="cpu")


@pytest.mark.usefixtures("ticking")
def test_a_part_inside_another_counts_for_itself_alone_and_all_parts_add_up_to_the_wall_time() -> None:
    with clock.timings() as measured:  # starts at 0
        with clock.part("files"):  # 1 to 6
            with clock.part("reading"):  # 2 to 3
                pass
            with clock.part("reading"):  # 4 to 5
                pass
        with clock.part("ours"):  # 7 to 8
            pass
    # it ends at 9
    assert {name: part.seconds for name, part in measured.parts.items()} == {
        "reading": 2,
        "files": 3,
        "ours": 1,
        "other": 3,
    }
    assert measured.seconds == 9


@pytest.mark.usefixtures("ticking")
def test_an_exception_ends_its_parts() -> None:
    with clock.timings() as measured:
        with pytest.raises(ValueError, match="inside"), clock.part("ours"), clock.part("files"):
            raise ValueError("inside")
        with clock.part("reading"):
            pass
    assert measured["reading"].seconds == measured["files"].seconds == 1
    assert sum(part.seconds for part in measured.parts.values()) == measured.seconds


@pytest.mark.usefixtures("ticking")
def test_what_other_threads_do_is_told_beside_the_wall_time() -> None:
    with clock.timings() as measured, clock.part("ours"):
        thread = threading.Thread(target=clock.timed("files")(lambda: None))
        thread.start()
        thread.join()
    assert (measured["files"].seconds, measured["files"].beside) == (0, 1)
    assert sum(part.seconds for part in measured.parts.values()) == measured.seconds


@pytest.mark.usefixtures("ticking")
def test_making_an_item_is_a_part_and_using_it_is_none() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2

    with clock.timings() as measured:
        for _ in clock.each("reading", items()):
            with clock.part("ours"):
                pass
    assert measured["reading"].seconds == 3  # two items, and the end
    assert measured["ours"].seconds == 2


@pytest.mark.usefixtures("ticking")
def test_times_of_worker_processes_are_added_and_waiting_for_them_is_not() -> None:
    with clock.timings() as measured:
        with clock.part("files"):
            pass
        of_worker = clock.take()
        with clock.part(clock.WAITING):
            pass
        clock.merge(of_worker)
    assert of_worker.seconds == 3
    assert measured["files"].seconds == 1
    assert measured.seconds == 3 + 2
    assert sum(part.seconds for part in measured.parts.values()) == measured.seconds


def test_while_no_clock_runs_no_time_is_asked_for_and_no_hook_is_set(
    refam: RefAM, vlsam: VLSAM, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clock.timings():
        refam(SCENE, "the red cup")

    def fail(*_: object) -> None:
        raise AssertionError("a clock is at work")

    for name in ("now", "_Clock", "_Running"):
        monkeypatch.setattr(clock, name, fail)
    refam(SCENE, "the red cup")
    vlsam(SCENE, "the red cup")
    modules = [*vlsam.vlm.model.modules(), *vlsam.segmenter.model.modules()]  # type: ignore[attr-defined]
    assert not [each for each in modules if each._forward_hooks or each._forward_pre_hooks]


def test_passes_and_tokens_are_those_that_the_models_are_given(vlsam: VLSAM) -> None:
    seen: list[tuple[int, ...]] = []
    passes: list[nn.Module] = []

    def see(_: nn.Module, __: object, options: dict[str, torch.Tensor], ___: object) -> None:
        seen.append(tuple(options["inputs_embeds"].shape[:2]))

    hooks = [vlsam.vlm.model.get_decoder().register_forward_hook(see, with_kwargs=True, always_call=True)]
    sam = vlsam.segmenter.model  # type: ignore[attr-defined]
    hooks += [each.register_forward_hook(lambda module, *_: passes.append(module)) for each in sam.children()]
    try:
        with clock.timings() as measured:
            vlsam.discover(SCENE)
    finally:
        for hook in hooks:
            hook.remove()
    assert measured["language model"].passes == len(seen) > 0
    assert measured["language model"].tokens == sum(rows * tokens for rows, tokens in seen)
    assert measured["SAM encoder"].passes == passes.count(sam.vision_encoder) > 0
    assert measured["SAM decoder"].passes == passes.count(sam.mask_decoder) > 0
    assert measured["other"].seconds < 0.05 * measured.seconds


def test_the_parts_of_a_phrase_cover_nearly_all_of_its_time(refam: RefAM) -> None:
    refam(SCENE, "the red cup")
    with clock.timings() as measured:
        refam(SCENE, ["the red cup", "the blue ball"])
    assert {"reading", "text encoder", "VAE", "transformer", "SAM encoder", "SAM decoder", "ours"} <= {*measured.parts}
    assert measured["other"].seconds < 0.05 * measured.seconds


def test_a_pass_that_fails_leaves_the_clock_and_the_module_in_order() -> None:
    class Failing(nn.Module):
        def forward(self, _: torch.Tensor) -> None:
            raise ValueError("inside")

    module = Failing()
    clock.watch(module, "transformer")
    with clock.timings() as measured:
        with clock.part("ours"), pytest.raises(ValueError, match="inside"):
            module(torch.zeros(2, 3))
        with clock.part("files"):
            pass
    assert (measured["transformer"].passes, measured["transformer"].tokens) == (1, 6)
    assert sum(part.seconds for part in measured.parts.values()) == pytest.approx(measured.seconds)
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_a_second_clock_is_refused_and_the_first_goes_on() -> None:
    with clock.timings() as measured:
        with pytest.raises(ConfigError, match="already"), clock.timings():
            pass
        with clock.part("ours", passes=2):
            pass
    assert measured["ours"].passes == 2


@pytest.mark.usefixtures("ticking")
def test_the_table_shows_each_part_and_the_share_of_the_models() -> None:
    with clock.timings() as measured:
        with clock.part("SAM encoder", passes=1):
            pass
        with clock.part("transformer", passes=2, tokens=1500):
            pass
    lines = str(measured).splitlines()
    assert [line.split("  ")[0] for line in lines[:5]] == ["part", "transformer", "SAM encoder", "other", "total"]
    assert lines[1].split() == ["transformer", "1.000", "20.0", "%", "2", "1,500"]
    assert "models 40.0 %" in lines[4]
