"""groundkit models pull, against a server on the loopback that speaks as the Hub does and has its faults."""

import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from groundkit.models.pull import wanted_files
from groundkit.weights.catalog import nano_folder

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {
    "own/expired": (401, "", "Invalid credentials in Authorization header"),
    "own/gated": (403, "GatedRepo", "Access to model own/gated is restricted"),
    "own/limited": (429, "", ""),
    "own/broken": (503, "", ""),
}


class Hub(ThreadingHTTPServer):
    """Serves folders as models.

    Attributes:
        models: folders by their ids.
        cuts: for each of the next requests for weights, how many bytes are sent before the connection is closed.
        spoilt: whether weights are sent with another first byte.
        ranges: the ranges of bytes that were asked for.
    """

    def __init__(self, models: dict[str, Path]) -> None:
        self.models = models
        self.cuts: list[int] = []
        self.spoilt = False
        self.ranges: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(False)

    def do_GET(self) -> None:
        self._answer(True)

    def _answer(self, whole: bool) -> None:
        of_api = self.path.startswith("/api/models/")
        model, _, rest = self.path.removeprefix("/api/models").strip("/").partition("/")
        second, _, rest = rest.partition("/")
        model = f"{model}/{second}"
        if model in REFUSALS:
            status, code, message = REFUSALS[model]
            return self._send(status, {"X-Error-Code": code, "X-Error-Message": message}, b"", whole)
        folder = self.server.models.get(model)
        if folder is None:
            return self._send(404, {"X-Error-Code": "RepoNotFound"}, b"", whole)
        if of_api:
            names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
            if rest.startswith("tree/"):
                tree = [{"type": "file", "path": n, "oid": "0", "size": (folder / n).stat().st_size} for n in names]
                return self._send(200, {"Content-Type": "application/json"}, json.dumps(tree).encode(), whole)
            siblings = [{"rfilename": name} for name in names]
            about = {"id": model, "modelId": model, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            return self._send(200, {"Content-Type": "application/json"}, json.dumps(about).encode(), whole)
        file = folder / rest.partition("/")[2].partition("/")[2]
        if not file.is_file():
            return self._send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}, b"", whole)
        content = file.read_bytes()
        large = file.suffix == ".safetensors"
        digest = hashlib.sha256(content) if large else hashlib.sha1(content)
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest.hexdigest()}"', "Accept-Ranges": "bytes"}
        if large and self.server.spoilt:
            content = bytes([content[0] ^ 255]) + content[1:]
        status = 200
        if whole and (asked := self.headers.get("Range")):
            self.server.ranges.append(asked)
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            content, status = content[first:], 206
        cut = self.server.cuts.pop(0) if whole and large and self.server.cuts else None
        return self._send(status, headers, content, whole, cut=cut)

    def _send(self, status: int, headers: dict[str, str], content: bytes, whole: bool, cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if whole:
            self.wfile.write(content[:cut])
            if cut is not None:
                self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub with nano's segmenter, beside files that are not read."""
    folder = tmp_path / "served"
    folder.mkdir()
    for file in nano_folder("sam").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "README.md").write_text("words")
    (folder / "pytorch_model.bin").write_bytes(b"x" * 1000)
    server = Hub({"own/sam": folder})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def pull(hub: Hub, home: Path, *arguments: str, limit: int | None = None) -> "subprocess.CompletedProcess[str]":
    """The command, with at most ``limit`` bytes in any file."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("HF_") and "proxy" not in key.lower()
    }
    environment |= {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}", "HF_HOME": str(home)}
    environment |= {"NO_PROXY": "127.0.0.1", "HF_HUB_DISABLE_XET": "1"}
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
