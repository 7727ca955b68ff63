"""Give groundkit thousands of broken inputs, and count what becomes of them.

python benchmarks/hostile.py [--pictures 2000] [--models 200] [--texts 200] [--workers 2] [--outcomes hostile.jsonl]

Pictures and videos of all containers and modes (cut, flipped, with headers that lie), folders of models (files missing,
cut, swapped, of other types or huge claimed sizes, pickles with code), lists, configurations, vocabularies and
manifests go through the commands ``segment``, ``follow``, ``discover`` and ``batch``, each in a folder of its own.
Expected is a result, or exit code 1 or 2 with a line on standard error. These are faults, and make the exit code 1:

    traceback   an exception that is not told in a line, or no word at all
    slow        more than --seconds of computing for one case, or so many times as long on the clock that it hangs
    memory      more than --mib of memory above the loaded models
    code        code of a pickle was run
    outside     a file was written, changed or left outside the output folder
    died        the process ended

Workers keep nano loaded, and are started anew when they die. Outcomes are appended to --outcomes, a line a case; the
same command goes on where it was stopped. A case is made again by its kind and number: ``--only media:17``.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, Queue

GOOD = ("found", "refused")
_SPARE = (
    8 * 2**30
)  # bytes of address space above the loaded models, so that a wrong size does not take the machine down
_PATIENCE = 6  # times --seconds on the clock, beside whatever else the machine does
_START = 300  # seconds that the models may take to load


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000, help="pictures and videos")
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--outcomes", type=Path, default=Path("hostile.jsonl"))
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one case, with all that it prints")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


class Worker:
    """A process that does cases, seen from here."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hostile-")
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self._folder.name},
        )
        self._answer(_START)

    def ask(self, kind: str, number: int, options: argparse.Namespace) -> dict[str, object]:
        """What becomes of a case. A process that is slow or dies is ended, and ``alive`` no more."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kind}:{number}:{options.mib}\n".encode())
        self._process.stdin.flush()
        began = time.monotonic()
        answer = self._answer(_PATIENCE * options.seconds)
        if answer is not None:
            cpu = answer["seconds"]
            slow = isinstance(cpu, float) and cpu > options.seconds and answer["outcome"] in GOOD
            return {**answer, "outcome": "slow"} if slow else answer
        seconds = round(time.monotonic() - began, 1)
        code = self._process.poll()
        self.end()
        return (
            {"outcome": "slow", "seconds": seconds}
            if code is None
            else {"outcome": "died", "told": f"exit code {code}"}
        )

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _answer(self, seconds: float) -> dict[str, object] | None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            return None
        answer: dict[str, object] = json.loads(line)
        return answer


def campaign(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """All outcomes, those of earlier runs first."""
    counts = {"media": options.pictures, "model": options.models, "text": options.texts}
    todo = {(kind, number) for kind, count in counts.items() for number in range(count)}
    if options.outcomes.exists():
        for line in options.outcomes.read_text().splitlines():
            outcome = json.loads(line)
            if (outcome["kind"], outcome["number"]) in todo:
                todo.remove((outcome["kind"], outcome["number"]))
                yield outcome
    waiting: Queue[tuple[str, int]] = Queue()
    for case in sorted(todo):
        waiting.put(case)
    done: Queue[dict[str, object]] = Queue()

    def work() -> None:
        worker = Worker()
        with contextlib.suppress(Empty):
            while True:
                kind, number = waiting.get_nowait()
                if not worker.alive:
                    worker.end()
                    worker = Worker()
                done.put({"kind": kind, "number": number, **worker.ask(kind, number, options)})
        worker.end()

    with ThreadPoolExecutor(options.workers) as pool, options.outcomes.open("a") as file:
        working = [pool.submit(work) for _ in range(options.workers)]
        for _ in range(len(todo)):
            while True:
                with contextlib.suppress(Empty):
                    outcome = done.get(timeout=5)
                    break
                for each in working:
                    if each.done():
                        each.result()
            file.write(json.dumps(outcome) + "\n")
            file.flush()
            yield outcome


def serve() -> None:
    """The life of a worker: models are loaded once, then a case a line."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print
    case = Cases()
    answers.write("{}\n")
    answers.flush()
    for line in sys.stdin:
        kind, number, mib = line.split(":")
        answers.write(json.dumps(case.run(kind, int(number), int(mib))) + "\n")
        answers.flush()


class Cases:
    """Runs cases in this process."""

    def __init__(self) -> None:
        import groundkit
        from groundkit.cli.main import run

        self._run: Callable[[list[str]], int] = run
        self._root = Path(tempfile.mkdtemp(prefix="hostile-"))
        self._cache = self._root / "cache"
        self._cache.mkdir()
        os.environ.update(HF_HUB_OFFLINE="1", HOME=str(self._root), TMPDIR=str(self._root / "tmp"))
        (self._root / "tmp").mkdir()
        tempfile.tempdir = None
        self._load, self._loaded = groundkit.load, {}
        groundkit.load = self._load_once  # type: ignore[assignment]
        import hostile_cases as cases

        self._cases = cases
        for name in "ab":
            shutil.copy(cases.SAMPLES / f"scene_{1 + (name == 'b')}.png", self._cache / f"{name}.png")
        os.chdir(self._cache)
        for command in (
            ["batch", "a.png", "b.png", "-p", "the red cup", "-f", "png", "-q", "-o", "out"],
            ["discover", "a.png", "--pipeline", "vlsam", "-q", "-o", "found"],
        ):
            _captured(run, command)
        resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + _SPARE, -1))

    def run(self, kind: str, number: int, mib: int = 1024, *, loud: bool = False) -> dict[str, object]:
        """What becomes of one case."""
        folder = self._root / "case"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        os.chdir(folder)
        canary = self._root / "canary"
        if kind == "media":
            command = self._cases.media_case(number, folder, self._cache)
        elif kind == "model":
            command = self._cases.model_case(number, folder, canary)
        else:
            command = self._cases.text_case(number, folder, self._cache / "out")
        before = _files(folder)
        Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
        memory, began = _memory("VmRSS"), time.process_time()
        code, told = _captured(self._run, command)
        seconds, grown = time.process_time() - began, (_memory("VmHWM") - memory) / 2**20
        after = _files(folder)
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        outside = [name for name in changed if not name.startswith("out/")]
        hidden = [name for name in after if "/." in name and name not in before and not name.endswith(".lock")]
        left = sorted(path.name for path in (self._root / "tmp").iterdir() if "torchinductor" not in path.name)
        if canary.exists():
            outcome = "code"
        elif outside or hidden or left:
            outcome, told = "outside", f"{outside + hidden + left} {told}"
        elif code is None or "Traceback" in told or (code and not told.strip()) or code not in (0, 1, 2):
            outcome = "traceback"
        elif grown > mib:
            outcome = "memory"
        else:
            outcome = "refused" if code else "found"
        canary.unlink(missing_ok=True)
        for path in (self._root / "tmp").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if loud:
            print(f"{' '.join(command)}\n{told}", file=sys.stderr)
        shown = {} if outcome in GOOD else {"command": command}
        return {"outcome": outcome, "seconds": round(seconds, 2), "mib": round(grown), "told": told[-2000:], **shown}

    def _load_once(self, *args: object, **options: object) -> object:
        """Nano is loaded once; all that a case brings is loaded as ever."""
        if {options.get("model"), options.get("segmenter")} - {"nano", None}:
            return self._load(*args, **options)
        key = repr((args, sorted(options.items(), key=repr)))
        if key not in self._loaded:
            if len(self._loaded) > 8:  # settings of cases
                self._loaded.clear()
            self._loaded[key] = self._load(*args, **options)
        return self._loaded[key]


def _captured(run: Callable[[list[str]], int], command: list[str]) -> tuple[int | None, str]:
    """The exit code, None for an exception that came through, and standard error."""
    told = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(told):
        try:
            return run(command), told.getvalue()
        except BaseException:
            return None, told.getvalue() + traceback.format_exc()


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        if not path.is_dir():
            found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns)
    return found


def _memory(name: str) -> int:
    """Bytes, by the kernel's account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    options = arguments()
    if options.worker:
        serve()
        return
    if options.only:
        kind, number = options.only.split(":")
        print(json.dumps(Cases().run(kind, int(number), options.mib, loud=True), indent=2))
        return
    began, counts = time.monotonic(), Counter[tuple[str, str]]()
    slowest, largest = 0.0, 0.0
    for outcome in campaign(options):
        counts[outcome["kind"], outcome["outcome"]] += 1
        slowest, largest = max(slowest, outcome.get("seconds", 0)), max(largest, outcome.get("mib", 0))
        if outcome["outcome"] not in GOOD:
            last = (str(outcome.get("told", "")).strip().splitlines() or [""])[-1]
            print(f"{outcome['kind']}:{outcome['number']} {outcome['outcome']}: {last}", flush=True)
    for (kind, name), count in sorted(counts.items()):
        print(f"{kind:6} {name:10} {count}")
    print(f"slowest {slowest:.1f} s, most memory {largest:.0f} MiB, {time.monotonic() - began:.0f} s in all")
    raise SystemExit(any(name not in GOOD for _, name in counts))


if __name__ == "__main__":
    main()
