import json

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
        Entry("sam", "segmenter", "facebook/sam-vit-base", 0.375, "Apache-2.0", "[small]"),
        Entry("nano", "pipeline", "nano", 0.01, "Apache-2.0", "demo", embedded="flux"),
        Entry("flux", "pipeline", "black-forest-labs/FLUX.1-schnell", 33.7, "Apache-2.0", ""),
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


def test_the_table_names_every_model_whole(command, catalog):
    answer = command("models")
    assert answer.code == 0
    assert "black-forest-labs/FLUX.1-schnell" in answer.out
    assert "[small]" in answer.out


def test_no_cache_at_all_is_fine(command, catalog, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(catalog / "none"))
    assert [row["path"] is None for row in json.loads(command("models", "--json").out)] == [True, False, True]


def test_the_real_catalog_is_listed_whole(command):
    rows = json.loads(command("models", "--json").out)
    assert [(row["name"], row["source"]) for row in rows] == [(entry.name, entry.source) for entry in entries()]
