"""What reading attention through the tap costs, against the plain run and against the naive full softmax.

    python benchmarks/tap.py [--quick] [--json] [--repeats N] [--threads N]

Two subjects: one joint attention of FLUX's size (B=1, H=24, D=128, 512 text tokens before 4096 image patches), in
bfloat16 and float32, and the whole forward of a small FLUX transformer with random weights. Wanted are image rows and
text columns, heads averaged. "naive" runs the plain attention and computes softmax(q k^T / sqrt(D)) in full beside it,
in float32, then takes the same slice of it.

Time: all cases take turns within each round of one process, each round in another order; seconds are medians over the
rounds, and a ratio is the median of the rounds' own ratios to plain, so that a slow spell of the machine hits both.

Memory: every case runs once in a fresh process, three times over (once with --quick), with its inputs in place and its
kernels warmed up on a small input; see memory.py. What it needed on top of its inputs counts, its output and the
attention it read included. The number is the median of the three.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from memory import in_fresh_process, peak_mib
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from groundkit.attention.tap import AttentionTap, Selection

FEW_TOKENS = 20


@dataclass(frozen=True)
class Size:
    """A joint attention when ``blocks`` is 0, else a FLUX transformer with that many blocks of each kind."""

    heads: int
    head_size: int
    text: int
    grid: int
    dtype: str
    blocks: int = 0


SUBJECTS = {
    "attention bfloat16": Size(heads=24, head_size=128, text=512, grid=64, dtype="bfloat16"),
    "attention float32": Size(heads=24, head_size=128, text=512, grid=64, dtype="float32"),
    "transformer bfloat16": Size(heads=8, head_size=64, text=128, grid=32, dtype="bfloat16", blocks=2),
    "transformer float32": Size(heads=8, head_size=64, text=128, grid=32, dtype="float32", blocks=2),
}
QUICK_SUBJECTS = {
    "attention float32": Size(heads=4, head_size=32, text=64, grid=16, dtype="float32"),
    "transformer float32": Size(heads=4, head_size=32, text=32, grid=8, dtype="float32", blocks=1),
}
CASES = ("plain", f"tap, {FEW_TOKENS} tokens", "tap, all tokens", "naive")


@dataclass(frozen=True)
class Cost:
    subject: str
    case: str
    seconds: float
    time_ratio: float
    peak_mib: float
    peak_ratio: float


class JointAttention(nn.Module):
    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return torch.nn.functional.scaled_dot_product_attention(query, key, value)


class NaiveReader(TorchFunctionMode):
    """The full softmax of every attention call, then the slice of it that is wanted."""

    def __init__(self, text: int) -> None:
        super().__init__()
        self.text = text
        self.maps: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            query, key = (args + tuple(kwargs.values()))[:2]
            scores = query.float() @ key.float().mT * query.shape[-1] ** -0.5
            self.maps.append(scores.softmax(-1)[:, :, self.text :, : self.text].mean(1))
        return func(*args, **kwargs)


class Subject:
    """A model with its inputs in place, ready to run under any case."""

    def __init__(self, size: Size) -> None:
        torch.manual_seed(0)
        self.size = size
        dtype = getattr(torch, size.dtype)
        patches = size.grid**2
        if size.blocks == 0:
            # (B, H, N, D) views of (B, N, H, D), as diffusers passes them.
            shape = (1, size.text + patches, size.heads, size.head_size)
            self.inputs: Any = [torch.randn(shape).to(dtype).transpose(1, 2) for _ in range(3)]
            self.model: nn.Module = JointAttention()
            self.layers: dict[str, nn.Module] = {"attention": self.model}
            return
        # Here, because the processes that measure a bare attention need not wait for this import.
        from diffusers import FluxTransformer2DModel
        from diffusers.utils import logging

        logging.set_verbosity_error()
        model = FluxTransformer2DModel(
            in_channels=16,
            num_layers=size.blocks,
            num_single_layers=size.blocks,
            attention_head_dim=size.head_size,
            num_attention_heads=size.heads,
            joint_attention_dim=64,
            pooled_projection_dim=32,
            axes_dims_rope=(size.head_size // 2, size.head_size // 4, size.head_size // 4),
        )
        blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
        self.model = model.to(dtype).eval()
        self.layers = {str(index): block for index, block in enumerate(blocks)}
        positions = torch.cartesian_prod(torch.zeros(1), torch.arange(float(size.grid)), torch.arange(float(size.grid)))
        self.inputs = (
            torch.randn(1, patches, 16).to(dtype),
            torch.randn(1, size.text, 64).to(dtype),
            torch.randn(1, 32).to(dtype),
            torch.full((1,), 0.5, dtype=dtype),
            positions,
            torch.zeros(size.text, 3),
        )

    @torch.no_grad()
    def run(self, case: str) -> Any:
        reader: AbstractContextManager[Any] = nullcontext()
        if case == "naive":
            reader = NaiveReader(self.size.text)
        elif case != "plain":
            columns = slice(FEW_TOKENS) if case.endswith(f"{FEW_TOKENS} tokens") else slice(self.size.text)
            reader = AttentionTap(self.layers, {"map": Selection(slice(self.size.text, None), columns)})
        with reader:
            return reader, self._forward()

    def _forward(self) -> Any:
        if self.size.blocks == 0:
            return self.model(*self.inputs)
        names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "img_ids", "txt_ids")
        return self.model(**dict(zip(names, self.inputs, strict=True)), return_dict=False)[0]


def measure_times(size: Size, rounds: int) -> dict[str, list[float]]:
    """Seconds of each case in each round, the rounds aligned."""
    subject = Subject(size)
    for case in CASES:
        subject.run(case)
    seconds: dict[str, list[float]] = {case: [] for case in CASES}
    for number in range(rounds):
        turn = number % len(CASES)
        for case in CASES[turn:] + CASES[:turn]:
            start = time.perf_counter()
            subject.run(case)
            seconds[case].append(time.perf_counter() - start)
    return seconds


def measure_peak(size: Size, case: str, threads: int) -> float:
    """Peak MiB of one run on top of its inputs. Call it in a process of its own."""
    torch.set_num_threads(threads)
    warm_up = Size(size.heads, size.head_size, 2 * FEW_TOKENS, 8, size.dtype, min(size.blocks, 1))
    Subject(warm_up).run(case)
    subject = Subject(size)
    return peak_mib(lambda: subject.run(case))


def measure(name: str, size: Size, rounds: int, processes: int, threads: int) -> list[Cost]:
    peaks = {
        case: statistics.median(in_fresh_process(measure_peak, size, case, threads) for _ in range(processes))
        for case in CASES
    }
    seconds = measure_times(size, rounds)
    return [
        Cost(
            name,
            case,
            statistics.median(seconds[case]),
            statistics.median(mine / plain for mine, plain in zip(seconds[case], seconds["plain"], strict=True)),
            peaks[case],
            peaks[case] / peaks["plain"],
        )
        for case in CASES
    ]


def table(costs: list[Cost]) -> Table:
    table = Table("subject", "case", title="Reading attention: medians, and ratios to the plain run")
    for column in ("seconds", "ratio", "peak MiB", "ratio", "above plain, MiB"):
        table.add_column(column, justify="right")
    for cost in costs:
        plain = next(other for other in costs if other.subject == cost.subject and other.case == "plain")
        table.add_row(
            cost.subject,
            cost.case,
            f"{cost.seconds:.4f}",
            f"{cost.time_ratio:.3f}",
            f"{cost.peak_mib:.1f}",
            f"{cost.peak_ratio:.3f}",
            f"{cost.peak_mib - plain.peak_mib:.1f}",
            end_section=cost.case == CASES[-1],
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes and few rounds: does it run?")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--repeats", type=int, help="rounds of timing (default 12, quick 3)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of torch")
    parser.add_argument("--only", default="", help="only subjects whose name contains this")
    options = parser.parse_args()
    repeats = options.repeats or (3 if options.quick else 12)
    torch.set_num_threads(options.threads)

    costs: list[Cost] = []
    for name, size in (QUICK_SUBJECTS if options.quick else SUBJECTS).items():
        if options.only in name:
            print(f"measuring {name} ...", file=sys.stderr)
            costs += measure(name, size, repeats, 1 if options.quick else 3, options.threads)
    if options.json:
        settings = {"torch": torch.__version__, "threads": options.threads, "repeats": repeats}
        print(json.dumps(settings | {"costs": [asdict(cost) for cost in costs]}, indent=2))
    else:
        Console().print(table(costs))


if __name__ == "__main__":
    main()
