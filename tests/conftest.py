"""Results made by hand, tiny models of the real classes in folders, and devices, make-believe or real."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest

from groundkit.masks.geometry import boxes_of
from groundkit.results import Grounding

if TYPE_CHECKING:
    from devices import Device

TESTS = Path(__file__).parent
# Files and folders of which every test takes seconds; others mark themselves.
SLOW = (
    "browser",
    "cli/test_discover.py",
    "cli/test_nano.py",
    "groundkit/models/diffusion",
    "groundkit/models/test_devices.py",
    "groundkit/models/test_hub.py",
    "groundkit/models/test_missing_weights.py",
    "groundkit/models/test_threads.py",
    "groundkit/models/test_trace.py",
    "groundkit/models/vision_language",
    "groundkit/run/engines",
    "groundkit/run/test_batch.py",
    "groundkit/segmenters/test_devices.py",
    "groundkit/test_loaded.py",
    "groundkit/test_loading.py",
    "groundkit/test_memory.py",
    "groundkit/tracking/test_sam2.py",
    "pipelines/test_calls.py",
    "pipelines/test_devices.py",
    "pipelines/test_dtypes.py",
    "pipelines/test_offload.py",
    "plugin",
    "test_examples.py",
    "test_pretend_device.py",
    "typing",
    "weights",
)

MakeGrounding = Callable[..., Grounding]


@pytest.fixture
def make_grounding() -> MakeGrounding:
    """A function that makes a picture of noise in which rectangles ``(x1, y1, x2, y2)`` were found."""

    def make(
        *boxes: tuple[int, int, int, int],
        size: tuple[int, int] = (48, 64),
        phrase: str = "the red cup",
        image: npt.NDArray[np.uint8] | None = None,
        **fields: Any,
    ) -> Grounding:
        generator = np.random.default_rng(0)
        if image is None:
            image = generator.integers(0, 256, (*size, 3), dtype=np.uint8)
        height, width = image.shape[:2]
        masks = np.zeros((len(boxes), height, width), dtype=np.bool_)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
            mask[y1:y2, x1:x2] = True
        points = [((x1 + x2) / 2, (y1 + y2) / 2, 1) for x1, y1, x2, y2 in boxes] + [(0.5, 0.5, 0)]
        values: dict[str, Any] = {
            "image": image,
            "phrase": phrase,
            "masks": masks,
            "scores": np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
            "boxes": boxes_of(masks),
            "points": np.array(points, dtype=np.float32),
            "heatmap": generator.random((height, width), dtype=np.float32),
            "pipeline": "refam",
            "model": "nano",
            "seconds": 0.25,
        }
        return Grounding(**{**values, **fields})

    return make


@pytest.fixture(scope="session")
def save_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of what ``tests/tiny/*/tiny_<family>.py`` builds, saved once: copy it to change it."""
    import torch

    @functools.cache
    def save(family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        importlib.import_module(f"tiny_{family}").save(folder)
        return folder

    return save


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by where it lies, and what needs Chromium by its fixture."""
    for item in items:
        path = item.path.relative_to(TESTS)
        if any(path.is_relative_to(slow) for slow in SLOW):
            item.add_marker("slow")
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--device",
        choices=("pretend", "cuda", "mps"),
        default="pretend",
        help="run the tests of devices (test_devices.py) on this one instead of make-believe ones",
    )


@pytest.fixture(params=["cuda", "mps"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A CUDA device, then an Apple one: make-believe ones (``pretend_device.py``), or that of ``--device``."""
    import torch
    from devices import Device

    from groundkit.attention import fused

    name, wanted = request.param, request.config.getoption("--device")
    if wanted == "pretend":
        if name == "cuda" and not hasattr(torch._C, "_ensureCUDADeviceGuardSet"):
            pytest.skip("this torch has no device guard for a make-believe CUDA device")
        # No fused kernel returns a log-sum-exp there: rows are computed the general way, on the CPU, too.
        monkeypatch.setattr(fused, "_TRUSTED", {})
        monkeypatch.setattr(torch.nn.Module, "to", _to_memory_of_its_own(torch.nn.Module.to))
        return Device(name, real=False)
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name != wanted or not available[name]:
        pytest.skip(f"--device {wanted}: no {name} device here")
    return Device(name, real=True)


def _to_memory_of_its_own(to: Callable[..., Any]) -> Callable[..., Any]:
    """``Module.to`` that copies weights on the CPU, too: a matrix product's last bit hangs on where they begin."""

    def moved(module: Any, *args: Any, **kwargs: Any) -> Any:
        return to(module, *args, **kwargs)._apply(
            lambda tensor: tensor.clone() if tensor.device.type == "cpu" else tensor
        )

    return moved


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread of torch for a module's small models, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
