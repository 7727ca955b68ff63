"""The goals: what is measured, in which cases, and what it should come to."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from rounds import Run, disturbed, ratio, take_turns
from sides import Side, environment_before, environment_of_peers


@dataclass(frozen=True)
class Figure:
    """What a row came to.

    Attributes:
        value: the figure that the goal is about.
        disturbed: which share of its runs others disturbed, 0 to 1.
        about: further figures, or what differs between the versions.
    """

    value: float
    disturbed: float = 0.0
    about: dict[str, Any] = field(default_factory=dict)


@dataclass
class Machine:
    """What rows are measured with: the two versions, each started when it is first needed."""

    before: str
    folder: Path
    threads: int
    device: str
    rounds: int
    tries: int
    quick: bool
    started: list[Side] = field(default_factory=list)

    @cached_property
    def now(self) -> Side:
        """This version."""
        return self._start(Path(sys.executable))

    @cached_property
    def earlier(self) -> Side:
        """The earlier version."""
        return self._start(environment_before(self.before, self.folder))

    @cached_property
    def peers(self) -> Side:
        """This version beside the peers."""
        return self._start(environment_of_peers(self.folder), script="peers.py")

    @cached_property
    def beside(self) -> Side:
        """This version, for the cases of ``peers.py`` that need no peer."""
        return self._start(Path(sys.executable), script="peers.py")

    def _start(self, python: Path, script: str = "worker.py") -> Side:
        self.started.append(Side(python, threads=self.threads, device=self.device, script=script))
        return self.started[-1]

    def close(self) -> None:
        """End all processes."""
        for each in self.started:
            each.__exit__()

    def both(self, name: str, **arguments: Any) -> dict[str, Callable[[], Run]]:
        """A case in both versions."""
        return {
            "before": self.earlier.case(name, self.tries, **arguments),
            "now": self.now.case(name, self.tries, **arguments),
        }

    def turns(self, cases: Mapping[str, Callable[[], Run]], rounds: int | None = None) -> dict[str, list[Run]]:
        """Rounds of the cases; those of which one round is enough take too long to be warmed up."""
        return take_turns(cases, rounds or self.rounds, warm=rounds != 1)


def against_before(machine: Machine, name: str, rounds: int | None = None, **arguments: Any) -> Figure:
    """A case's seconds, as a share of the earlier version's."""
    runs = machine.turns(machine.both(name, **arguments), rounds)
    return Figure(ratio(runs, lambda each: each["now"] / each["before"]), disturbed(runs), compared(runs))


def compared(runs: Mapping[str, list[Run]], *, results: bool = True) -> dict[str, Any]:
    """Median seconds by case, and what the cases returned where that differs."""
    about: dict[str, Any] = {name: f"{statistics.median(r.seconds for r in each):.3f} s" for name, each in runs.items()}
    found = {name: each[0].result for name, each in runs.items()}
    if results and any(each != next(iter(found.values())) for each in found.values()):
        about["results differ"] = found
    return about


def further_share(machine: Machine, method: str) -> Figure:
    """A further phrase as a share of the first, by lists of one and of nine."""
    cases = {f"{count}": machine.now.case("phrases", machine.tries, method=method, count=count) for count in (1, 9)}
    runs = machine.turns(cases)
    return Figure(ratio(runs, lambda each: (each["9"] - each["1"]) / 8 / each["1"]), disturbed(runs))


def extra_of_large(machine: Machine, name: str, rounds: int | None = None, **arguments: Any) -> Figure:
    """What 12 megapixels cost beyond 1, as a share of the same in the earlier version."""
    cases: dict[str, Callable[[], Run]] = {}
    large = 4 if machine.quick else 12
    for size in (1, large):
        both = machine.both(name, megapixels=size, **arguments)
        cases |= {f"{side} {size}": case for side, case in both.items()}
    runs = machine.turns(cases, rounds)

    def extra(each: Mapping[str, float], side: str) -> float:
        return each[f"{side} {large}"] - each[f"{side} 1"]

    about = compared(runs, results=False)
    return Figure(ratio(runs, lambda each: extra(each, "now") / extra(each, "before")), disturbed(runs), about)


def outside_models(machine: Machine, method: str) -> Figure:
    """What is not a model's forward in a warm phrase, as a share of the earlier version's."""
    runs = machine.turns(machine.both("not_a_model", method=method))
    shares = [now.result / before.result for now, before in zip(runs["now"], runs["before"], strict=True)]
    return Figure(statistics.median(shares), disturbed(runs))


def per_frame(machine: Machine, height: int) -> Figure:
    """Seconds per frame, from films of two lengths, as a share of the earlier version's."""
    lengths = (6, 18) if machine.quick else (24, 72)
    cases: dict[str, Callable[[], Run]] = {}
    for frames in lengths:
        both = machine.both("follow", height=height, frames=frames)
        cases |= {f"{side} {frames}": case for side, case in both.items()}
    runs = machine.turns(cases, 1 if machine.quick else 3)

    def each_frame(each: Mapping[str, float], side: str) -> float:
        return (each[f"{side} {lengths[1]}"] - each[f"{side} {lengths[0]}"]) / (lengths[1] - lengths[0])

    return Figure(ratio(runs, lambda each: each_frame(each, "now") / each_frame(each, "before")), disturbed(runs))


def loading(machine: Machine, method: str) -> Figure:
    """``groundkit.load()`` in a new process, over the bare imports of the libraries."""
    cases = {what: machine.now.case("load", machine.tries, what=what) for what in ("libraries", method)}
    runs = machine.turns(cases)
    return Figure(ratio(runs, lambda each: each[method] / each["libraries"]), disturbed(runs))


def over(machine: Machine, case: str, other: str, divided: int = 1, **arguments: Any) -> Figure:
    """One case of this version over another, such as a check over a full pass."""
    cases = {name: machine.now.case(name, machine.tries, **arguments) for name in (case, other)}
    runs = machine.turns(cases, 2 if machine.quick else 3)
    value = ratio(runs, lambda each: each[case] / divided / each[other])
    return Figure(value, disturbed(runs), compared(runs, results=False))


def stopped_early(machine: Machine) -> Figure:
    """A pass that ends with the double blocks over a whole one, both read, over the share of blocks that must run."""
    cases = {name: machine.now.case(name, machine.tries) for name in ("flux_plain", "flux_double_blocks_alone")}
    cases |= {
        name: machine.now.case("flux_double_blocks", machine.tries, stop=name == "stopped")
        for name in ("whole", "stopped")
    }
    runs = machine.turns(cases)

    def figure(each: Mapping[str, float]) -> float:
        return each["stopped"] / each["whole"] / (each["flux_double_blocks_alone"] / each["flux_plain"])

    return Figure(ratio(runs, figure), disturbed(runs), compared(runs, results=False))


def share_of_models(machine: Machine, tokens: int, flow: str) -> Figure:
    """How much of two phrases on one picture is no forward of a model; below one minus the goal's share."""
    case = machine.now.case("qwen_models_share", machine.tries, tokens=tokens, flow=flow)
    runs = machine.turns({"now": case}, 1 if machine.quick else 3)
    return Figure(1 - statistics.median(run.result for run in runs["now"]), disturbed(runs))


def beside_plain(machine: Machine, subject: str, ours: str, *, memory: bool = False) -> Figure:
    """What reading costs, over the plain pass: time, or peak memory."""
    if memory:
        found = {}
        for name in ("plain", ours):
            measure = machine.beside.case("peak", 1, name=name, subject=subject)
            found[name] = statistics.median(measure().result for _ in range(1 if machine.quick else 3))
        return Figure(found[ours] / found["plain"], 0.0, {name: f"{each:.0f} MiB" for name, each in found.items()})
    cases = {name: machine.beside.case(name, machine.tries, subject=subject) for name in ("plain", ours)}
    runs = machine.turns(cases)
    return Figure(ratio(runs, lambda each: each[ours] / each["plain"]), disturbed(runs))


def beside_peer(machine: Machine, subject: str, plain: str, ours: str, peer: str) -> Figure:
    """What ours costs above the plain pass over what the peer does, in time; below 1 where ours is smaller."""
    names = (plain, ours, peer)
    cases = {name: machine.peers.case(name, machine.tries, subject=subject) for name in names}
    runs = machine.turns(cases, 3 if machine.quick else machine.rounds)
    times = {name: ratio(runs, lambda each, name=name: each[name] / each[plain]) for name in names}
    memory = {}
    for name in names:
        measure = machine.peers.case("peak", 1, name=name, subject=subject)
        memory[name] = statistics.median(measure().result for _ in range(1 if machine.quick else 3))
    about = {f"{name}, time of plain": round(times[name], 3) for name in names[1:]}
    about |= {f"{name}, memory of plain": round(memory[name] / memory[plain], 3) for name in names[1:]}
    in_time = (times[ours] - 1) / max(times[peer] - 1, 1e-3)
    in_memory = (memory[ours] - memory[plain]) / max(memory[peer] - memory[plain], 1e-3)
    return Figure(max(in_time, in_memory), disturbed(runs), about)


def bounded(machine: Machine, method: str) -> Figure:
    """What the masks at the bounded size lack of an IoU of 1 with those at the full one, on average."""
    run = machine.now.case("bounded_masks", 1, method=method, limit=3 if machine.quick else 19)()
    mean, lowest = run.result
    return Figure(1 - mean, 0.0, {"lowest IoU": round(lowest, 4)})


def memory(machine: Machine, megapixels: float, allowed: float, place: int) -> Figure:
    """Memory of twenty phrases on a large picture, over what is allowed."""
    found = machine.now.case("memory_of_large", 1, method="refam", megapixels=megapixels)().result[place]
    return Figure(found / allowed, 0.0, {"MiB": round(found)})


@dataclass(frozen=True)
class Goal:
    """A row of the table.

    Attributes:
        name: what ``--only`` looks for.
        what: what is measured.
        goal: the highest figure that reaches it.
        measure: measures it.
    """

    name: str
    what: str
    goal: float
    measure: Callable[[Machine], Figure]


def goals() -> list[Goal]:
    """All rows, the quick ones first."""
    phrase, large = "a further phrase", "what 12 MP cost beyond 1 MP, of before"
    rows: list[tuple[str, str, float, Callable[[Machine], Figure]]] = [
        ("further-refam", f"{phrase} over the first, nano, refam", 0.20, lambda m: further_share(m, "refam")),
        ("further-vlsam", f"{phrase} over the first, nano, vlsam", 0.15, lambda m: further_share(m, "vlsam")),
        ("noise-samples", "nano, four noise samples, of before", 0.15, lambda m: against_before(m, "noise_samples")),
        ("stopped-early", "FLUX, 57 blocks, double ones read, over their share", 1.05, stopped_early),
    ]
    for method in ("refam", "vlsam"):
        rows += [
            (
                f"outside-{method}",
                f"a warm phrase less the models' forward, {method}, 0.25 MP, of before",
                0.6,
                partial(outside_models, method=method),
            ),
            (
                f"large-{method}",
                f"{phrase}, {method}, {large}",
                0.12,
                partial(extra_of_large, name="further_phrase", method=method),
            ),
            (f"load-{method}", f"load, {method}, of bare imports", 1.3, partial(loading, method=method)),
        ]
    rows += [
        ("discover", "discover, nano, 13 views, of before", 0.60, partial(against_before, name="discover", rounds=3)),
        ("follow-480", "follow, seconds per frame, 480p, of before", 0.6, partial(per_frame, height=480)),
        ("follow-1080", "follow, seconds per frame, 1080p, of before", 0.6, partial(per_frame, height=1080)),
    ]
    rows += [
        (f"masks-{method}", f"{method}, 1 less the IoU at the bounded size", 0.01, partial(bounded, method=method))
        for method in ("refam", "vlsam")
    ]
    rows += [
        (
            "kept-12",
            "20 phrases on 12 MP keep, over 100 MiB",
            1.0,
            partial(memory, megapixels=12, allowed=100, place=1),
        ),
        ("peak-48", "48 MP, peak over 600 MiB", 1.0, partial(memory, megapixels=48, allowed=600, place=0)),
    ]
    for tokens, further, check, eight in ((1000, 0.15, None, None), (2000, 0.10, 0.06, 0.04)):
        about = f"shapes of Qwen2.5-VL-3B, {tokens} tokens"
        with_tokens = partial(over, tokens=tokens)
        rows += [
            (
                f"qwen-further-{tokens}",
                f"{about}: {phrase} over the first",
                further,
                partial(with_tokens, case="qwen_further", other="qwen_first"),
            )
        ]
        if check is not None and eight is not None:
            full = partial(with_tokens, other="qwen_full_pass")
            rows += [
                (
                    f"qwen-check-{tokens}",
                    f"{about}: a check over a full pass",
                    check,
                    partial(full, case="qwen_one_check"),
                ),
                (
                    f"qwen-checks-{tokens}",
                    f"{about}: each of eight checks over a full pass",
                    eight,
                    partial(full, case="qwen_eight_checks", divided=8),
                ),
            ]
    for flow, goal in (("mean", 0.1), ("flow", 0.45)):
        name = f"shapes of Qwen2.5-VL-3B, {flow}: share that is no model's forward"
        rows.append((f"models-{flow}", name, goal, partial(share_of_models, tokens=1369, flow=flow)))
    rows += [
        (
            "qwen-discover",
            "shapes of Qwen2.5-VL-3B, discover, five views, of before",
            0.25,
            partial(against_before, name="qwen_discover", rounds=1, tokens=500),
        ),
        (
            "large-discover",
            f"discover, {large}",
            0.12,
            partial(extra_of_large, name="discover", rounds=1),
        ),
        ("batch", "batch, pictures of 1 MP, two phrases, of before", 0.7, many_pictures),
    ]
    for subject in ("flux", "llava", "qwen"):
        rows += [
            (
                f"tap-{subject}",
                f"{subject}: tap over plain, time",
                1.03,
                partial(beside_plain, subject=subject, ours="tap"),
            ),
            (
                f"tap-memory-{subject}",
                f"{subject}: tap over plain, peak memory",
                1.05,
                partial(beside_plain, subject=subject, ours="tap", memory=True),
            ),
        ]
    rows += [
        (f"flow-{name}", f"{name}: flow over plain, time", 1.08, partial(beside_plain, subject=name, ours="flow"))
        for name in ("llava", "qwen")
    ]
    rows += [
        (f"peer-{subject}-{ours}-{peer}", f"{subject}: {ours} over {peer}, above plain", 1.0, row)
        for subject, plain, ours, peer in PEERS
        for row in [partial(beside_peer, subject=subject, plain=plain, ours=ours, peer=peer)]
    ]
    return [Goal(*each) for each in rows]


def many_pictures(machine: Machine) -> Figure:
    """``batch`` on 500 pictures, or few with ``--quick``."""
    return against_before(machine, "batch", 1, pictures=24 if machine.quick else 500, megapixels=1.0)


PEERS = (
    ("flux", "plain", "tap", "attention_map_diffusers"),
    ("llava", "plain", "tap", "eager"),
    ("llava", "plain", "tap", "vl_saliency"),
    ("qwen", "plain", "tap", "eager"),
    ("llava", "plain", "flow", "eager"),
    ("qwen", "plain", "flow", "eager"),
    ("unet", "unet_plain", "unet_tap", "daam"),
)
"""Subject, the plain pass, ours and the peer, by their names in ``peers.py``."""
