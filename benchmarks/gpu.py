"""What a real GPU has to show: attention kernels at the shapes of real models, and the tests of devices.

    python benchmarks/gpu.py [--device cuda] [--dtype bfloat16] [--no-tests] [--json]

1. For each of torch's fused kernels, at FLUX's shapes and at Qwen2.5-VL-7B's with pictures of 2 and 12 megapixels:
whether groundkit's self-check proved it, how long the model's own attention takes, how long reading takes (with the
kernel's log-sum-exp, and the general way without), the peak of memory above the inputs, and the largest error of an
entry against float64 rows. FLUX is read between words and picture, Qwen with its heads weighed, as the pipelines do.

2. The tests of devices, ``pytest --device cuda`` over every ``test_devices.py``, where pytest is installed.

It takes less than five minutes and needs torch, transformers, diffusers and pydantic alone; without pytest nothing else
of groundkit's dependencies is imported. ``--device cpu`` runs a sixteenth of the tokens, to see that the script runs:
its figures mean nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from groundkit.attention import fused
from groundkit.attention.fused import attend
from groundkit.attention.heads import WeighedHeads
from groundkit.attention.softmax import AttentionCall, attention_entries
from groundkit.attention.tap import Reading, Selection

ROOT = Path(__file__).parents[1]
KERNELS = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION)
ROWS = 32  # of each layer, compared with float64


@dataclass(frozen=True)
class Shape:
    """One layer's attention in a real model."""

    name: str
    tokens: int
    heads: int
    key_heads: int
    words: int
    size: int = 128
    causal: bool = False

    def reading(self) -> Reading:
        if self.causal:
            return WeighedHeads(slice(self.words, self.words + 100))
        return Selection(slice(self.words, None), slice(0, self.words))


SHAPES = (
    Shape("FLUX, 1 megapixel", 4608, 24, 24, 512),
    Shape("Qwen2.5-VL-7B, 1920 x 1080", 2724, 28, 4, 20, causal=True),
    Shape("Qwen2.5-VL-7B, 3024 x 4032", 15585, 28, 4, 20, causal=True),
)


@dataclass(frozen=True)
class Result:
    shape: str
    kernel: str
    proved: bool
    attention_ms: float
    read_ms: float
    read_general_ms: float
    peak_mib: float
    max_error: float
    note: str = ""


def measure(shape: Shape, kernel: SDPBackend, device: torch.device, dtype: torch.dtype, scale: int) -> Result:
    tokens = shape.tokens // scale
    generator = torch.Generator().manual_seed(0)

    def draw(heads: int) -> Tensor:
        drawn = torch.randn(1, tokens, heads, shape.size, generator=generator, dtype=torch.float32)
        return (2 * drawn).to(device, dtype).transpose(1, 2)

    call = AttentionCall(
        draw(shape.heads),
        draw(shape.key_heads),
        draw(shape.key_heads),
        is_causal=shape.causal,
        enable_gqa=shape.heads != shape.key_heads,
    )
    notes: list[str] = []
    with torch.inference_mode(), sdpa_kernel(kernel), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attend(call)  # the first call of a kind proves the kernel
        _, log_sum_exp = attend(call)
        notes += [str(each.message).splitlines()[0] for each in caught]
        attention_ms = milliseconds(lambda: fused._plain(call), device)
        reading = shape.reading()
        start = memory(device, reset=True)
        read_ms = milliseconds(lambda: reading.read(call, log_sum_exp, 128), device, repeats=1)
        peak = memory(device) - start
        read_general_ms = milliseconds(lambda: reading.read(call, None, 128), device, repeats=1)
    return Result(
        shape.name,
        kernel.name,
        log_sum_exp is not None,
        round(attention_ms, 2),
        round(read_ms, 2),
        round(read_general_ms, 2),
        round(peak / 2**20, 1),
        largest_error(call, log_sum_exp),
        "; ".join(notes),
    )


def largest_error(call: AttentionCall, log_sum_exp: Tensor | None) -> float:
    """Of all entries of some rows, against a softmax in float64 on the CPU."""
    tokens = call.query.shape[2]
    rows = torch.linspace(0, tokens - 1, ROWS).long()
    entries = attention_entries(call, rows, slice(None), heads="all", log_sum_exp=log_sum_exp)[0].cpu()
    worst = 0.0
    group = call.query.shape[1] // call.key.shape[1]
    for head in range(call.query.shape[1]):
        query = call.query[0, head].cpu()[rows].double()
        scores = query @ call.key[0, head // group].cpu().double().mT / call.query.shape[-1] ** 0.5
        if call.is_causal:
            scores.masked_fill_(torch.arange(tokens) > rows[:, None], -torch.inf)
        worst = max(worst, float((entries[head] - scores.softmax(-1)).abs().max()))
    return worst


def milliseconds(run: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    run()  # warm
    synchronise(device)
    started = time.perf_counter()
    for _ in range(repeats):
        run()
    synchronise(device)
    return (time.perf_counter() - started) / repeats * 1000


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def memory(device: torch.device, *, reset: bool = False) -> int:
    """The peak of bytes allocated on a CUDA device since the last reset; 0 elsewhere."""
    if device.type != "cuda":
        return 0
    if reset:
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    return torch.cuda.max_memory_allocated(device)


def run_tests(device: str, seconds: float) -> str:
    """Run the tests of devices on a real one, if pytest is here."""
    if find_spec("pytest") is None:
        return "pytest is not installed: the tests of devices did not run"
    files = [*sorted((ROOT / "tests").rglob("test_devices.py")), ROOT / "tests/groundkit/tracking/test_sam2.py"]
    command = [sys.executable, "-m", "pytest", "--device", device, "-k", "device", *map(str, files)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, cwd=ROOT, timeout=seconds, capture_output=True, text=True, check=False)
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        last = next(reversed(done.stdout.strip().splitlines()), "")
        return "\n".join([*failed, f"exit code {done.returncode}: {last}"])
    return f"stopped after {seconds:.0f} seconds"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16", "float32"))
    parser.add_argument("--no-tests", action="store_true", help="measure the kernels alone")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    device, dtype = torch.device(chosen.device), getattr(torch, chosen.dtype)
    kernels, scale = (KERNELS, 1) if device.type == "cuda" else ((SDPBackend.FLASH_ATTENTION,), 16)
    if device.type == "mps":
        kernels, scale = (SDPBackend.MATH,), 1
    started = time.perf_counter()
    results = []
    for shape in SHAPES:
        for kernel in kernels:
            try:
                results.append(measure(shape, kernel, device, dtype, scale))
            except RuntimeError as error:  # a kernel that this GPU or this build of torch does not have
                note = (str(error).strip() or type(error).__name__).splitlines()[0]
                results.append(Result(shape.name, kernel.name, False, 0, 0, 0, 0, 0, note))
            if not chosen.json:
                print(describe(results[-1]), flush=True)
    tests = "" if chosen.no_tests else run_tests(chosen.device, 280 - (time.perf_counter() - started))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    if chosen.json:
        about = {"device": name, "dtype": chosen.dtype, "torch": torch.__version__}
        print(json.dumps({**about, "kernels": [asdict(each) for each in results], "tests": tests}, indent=2))
        return
    print(f"{name}, {chosen.dtype}, torch {torch.__version__}, {time.perf_counter() - started:.0f} seconds")
    if tests:
        print(tests)


def describe(result: Result) -> str:
    if not result.attention_ms:
        return f"{result.shape}, {result.kernel}: did not run ({result.note})"
    proved = "proved" if result.proved else f"not proved ({result.note})"
    return (
        f"{result.shape}, {result.kernel}: {proved}; attention {result.attention_ms} ms, read {result.read_ms} ms, "
        f"the general way {result.read_general_ms} ms, {result.peak_mib} MiB, error {result.max_error:.1e}"
    )


if __name__ == "__main__":
    main()
