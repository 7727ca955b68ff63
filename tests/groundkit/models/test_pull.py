"""groundkit models pull, against a server on the loopback that speaks as the Hub does and has its faults."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub import COMMIT, Hub, asking, serving

from groundkit.models.pull import wanted_files
from groundkit.weights.catalog import nano_folder


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with nano's segmenter, beside files that are not read."""
    folder = tmp_path / "served"
    folder.mkdir()
    for file in nano_folder("sam").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_text("words")
    (folder / "pytorch_model.bin").write_bytes(b"x" * 1000)
    with serving({"own/sam": folder}) as server:
        yield server


def pull(hub: Hub, home: Path, *arguments: str, limit: int | None = None) -> "subprocess.CompletedProcess[str]":
    """The command, with at most ``limit`` bytes in any file."""
    environment = asking(hub.address, home, HF_HUB_DISABLE_XET="1")
    limited: Callable[[], None] | None = None
    if limit is not None:
        limited = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # noqa: E731
    code = "import sys; from groundkit.cli.main import run; raise SystemExit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "models", "pull", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, preexec_fn=limited, timeout=120
    )


def test_a_model_is_pulled_with_the_files_that_are_read_and_no_others(hub: Hub, tmp_path: Path) -> None:
    done = pull(hub, tmp_path / "home", "own/sam", "--alone")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"groundkit: own/sam: \d\.\d\d GB to download\n", done.stderr)
    folder = Path(done.stdout.strip())
    served = hub.models["own/sam"]
    assert {file.name for file in folder.iterdir()} == {
        file.name for file in served.iterdir() if file.name not in ("README.md", "pytorch_model.bin")
    }
    assert all(file.read_bytes() == (served / file.name).read_bytes() for file in folder.iterdir())
    again = pull(hub, tmp_path / "home", "own/sam", "--alone")
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "groundkit: own/sam: on disk\n")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("own/expired", "the Hub does not accept the token; renew it (hf auth login), or unset HF_TOKEN: "),
        ("own/gated", "this model is gated; accept its terms at https://huggingface.co/own/gated and set HF_TOKEN"),
        ("own/none", "no such folder, and no such model on the Hub; check the name"),
        ("own/limited", "the Hub asks to wait (429, too many requests); try again in a few minutes"),
        ("own/broken", "the Hub has a fault of its own (503); try again later"),
    ],
)
def test_each_refusal_of_the_hub_is_one_line(hub: Hub, tmp_path: Path, source: str, told: str) -> None:
    done = pull(hub, tmp_path / "home", source)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"groundkit: error: {source}: {told}")
    assert done.stderr.count("\n") == 1


def test_a_connection_that_is_cut_once_is_taken_up_where_it_broke(hub: Hub, tmp_path: Path) -> None:
    served = hub.models["own/sam"] / "model.safetensors"
    served.write_bytes(bytes(24_000_000))
    hub.cuts = [12_000_000]
    done = pull(hub, tmp_path / "home", "own/sam", "--alone")
    assert done.returncode == 0, done.stderr
    (asked,) = hub.ranges
    assert 10_000_000 <= int(asked.removeprefix("bytes=").partition("-")[0]) <= 12_000_000
    assert (Path(done.stdout.strip()) / "model.safetensors").read_bytes() == served.read_bytes()


def test_a_connection_that_stays_cut_is_told_in_a_line_and_whole_files_are_kept(hub: Hub, tmp_path: Path) -> None:
    hub.cuts = [100_000] * 20
    cut = pull(hub, tmp_path / "home", "own/sam", "--alone")
    assert (cut.returncode, cut.stdout) == (1, "")
    assert len(cut.stderr.splitlines()) == 2
    assert "error: own/sam: the download broke off" in cut.stderr
    kept = {file.name for file in (tmp_path / "home").rglob("*") if file.is_symlink()}
    assert "config.json" in kept
    assert "model.safetensors" not in kept
    hub.cuts = []
    assert pull(hub, tmp_path / "home", "own/sam", "--alone").returncode == 0


def test_a_file_with_another_hash_is_removed_and_told(hub: Hub, tmp_path: Path) -> None:
    hub.spoilt = True
    done = pull(hub, tmp_path / "home", "own/sam", "--alone")
    assert done.returncode == 1
    assert "model.safetensors is not what the Hub says it is (its SHA-256 differs) and was removed; pull again" in (
        done.stderr
    )
    hub.spoilt = False
    again = pull(hub, tmp_path / "home", "own/sam", "--alone")
    assert again.returncode == 0, again.stderr


def test_a_full_disk_is_told_in_a_line_and_what_came_is_kept(hub: Hub, tmp_path: Path) -> None:
    full = pull(hub, tmp_path / "home", "own/sam", "--alone", limit=200_000)
    assert (full.returncode, full.stdout) == (1, "")
    assert re.search(r"error: own/sam: the disk with .* is full; free some space and pull again: ", full.stderr)
    assert len(full.stderr.splitlines()) == 2
    assert pull(hub, tmp_path / "home", "own/sam", "--alone").returncode == 0


def test_too_little_free_space_is_told_before_anything_is_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil
    from types import SimpleNamespace

    from huggingface_hub import HfApi

    from groundkit.errors import ModelError
    from groundkit.models import pull as module

    listed = [SimpleNamespace(file_size=10**9, will_download=True)]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: listed)
    monkeypatch.setattr("groundkit.models.locate.find_file", lambda *_: (tmp_path, False))
    about = SimpleNamespace(siblings=[SimpleNamespace(rfilename="model.safetensors")], sha=COMMIT)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: about)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**8))
    with pytest.raises(ModelError, match=r"needs 1\.0 GB, and 0\.5 GB are free in .*; free some space, or set HF_HOME"):
        module.plan("own/large")


def test_offline_the_variable_that_forbids_a_download_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from groundkit.errors import ModelError
    from groundkit.models import pull as module

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="own/large: HF_HUB_OFFLINE is set; unset it to download models"):
        module.plan("own/large")


def test_a_diffusion_pipeline_is_pulled_without_its_single_file_and_one_variant_of_each_part() -> None:
    names = [
        "model_index.json",
        "flux1-schnell.safetensors",
        "README.md",
        "schnell_grid.jpeg",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model-00001-of-00002.safetensors",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
        "vae/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.bin",
        "tokenizer/vocab.json",
        "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "text_encoder/model.fp16-00001-of-00002.safetensors",
        "text_encoder/model.safetensors",
        ".gitattributes",
    ]
    left_out = {"flux1-schnell.safetensors", "README.md", "schnell_grid.jpeg", ".gitattributes"}
    left_out |= {"vae/diffusion_pytorch_model.bin"}
    half = {"vae/diffusion_pytorch_model.fp16.safetensors", "text_encoder/model.fp16-00001-of-00002.safetensors"}
    full = {"vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"}
    assert set(wanted_files(names)) == set(names) - left_out - half
    assert set(wanted_files(names, "fp16")) == set(names) - left_out - full
