import errno
import json
import os
import subprocess
import sys

import huggingface_hub.constants
import pytest

from groundkit.weights.catalog import Entry, entries


@pytest.fixture
def catalog(monkeypatch, tmp_path):
    """Three entries: in the Hugging Face cache, embedded, and nowhere."""
    blob = tmp_path / "hub" / "models--facebook--sam-vit-base" / "blobs" / "0"
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"x" * 1000)
    (blob.parents[1] / "refs").mkdir()
    snapshot = blob.parents[1] / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(blob)
    (tmp_path / "nano" / "flux").mkdir(parents=True)
    (tmp_path / "nano" / "flux" / "weights").write_bytes(b"x" * 500)
    three = [
        Entry("sam", "segmenter", "facebook/sam-vit-base", "Apache-2.0", 0.375, note="[small]"),
        Entry("nano", "pipeline", "nano", "Apache-2.0", 0.01, note="demo", embedded="flux"),
        Entry("flux", "pipeline", "black-forest-labs/FLUX.1-schnell", "Apache-2.0", 33.7, "GPU", alias="flux"),
    ]
    monkeypatch.setattr("groundkit.weights.catalog.entries", lambda: three)
    monkeypatch.setattr("groundkit.weights.catalog.NANO", tmp_path / "nano")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def test_json_tells_what_is_on_disk_and_where(command, catalog):
    answer = command("models", "--json")
    assert (answer.code, answer.err) == (0, "")
    rows = json.loads(answer.out)
    assert [(row["name"], row["on_disk_gb"]) for row in rows] == [("sam", 1e-6), ("nano", 5e-7), ("flux", None)]
    assert [row["path"] for row in rows] == [
        str(catalog / "hub" / "models--facebook--sam-vit-base"),
        str(catalog / "nano" / "flux"),
        None,
    ]


def test_a_pipe_gets_one_line_per_model_with_the_id_first(command, catalog):
    assert command("models").out.splitlines() == [
        "facebook/sam-vit-base\t--segmenter\t0.38\t0.00\tApache-2.0\tsam\t[small]\t\tlaptop",
        "nano\t--model\t0.01\t0.00\tApache-2.0\tnano\tdemo\t\tlaptop",
        "black-forest-labs/FLUX.1-schnell\t--model\t33.70\t-\tApache-2.0\tflux\t\tflux\tGPU",
    ]


@pytest.mark.parametrize("columns", [20, 80, 200])
def test_in_a_terminal_ids_are_whole_and_alone_so_that_they_can_be_copied(command, catalog, monkeypatch, columns):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = command("models").out.splitlines()
    for wanted in (
        "--segmenter facebook/sam-vit-base",
        "--model nano",
        "--model black-forest-labs/FLUX.1-schnell",
    ):
        assert wanted in lines
    assert all(len(line) <= columns for line in lines if line.startswith(" "))
    said = " ".join(line.strip() for line in lines)
    assert "sam: 0.38 GB, 0.00 GB on disk; Apache-2.0; [small]" in said
    assert "flux: 33.70 GB, not on disk; Apache-2.0; needs a GPU; short: flux" in said


def test_a_folder_that_cannot_be_read_costs_one_line_not_the_table(command, catalog, monkeypatch):
    closed = catalog / "hub" / "models--some--model"
    closed.mkdir()
    listed = os.scandir

    def scandir(place="."):  # root may read every folder
        if str(place) == str(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
        return listed(place)

    monkeypatch.setattr(os, "scandir", scandir)
    answer = command("models")
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 3
    assert answer.err == (f"groundkit: warning: a part of the Hub cache cannot be read: {closed}: Permission denied\n")


def test_a_cache_that_is_a_file_costs_one_line_not_the_table(command, catalog, monkeypatch):
    (catalog / "file").write_text("")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(catalog / "file"))
    answer = command("models")
    assert (answer.code, len(answer.out.splitlines())) == (0, 3)
    assert answer.err.count("\n") == 1
    assert "cannot be read" in answer.err


def test_a_user_without_a_home_gets_the_table():
    """As in a container: no HOME, and a user id that no account has."""
    code = (
        "import os, pwd\n"
        "def nobody(*_):\n    raise KeyError('no such user')\n"
        "pwd.getpwuid = nobody\n"
        "os.environ.pop('HOME', None)\n"
        "from groundkit.cli.main import run\n"
        "raise SystemExit(run(['models']))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(entries())


def test_no_cache_at_all_is_fine(command, catalog, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(catalog / "none"))
    assert [row["path"] is None for row in json.loads(command("models", "--json").out)] == [True, False, True]


def test_the_real_catalog_is_listed_whole(command):
    rows = json.loads(command("models", "--json").out)
    assert [(row["name"], row["source"]) for row in rows] == [(entry.name, entry.source) for entry in entries()]
