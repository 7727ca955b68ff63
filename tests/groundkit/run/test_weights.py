import shutil

import pytest

from groundkit.run.weights import weights_digest


@pytest.fixture
def folder(tmp_path):
    """A model of a configuration and a file that is longer than what is read of it."""
    place = tmp_path / "model"
    (place / "unet").mkdir(parents=True)
    (place / "config.json").write_text("{}")
    (place / "unet" / "weights.bin").write_bytes(bytes(300_000))
    return place


def test_a_copy_is_the_same_and_other_weights_in_the_same_place_are_not(folder, tmp_path):
    digest = weights_digest(str(folder))
    shutil.copytree(folder, tmp_path / "copy")
    assert weights_digest(str(tmp_path / "copy")) == digest
    for change in (
        lambda: (folder / "unet" / "weights.bin").write_bytes(bytes(300_000 - 1) + b"x"),
        lambda: (folder / "unet" / "weights.bin").write_bytes(b"x" + bytes(300_000 - 1)),
        lambda: (folder / "unet" / "weights.bin").write_bytes(bytes(300_001)),
        lambda: (folder / "config.json").rename(folder / "other.json"),
        lambda: (folder / "new.json").write_text(""),
    ):
        change()
        before, digest = digest, weights_digest(str(folder))
        assert digest != before


def test_files_nano_and_several_sources_have_digests_and_hub_ids_have_none(folder):
    one = weights_digest(str(folder / "config.json"))
    assert one is not None
    assert None not in (weights_digest("nano"), weights_digest(f"{folder},x/y"))
    assert weights_digest("black-forest-labs/FLUX.1-schnell") is None
