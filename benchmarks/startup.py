"""What a cold ``groundkit segment`` costs beside the bare import of its libraries, and a second phrase beside a first.

python benchmarks/startup.py [--repeats 7]

Processes are run in turn (import, segment, help, import, ...), so that a machine that slows down slows all; medians are
printed. The phrases are timed in one process after the model has been warmed up on another picture.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "samples" / "scene_1.png"
OTHER = Path(__file__).parents[1] / "samples" / "scene_2.png"


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def phrases(repeats: int) -> tuple[float, float]:
    """Median seconds of the first and of the second phrase on one picture."""
    import groundkit
    from groundkit.media.images import read_image

    pipeline = groundkit.load(device="cpu")
    pipeline(OTHER, "the hat")
    first, second = [], []
    for _ in range(repeats):
        results = list(pipeline.ground(read_image(SAMPLE), ["the red cup", "the red heart"]))
        first.append(results[0].seconds)  # type: ignore[union-attr]
        second.append(results[1].seconds)  # type: ignore[union-attr]
    return statistics.median(first), statistics.median(second)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    groundkit = str(Path(sys.executable).parent / "groundkit")
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "import": [sys.executable, "-c", "import torch, diffusers, transformers"],
            "segment": [groundkit, "segment", str(SAMPLE), "the red cup", "-o", folder, "--offline"],
            "help": [groundkit, "segment", "--help"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for repeat in range(arguments.repeats + 1):
            for name, command in commands.items():
                took = seconds(command)
                if repeat:  # the first round warms the disk cache
                    times[name].append(took)
    median = {name: statistics.median(values) for name, values in times.items()}
    ratios = [s / i for s, i in zip(times["segment"], times["import"], strict=True)]
    first, second = phrases(arguments.repeats)
    print(
        json.dumps(
            {
                **{f"{name}_seconds": round(value, 2) for name, value in median.items()},
                "segment_over_import": round(statistics.median(ratios), 2),
                "first_phrase_seconds": round(first, 3),
                "second_phrase_seconds": round(second, 3),
                "second_over_first": round(second / first, 2),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
