"""Where the time goes: seconds, passes and tokens of each part of a call.

The work is marked where it is done: ``with clock.part("files"): ...``. Marks cost nothing unless a clock runs, which
``groundkit.timings()`` and ``--timings`` start. Times are exclusive: what a part does inside another one counts for the
inner one alone, in each thread by itself, so that the parts of the thread that started the clock add up to its wall
time. Other threads work beside it, and have a column of their own.

>>> import groundkit
>>> pipeline = groundkit.load("refam")
>>> with groundkit.timings() as timings:
...     found = pipeline("scene.png", "the red cup")
>>> timings["transformer"].passes, timings["SAM encoder"].passes
(5, 1)
>>> print(timings)
part              seconds  share  passes  tokens  in threads
...
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from groundkit.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

Item = TypeVar("Item")
Given = ParamSpec("Given")

ORDER = (
    "command line",
    "loading",
    "reading",
    "text encoder",
    "VAE",
    "transformer",
    "vision tower",
    "language model",
    "SAM encoder",
    "SAM decoder",
    "tracker",
    "ours",
    "files",
)
"""The parts in the order of the table; others come behind them, ``other`` last."""
MODELS = ORDER[3:10]
"""The parts that are passes of models."""
WAITING = "waiting for workers"  # counted once, by the workers


@dataclass
class Part:
    """What one part took.

    Attributes:
        seconds: in the thread that started the clock, without the parts inside it.
        beside: the same in other threads, which ran meanwhile.
        passes: of a model.
        tokens: in those passes, of all rows of a batch; 0 where a model has none.
    """

    seconds: float = 0.0
    beside: float = 0.0
    passes: int = 0
    tokens: int = 0

    def add(self, other: Part) -> None:
        """Add another's sums."""
        self.seconds += other.seconds
        self.beside += other.beside
        self.passes += other.passes
        self.tokens += other.tokens


@dataclass
class Timings:
    """Where the time went, by part; see :func:`timings`.

    Attributes:
        parts: by name, see ``ORDER``. ``other`` is what no part covers.
        seconds: of the wall; of several processes their sum.
        peak_memory: in bytes, of this process since its start; of several, the highest.
        peak_gpu: in bytes allocated by torch on the GPU.
        processes: the ids of those that were measured.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    seconds: float = 0.0
    peak_memory: int = 0
    peak_gpu: int = 0
    processes: frozenset[int] = frozenset()

    def __getitem__(self, name: str) -> Part:
        """A part; an empty one where nothing of it was done."""
        return self.parts.get(name, Part())

    @property
    def models(self) -> float:
        """Which share of the time models ran in, 0 to 1."""
        return sum(self[name].seconds for name in MODELS) / self.seconds if self.seconds else 0.0

    def add(self, other: Timings) -> None:
        """Add what another process has measured."""
        for name, part in other.parts.items():
            self.parts.setdefault(name, Part()).add(part)
        self.seconds += other.seconds
        self.peak_memory = max(self.peak_memory, other.peak_memory)
        self.peak_gpu = max(self.peak_gpu, other.peak_gpu)
        self.processes |= other.processes

    def __str__(self) -> str:
        """The table, one part per line."""
        known = [name for name in ORDER if name in self.parts]
        names = [*known, *(name for name in self.parts if name not in ORDER and name != "other"), "other"]
        rows: list[tuple[str, ...]] = [("part", "seconds", "share", "passes", "tokens", "in threads")]
        for name in names:
            part = self[name]
            share = part.seconds / self.seconds if self.seconds else 0.0
            counts = (f"{each:,}" if each else "" for each in (part.passes, part.tokens))
            beside = f"{part.beside:.3f}" if part.beside else ""
            rows.append((name, f"{part.seconds:.3f}", f"{100 * share:.1f} %", *counts, beside))
        total = f"{len(self.processes)} processes" if len(self.processes) > 1 else "total"
        rows.append((total, f"{self.seconds:.3f}", f"models {100 * self.models:.1f} %", "", "", ""))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]
        return "\n".join([*lines, peak_told(self.peak_memory, self.peak_gpu)]).rstrip()


class _Clock:
    """Sums of what parts took since the clock was started."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.timings = Timings()
        self.hooks: list[Any] = []
        self._lock = threading.Lock()
        self._stacks = threading.local()
        self._started = now()

    @property
    def stack(self) -> list[_Running]:
        """The parts that run in this thread, the innermost last."""
        stack: list[_Running] | None = getattr(self._stacks, "stack", None)
        if stack is None:
            stack = self._stacks.stack = []
        return stack

    def add(self, name: str, seconds: float, passes: int, tokens: int) -> None:
        if threading.get_ident() == self.thread:
            part = Part(seconds, 0.0, passes, tokens)
        else:
            part = Part(0.0, seconds, passes, tokens)
        with self._lock:
            self.timings.parts.setdefault(name, Part()).add(part)

    def merge(self, other: Timings) -> None:
        with self._lock:
            self.timings.add(other)

    def take(self) -> Timings:
        """What was measured until now; the sums begin again."""
        with self._lock:
            taken, self.timings = self.timings, Timings()
        started, self._started = self._started, now()
        waited = taken.parts.pop(WAITING, Part()).seconds
        own = Timings({}, self._started - started - waited, peak_memory(), peak_gpu(), frozenset({os.getpid()}))
        taken.add(own)
        covered = sum(part.seconds for part in taken.parts.values())
        taken.parts.setdefault("other", Part()).seconds += taken.seconds - covered
        return taken


class _Running(AbstractContextManager["_Running"]):
    """A part that runs in a thread."""

    def __init__(self, clock: _Clock, name: str, passes: int, tokens: int) -> None:
        self._clock, self._name, self._passes, self._tokens = clock, name, passes, tokens
        self.inner = 0.0

    def __enter__(self) -> _Running:
        self._clock.stack.append(self)
        self._started = now()
        return self

    def __exit__(self, *error: object) -> None:
        took, stack = now() - self._started, self._clock.stack
        stack.remove(self)
        if stack:
            stack[-1].inner += took
        self._clock.add(self._name, took - self.inner, self._passes, self._tokens)


_clock: _Clock | None = None
_watched: weakref.WeakKeyDictionary[nn.Module, tuple[str, int]] = weakref.WeakKeyDictionary()
_nothing = nullcontext()


def now() -> float:
    """Seconds of the wall, when all that a GPU was given is done."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def part(name: str, *, passes: int = 0, tokens: int = 0) -> AbstractContextManager[object]:
    """Mark work as a part; its time is measured while a clock runs.

    Args:
        name: of the part, see ``ORDER``.
        passes: of a model, if the part is such.
        tokens: in all of its passes.
    """
    return _nothing if _clock is None else _Running(_clock, name, passes, tokens)


def timed(name: str) -> Callable[[Callable[Given, Item]], Callable[Given, Item]]:
    """Decorates a function whose every call is a part."""

    def decorate(function: Callable[Given, Item]) -> Callable[Given, Item]:
        @functools.wraps(function)
        def measured(*arguments: Given.args, **options: Given.kwargs) -> Item:
            with part(name):
                return function(*arguments, **options)

        return measured

    return decorate


def each(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """The same items; making each of them is a part."""
    return iter(items) if _clock is None else _each(name, iter(items))


def _each(name: str, items: Iterator[Item]) -> Iterator[Item]:
    end = object()
    while True:
        with part(name):
            item = next(items, end)
        if item is end:
            return
        yield item  # type: ignore[misc]  # whatever is not the end is an item


def watch(module: nn.Module, name: str, *, passes: int = 1) -> None:
    """Make each forward pass of a module a part while a clock runs; hooks are set no longer than that.

    Tokens are counted where it is given ids ``(B, N)`` or states ``(B, N, width)``.

    Args:
        module: of a model.
        name: of the part.
        passes: that one forward counts for; 0 where a module inside it is watched, too.
    """
    _watched[module] = name, passes
    if _clock is not None:
        _set_hooks(_clock, module, name, passes)


def _set_hooks(clock: _Clock, module: nn.Module, name: str, passes: int) -> None:
    def enter(module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        _Running(clock, name, passes, _tokens(arguments, options) if passes else 0).__enter__()

    def leave(module: nn.Module, arguments: Any, output: Any) -> None:
        clock.stack[-1].__exit__()

    clock.hooks += [
        module.register_forward_pre_hook(enter, prepend=True, with_kwargs=True),
        module.register_forward_hook(leave, always_call=True),
    ]


def _tokens(arguments: tuple[Any, ...], options: dict[str, Any]) -> int:
    """Rows times positions of what a language model is given."""
    given = [*arguments, options.get("inputs_embeds"), options.get("input_ids")]
    shape: tuple[int, ...] = next((each.shape for each in given if each is not None), ())
    return shape[0] * shape[1] if len(shape) in (2, 3) else 0


@contextmanager
def timings() -> Iterator[Timings]:
    """Measure where the time of a ``with`` block goes; the sums are there when it has ended.

    On a GPU each part waits until its work is done, so that a block may take longer than without.

    Raises:
        ConfigError: they are measured already.

    Example:
        >>> import groundkit
        >>> pipeline = groundkit.load("vlsam")
        >>> with groundkit.timings() as timings:
        ...     found = pipeline("scene.png", ["the red cup", "the bear"])
        >>> timings["SAM encoder"].passes
        1
    """
    global _clock
    if _clock is not None:
        raise ConfigError("timings are measured already: leave the first block before the next")
    _clock, measured = _Clock(), Timings()
    try:
        for module, (name, passes) in list(_watched.items()):
            _set_hooks(_clock, module, name, passes)
        yield measured
    finally:
        clock, _clock = _clock, None
        for hook in clock.hooks:
            hook.remove()
        vars(measured).update(vars(clock.take()))


def running() -> bool:
    """Whether a clock runs."""
    return _clock is not None


def take() -> Timings:
    """What the running clock has measured until now, to send it to another process; its sums begin again."""
    return Timings() if _clock is None else _clock.take()


def merge(measured: Timings) -> None:
    """Add what a worker process has measured."""
    if _clock is not None:
        _clock.merge(measured)


def peak_told(memory: int, gpu: int) -> str:
    """``peak memory: 1.05 GiB, 2.50 GiB on the GPU``, of bytes; "" where the system tells nothing."""
    parts = [f"{memory / 2**30:.2f} GiB"] if memory else []
    parts += [f"{gpu / 2**30:.2f} GiB on the GPU"] if gpu else []
    return f"peak memory: {', '.join(parts)}" if parts else ""


def peak_memory() -> int:
    """The peak memory of this process in bytes; 0 where the system does not tell."""
    with contextlib.suppress(ImportError):  # Windows
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return 0


def peak_gpu() -> int:
    """The peak of the bytes that torch has allocated on the GPU; 0 without one."""
    torch = sys.modules.get("torch")
    return int(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else 0
