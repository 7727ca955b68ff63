"""What attention flow costs, against the plain forward, eager's output_attentions and a naive rollout.

    python benchmarks/flow.py [--tokens 500 1000 2000] [--layers 2] [--json] [--repeats N] [--dtype float32]
    python benchmarks/flow.py --tokens 4000 --layers 1 --repeats 1 --cases plain matrix queries
    python benchmarks/flow.py --kept --tokens 424 2724 15334 16000 --dtype bfloat16

The subject is the language model of Qwen2.5-VL-3B's shapes (16 heads of 128, 2 key heads, hidden 2048, MLP 11008), of
transformers' own class, with random weights and few of its 36 layers. Time and what grows with the layers (attention
that is kept) are linear in them, and are scaled to 36; what one layer needs while it runs is counted once:

    seconds(36) = seconds(L) 36 / L        kept(36) = kept(L) 36 / L

Seconds are the process's own CPU time, which other work on the machine hardly stretches; run it with one thread
(``OMP_NUM_THREADS=1``). "kept" is what is alive after the forward pass besides its output, counted in bytes of tensors.
"peak" is measured, see memory.py, for the layers that ran. "matrix" and "queries" are the two ways in which
``WeighedHeads`` keeps a layer, and take one row through all layers as the pipeline does; the pipeline takes the smaller
one, marked "*". "eager" keeps H x N x N a layer; "rollout" is eager and then the product of all layers' N x N matrices,
timed apart and added. A case that would not fit into the memory that is free is left out, and said to be.

``--kept`` prints what the pipeline keeps of 36 layers. It is kept for real: one layer runs, and is read 36 times, by
heads that are not weighed (``uniform``), which changes nothing of what is kept and spares a pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from memory import in_fresh_process, peak_mib, resident_mib
from rich.console import Console
from rich.table import Table
from transformers import Qwen2_5_VLTextConfig
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VLTextModel

from groundkit.attention.flow import image_flow
from groundkit.attention.heads import HeadWeights, WeighedHeads
from groundkit.attention.layers import KeptMatrix, KeptQueries, LayerAttention
from groundkit.attention.tap import AttentionTap

LAYERS, CASES = 36, ("plain", "matrix", "queries", "eager", "rollout")
HEADS = 16


@dataclass(frozen=True)
class Cost:
    tokens: int
    case: str
    seconds: float
    time_ratio: float
    peak_mib: float
    kept_mib_36: float
    taken: bool = False


class Subject:
    def __init__(self, tokens: int, layers: int, eager: bool, dtype: str) -> None:
        torch.manual_seed(0)
        config = Qwen2_5_VLTextConfig(
            hidden_size=2048,
            intermediate_size=11008,
            num_hidden_layers=layers,
            num_attention_heads=HEADS,
            num_key_value_heads=2,
            vocab_size=128,
            bos_token_id=None,
            eos_token_id=None,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            attn_implementation="eager" if eager else "sdpa",
        )
        self.model = Qwen2_5_VLTextModel(config).to(getattr(torch, dtype)).eval()
        self.inputs = torch.randn(1, tokens, 2048).to(self.model.dtype)

    @torch.no_grad()
    def run(self, case: str) -> tuple[Any, int]:
        """The result, and the bytes of attention kept at the end of the pass."""
        if case == "plain":
            return self.model(inputs_embeds=self.inputs, use_cache=False), 0
        if case in ("matrix", "queries"):
            read = self.read(WeighedHeads(slice(0, self.inputs.shape[1]), keep=case))
            return self.follow(read), sum(layer.nbytes for layer in read)
        attentions = self.model(inputs_embeds=self.inputs, use_cache=False, output_attentions=True).attentions
        kept = sum(attention.nbytes for attention in attentions)
        return (rollout(attentions) if case == "rollout" else attentions), kept

    def read(self, heads: WeighedHeads) -> list[LayerAttention]:
        layers = {str(i): layer for i, layer in enumerate(self.model.layers)}
        with AttentionTap(layers, {"heads": heads}) as tap:
            self.model(inputs_embeds=self.inputs, use_cache=False)
        return tap.read_layers("heads")

    def follow(self, layers: list[LayerAttention]) -> torch.Tensor:
        """The last token's row through all layers."""
        size = self.inputs.shape[1]
        row = torch.zeros(1, size)
        row[0, -1] = 1
        return image_flow(layers, row, torch.arange(size))

    @torch.inference_mode()
    def smaller(self) -> str:
        """Which way the pipeline keeps layers."""
        (layer, *_) = self.read(WeighedHeads(slice(0, 1), HeadWeights.UNIFORM))
        return "queries" if isinstance(layer, KeptQueries) else "matrix"


@torch.no_grad()
def rollout(attentions: Sequence[torch.Tensor]) -> torch.Tensor:
    """The naive product of all layers, ``(N, N)``."""
    one = torch.eye(attentions[0].shape[-1])
    product = one
    for attention in attentions:
        product = (one + attention[0].mean(0)) / 2 @ product
    return product


def fits(tokens: int, layers: int, case: str) -> bool:
    """Whether a case fits into what memory is free, with what eager needs in a layer counted generously."""
    matrix = 4 * tokens**2
    needed = layers * 310e6 + tokens * 11008 * 4 * 6  # weights, and the MLP's activations
    if case in ("eager", "rollout"):
        needed += (layers + 3) * HEADS * matrix + (4 * matrix if case == "rollout" else 0)
    free = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))
    return needed < 0.9 * 1024 * int(free.split()[1])


def peak(tokens: int, layers: int, case: str, dtype: str) -> float:
    Subject(64, 1, case in ("eager", "rollout"), dtype).run(case)
    subject = Subject(tokens, layers, case in ("eager", "rollout"), dtype)
    return peak_mib(lambda: subject.run(case))


def keep_all(tokens: int, dtype: str) -> dict[str, Any]:
    """What the pipeline keeps of 36 layers: one layer runs, and is read and kept 36 times."""
    subject = Subject(tokens, 1, False, dtype)
    heads = WeighedHeads(slice(0, tokens), HeadWeights.UNIFORM)
    before, started = resident_mib(), time.process_time()
    with (
        AttentionTap({"layer": subject.model.layers[0]}, {str(i): heads for i in range(LAYERS)}) as tap,
        torch.inference_mode(),
    ):
        subject.model(inputs_embeds=subject.inputs, use_cache=False)
    layers = [tap.read_layers(str(i))[0] for i in range(LAYERS)]
    queries = isinstance(layers[0], KeptQueries)
    return {
        "tokens": tokens,
        "dtype": dtype,
        "kept as": "queries" if queries else "matrix",
        "kept MiB": round(sum(layer.nbytes for layer in layers) / 2**20),
        "resident MiB": round(resident_mib() - before),
        "float32 matrices MiB": round(LAYERS * float32_matrix_bytes(layers[0]) / 2**20),
        "seconds": round(time.process_time() - started),
    }


def float32_matrix_bytes(layer: LayerAttention) -> int:
    """What a layer's matrix takes in float32, the only way in which it was kept once."""
    if isinstance(layer, KeptQueries):
        return layer.matrix_bytes(torch.float32)
    assert isinstance(layer, KeptMatrix)
    return sum(4 * block.numel() for block in layer.blocks)


def measure(tokens: int, layers: int, repeats: int, cases: Sequence[str], dtype: str) -> list[Cost]:
    seconds: dict[str, list[float]] = {case: [] for case in cases}
    kept = {}
    subjects = {eager: Subject(tokens, layers, eager, dtype) for eager in (False, True)}
    taken = subjects[False].smaller()
    for number in range(repeats + 1):
        for case in cases:
            eager = case in ("eager", "rollout")
            if case == "rollout" and "eager" in cases:
                continue
            started = time.process_time()
            result, kept[case] = subjects[eager].run(case)
            passed = time.process_time()
            if number:  # the first round warms up
                seconds[case].append(passed - started)
            if case == "eager" and "rollout" in cases:
                rollout(result)
                kept["rollout"] = kept["eager"]
                if number:
                    seconds["rollout"].append(time.process_time() - started)
            del result
            print(f"  round {number} of {repeats}, {case}: {passed - started:.1f} s", file=sys.stderr)
    del subjects
    return [
        Cost(
            tokens,
            case,
            statistics.median(seconds[case]),
            statistics.median(mine / plain for mine, plain in zip(seconds[case], seconds["plain"], strict=True)),
            in_fresh_process(peak, tokens, layers, case, dtype),
            kept[case] / 2**20 * LAYERS / layers,
            case == taken,
        )
        for case in cases
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[500, 1000, 2000])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="with plain among them")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32", help="of the model")
    parser.add_argument("--kept", action="store_true", help="print what 36 layers keep, and nothing else")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if "plain" not in options.cases:
        parser.error("--cases needs plain, which the others are compared with")
    if options.kept:
        for tokens in options.tokens:
            print(json.dumps(keep_all(tokens, options.dtype)), flush=True)
        return
    costs: list[Cost] = []
    for tokens in options.tokens:
        cases = [case for case in options.cases if fits(tokens, options.layers, case)]
        for case in options.cases:
            if case not in cases:
                print(f"{case} is left out at {tokens} tokens: it does not fit into the free memory", file=sys.stderr)
        if "plain" not in cases:
            continue
        print(f"measuring {tokens} tokens ...", file=sys.stderr)
        costs += measure(tokens, options.layers, options.repeats, cases, options.dtype)
    if options.json:
        print(json.dumps({"torch": torch.__version__, **vars(options), "costs": [asdict(c) for c in costs]}, indent=2))
        return
    table = Table(title=f"Attention flow: {options.layers} layers run, medians of {options.repeats}")
    for column in ("tokens", "case", "seconds", "of plain", "peak MiB", "kept MiB at 36 layers"):
        table.add_column(column, justify="right")
    for cost in costs:
        table.add_row(
            str(cost.tokens),
            cost.case + " *" * cost.taken,
            f"{cost.seconds:.2f}",
            f"{cost.time_ratio:.2f}",
            f"{cost.peak_mib:.0f}",
            f"{cost.kept_mib_36:.0f}",
            end_section=cost.case == options.cases[-1],
        )
    Console().print(table)


if __name__ == "__main__":
    main()
