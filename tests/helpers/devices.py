"""On which device a test runs, and how near to the CPU its results have to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pretend_device import pretend

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


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
