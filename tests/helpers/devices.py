"""On which device a test runs, and how near to the CPU its results have to be."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from pretend_device import pretend

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
Outcome = Callable[[Any], dict[str, Any]]

each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype).removeprefix("torch."))


@dataclass(frozen=True)
class Device:
    """A device under test.

    Attributes:
        name: ``cuda`` or ``mps``.
        real: whether it is there; on a make-believe one results equal the CPU's bit for bit.
    """

    name: str
    real: bool

    @contextmanager
    def used(self) -> Iterator[None]:
        """Where models may be moved to the device and run on it."""
        if self.real:
            yield
        else:
            with pretend(self.name):
                yield

    def assert_same(self, actual: Any, expected: Any, *, exact: bool = True) -> None:
        """Compare arrays or tensors, which lie on the CPU.

        ``exact=False`` is for what diffusers computes in float64 on every device but MPS: it may differ in the last
        bits there. Kernels of a real device round otherwise, so there only what is gross is found.
        """
        actual, expected = np.asarray(actual), np.asarray(expected)
        assert actual.shape == expected.shape
        assert actual.dtype == expected.dtype
        if self.real:
            scale = max(float(np.abs(expected).max(initial=0)), 1e-12)
            assert np.abs(actual.astype(float) - expected).mean() < 0.05 * scale
        elif exact or self.name == "cuda":
            np.testing.assert_array_equal(actual, expected)
        else:
            np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@functools.lru_cache(maxsize=len(DTYPES))  # for both devices
def _on_cpu(outcome: Outcome, load_model: Callable[..., Any], dtype: torch.dtype) -> dict[str, Any]:
    return outcome(load_model(dtype=dtype))


def on_both(
    outcome: Outcome, load_model: Callable[..., Any], device: Device, dtype: torch.dtype
) -> Iterator[tuple[str, Any, Any]]:
    """Each part of what ``outcome`` makes of a model: its name, its value on the device, its value on the CPU."""
    if device.name == "mps" and dtype is torch.float16:
        pytest.skip("float32 and bfloat16 are enough of an Apple device: float16 takes the same path")
    expected = _on_cpu(outcome, load_model, dtype)
    with device.used():
        actual = outcome(load_model(dtype=dtype, device=device.name))
    for name, value in actual.items():
        yield name, value, expected[name]
