"""``benchmarks/gpu.py`` runs where nothing but torch, transformers, diffusers and pydantic is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
BARE = """
import runpy, sys

class Absent:
    names = ("av", "cv2", "HanTa", "jinja2", "pycocotools", "ray", "rich", "segment_anything", "supervision", "typer")

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_kernels_are_measured_on_a_bare_machine() -> None:
    command = [sys.executable, "-c", BARE, str(SCRIPT), "--device", "cpu", "--dtype", "float32", "--no-tests", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    kernels = json.loads(done.stdout)["kernels"]
    assert len(kernels) == 3
    for each in kernels:
        assert each["proved"]
        assert each["max_error"] < 1e-4
