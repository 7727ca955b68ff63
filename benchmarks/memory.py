"""What one run needs on top of what is there already. Linux only.

Free heap is returned to the system (malloc_trim), the system's record of highest resident size is reset (5 into
/proc/self/clear_refs), the case runs, and peak = VmHWM afterwards - VmRSS before.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def peak_mib(run: Callable[[], object]) -> float:
    """Peak MiB of one run, what it returns included. Call it in a process of its own, with kernels warmed up."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mib()
    kept = run()
    peak = _status("VmHWM") - before
    del kept
    return peak


def resident_mib() -> float:
    """MiB of memory that this process holds."""
    return _status("VmRSS")


def in_fresh_process(function: Callable[..., float], *arguments: object) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _status(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) / 1024  # from KiB
