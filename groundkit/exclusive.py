"""Models that threads may share: calls of one model queue, each holds the model's lock while it runs.

Libraries keep state on a model while it runs (rotary offsets, hooks that move weights, caches), so two threads in one
model can get each other's numbers. The lock is held for one method call, never between two, so that a generator that
is not read to its end blocks nobody.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import torch

Method = TypeVar("Method", bound=Callable[..., Any])

_sampling = threading.RLock()


class Lock(AbstractContextManager[bool]):
    """A re-entrant lock. A copy is a lock of its own, so that a model that was used can be pickled for a process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Lock], tuple[()]]:
        return Lock, ()


def lock_of(model: object) -> AbstractContextManager[bool]:
    """The re-entrant lock of an object, made when it is first asked for."""
    # setdefault is atomic: two threads that ask at once get the same lock.
    lock: AbstractContextManager[bool] = vars(model).setdefault("_lock", Lock())
    return lock


def exclusive(method: Method) -> Method:
    """Decorates a method: one thread at a time runs it, or any other exclusive method, on an object."""

    @functools.wraps(method)
    def queue(self: object, *args: Any, **kwargs: Any) -> Any:
        with lock_of(self):
            return method(self, *args, **kwargs)

    return cast(Method, queue)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global random numbers, one thread at a time, and put them back as they were at the end.

    Those of the CPU and of the device are put back. With a device other than the CPU, torch seeds all devices of this
    kind: those of other GPUs stay seeded.
    """
    import torch

    on_cpu = device.type == "cpu"
    with _sampling, torch.random.fork_rng([] if on_cpu else [device], device_type=device.type):
        if on_cpu:
            torch.default_generator.manual_seed(seed)  # those of a GPU stay as they are
        else:
            torch.manual_seed(seed)
        yield
