"""Data sets read back by the tools that they are for, in environments of their own.

``GROUNDKIT_TOOLS`` names their Pythons, joined by the separator of ``PATH``: ``/opt/tools/bin/python``.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.outputs.data_set import Layout
from groundkit.outputs.formats.base import Source
from groundkit.outputs.save import RunFiles

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "read_back.py"
MODULES = {
    "ultralytics": "ultralytics",
    "supervision": "supervision",
    "datumaro": "datumaro",
    "labelme": "labelme",
    "labelstudio": "label_studio_sdk",
}
# labelme draws the outline too: 9 x 12 pixels, the smallest box below, become 10 x 13.
LOWEST = {"labelme": 0.83, "labelstudio": 0.99}


def python_with(module):
    for python in filter(None, os.environ.get("GROUNDKIT_TOOLS", "").split(os.pathsep)):
        found = subprocess.run(
            [python, "-c", f"import importlib.util as u; assert u.find_spec({module!r})"], capture_output=True
        )
        if found.returncode == 0:
            return python
    pytest.skip(f"no Python of GROUNDKIT_TOOLS has {module}")


@pytest.mark.tools
@pytest.mark.parametrize("tool", MODULES)
def test_the_tool_reads_every_class_and_mask(tool, make_grounding, tmp_path):
    python = python_with(MODULES[tool])
    kinds = ["coco", "cvat", "labelme", "labelstudio", "voc", "yolo", "yolo_box"]
    files = RunFiles(tmp_path, kinds, "groundkit batch", whole=True, layout=Layout(held_out=0.5, tolerance=0))
    boxes = [[(5, 6, 30, 20), (40, 10, 64, 48)], [(0, 0, 9, 12)], []]
    for number, here in enumerate(boxes):
        place = tmp_path / f"{number}.png"
        cups, ball = make_grounding(*here, phrase="the red cup"), make_grounding((10, 30, 35, 40), phrase="ball")
        Image.fromarray(np.full_like(cups.image, 90)).save(place)
        files.add(cups, Source(place.name, str(place), place.stem, label="cup"))
        files.add(ball, Source(place.name, str(place), place.stem))
    files.finish()
    settings = {"YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    answer = subprocess.run(
        [python, str(SCRIPT), tool, str(tmp_path)], capture_output=True, text=True, env={**os.environ, **settings}
    )
    assert answer.returncode == 0, answer.stderr
    told = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    assert told
    for each in told:
        assert (each["pictures"], each["objects"]) == (3, 6)
        assert each["lowest_iou"] >= LOWEST.get(tool, 1.0)
