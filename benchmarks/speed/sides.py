"""The two versions that are compared, each in an environment and a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Self

from rounds import Run

ROOT = Path(__file__).parents[2]
BEFORE = "48501f2"
PEERS = ("attention-map-diffusers==1.0.0", "vl-saliency==1.1.6", "daam==0.2.0")


class Side:
    """A worker process of one version, which makes cases and runs them when asked.

    Args:
        python: of its environment.
        threads: of torch.
        script: that it runs.
    """

    def __init__(self, python: Path, *, threads: int, device: str, script: str = "worker.py") -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        environment |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", "SPEED_DEVICE": device, "GOMP_SPINCOUNT": "1000"}
        self.python = python
        self._process = subprocess.Popen(
            [python, Path(__file__).with_name(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=Path(__file__).parent,
        )

    def case(self, name: str, /, tries: int = 5, **arguments: Any) -> Callable[[], Run]:
        """Make a case of ``cases.py``, and return what runs it."""
        number = self._ask({"make": name, "arguments": arguments})
        return lambda: Run(**self._ask({"run": number, "tries": tries}))

    def _ask(self, message: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                answer = json.loads(line)
                if "error" in answer:
                    raise RuntimeError(f"{message}: {answer['error']}")
                return answer["answer"]
        raise RuntimeError(f"{message}: the worker process ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def environment_before(version: str, folder: Path) -> Path:
    """The Python of an environment with an earlier version: a folder that has one, or a commit, installed here.

    It shares the libraries of this environment, and has this version's embedded weights, so that both compute the same.
    """
    if (python := _python(Path(version))).exists():
        return python
    place = folder / version
    if not _python(place).exists():
        archive = subprocess.run(["git", "archive", version], cwd=ROOT, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as opened:
            opened.extractall(place / "source", filter="data")
        for name in ("flux", "llava", "sam"):
            shutil.rmtree(place / "source/weights/nano" / name)
            shutil.copytree(ROOT / "weights/nano" / name, place / "source/weights/nano" / name)
        _make(place, ["--no-deps", "--no-build-isolation", str(place / "source")])
    return _python(place)


def environment_of_peers(folder: Path) -> Path:
    """The Python of an environment with this version and the peers, without the versions that they pin."""
    place = folder / "peers"
    if not _python(place).exists():
        _make(place, ["--no-deps", "--no-build-isolation", "-e", str(ROOT), *PEERS], ["spacy"])  # which daam needs
    return _python(place)


def _make(place: Path, *installs: Sequence[str]) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/*/site-packages")
    # What lies in these folders is found; their own .pth files, such as that of this version, are not followed.
    shared = [each for each in sys.path if each.endswith("site-packages")]
    (packages / "shared.pth").write_text("\n".join(shared) + "\n")
    try:
        pip = [sys.executable, "-m", "pip", "--python", str(_python(place))]
        for each in installs:
            subprocess.run([*pip, "install", "-q", *each], check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(place)
        raise


def _python(place: Path) -> Path:
    return place / "bin/python"
