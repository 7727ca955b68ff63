"""Ask a running service for many masks from several clients at once, and compare each answer with the library's.

python benchmarks/serve.py [--requests 200] [--clients 8] [--picture FILE] [--phrases PHRASE...]

Starts ``groundkit serve`` with nano on a free port, and sends the pictures and phrases in turn. Every answer must be
the library's (run lengths and boxes equal); now and then a client sends a broken picture and one that is too large,
which must be refused with 422 and 413. Prints requests per second, the median and the longest wait, and the memory of
the service after the first and the last tenth of the requests. Exit code 1 where an answer differs.
"""

import argparse
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

import groundkit

SAMPLES = Path(__file__).parents[1] / "samples"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--picture", type=Path, nargs="+", default=sorted(SAMPLES.glob("scene_*.png")))
    parser.add_argument("--phrases", nargs="+", default=["the red cup", "the bear", "the largest object"])
    arguments = parser.parse_args()
    cases = [(picture, phrase) for picture in arguments.picture for phrase in arguments.phrases]
    pipeline = groundkit.load("refam", device="cpu")
    expected = {case: pipeline(case[0], case[1]) for case in cases}
    command = [sys.executable, "-m", "groundkit", "serve", "--port", "0", "--offline", "--device", "cpu"]
    with subprocess.Popen([*command, "--max-upload", "4"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[1]
        memory = psutil.Process(process.pid)
        waits: list[float] = []
        resident: list[int] = []
        wrong: list[str] = []

        def ask(number: int) -> None:
            picture, phrase = cases[number % len(cases)]
            content, code = picture.read_bytes(), 200
            if number % 20 == 7:
                content, code = content[: len(content) // 2], 422
            if number % 20 == 13:
                content, code = bytes(5 * 2**20), 413
            started = time.perf_counter()
            answer = httpx.post(
                f"{address}/segment", files={"image": content}, data={"phrase": phrase}, timeout=600, trust_env=False
            )
            waits.append(time.perf_counter() - started)
            resident.append(memory.memory_info().rss)
            if answer.status_code != code or (code == 200 and not same(answer.json(), expected[picture, phrase])):
                wrong.append(f"{number}: {answer.status_code} {answer.text[:200]}")

        ask(0)
        waits.clear()
        resident.clear()
        started = time.perf_counter()
        with ThreadPoolExecutor(arguments.clients) as clients:
            list(clients.map(ask, range(arguments.requests)))
        took = time.perf_counter() - started
        process.kill()
    tenth = max(1, len(resident) // 10)
    first, last = (statistics.median(part) / 2**20 for part in (resident[:tenth], resident[-tenth:]))
    print(f"{arguments.requests} requests from {arguments.clients} clients: {arguments.requests / took:.2f} per second")
    print(f"wait: median {statistics.median(waits):.2f} s, longest {max(waits):.2f} s")
    print(f"memory of the service: {first:.0f} MiB in the first tenth, {last:.0f} MiB in the last")
    print(f"wrong answers: {len(wrong)}")
    for line in wrong:
        print(line)
    raise SystemExit(bool(wrong))


def same(answer: dict[str, Any], expected: groundkit.Grounding) -> bool:
    (found,) = answer["results"]
    masks = [each["rle"] for each in found["objects"]]
    return masks == list(expected.run_lengths) and [e["box"] for e in found["objects"]] == expected.boxes.tolist()


if __name__ == "__main__":
    main()
