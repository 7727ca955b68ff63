"""Objects found by name: files of a folder, and entry points of an installed package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from groundkit.errors import ConfigError
from groundkit.models.vision_language import FAMILIES
from groundkit.plugins import Registry, plugins


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A package with two files and a base, and a distribution beside it that registers two more."""
    folder = tmp_path / "shapes"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "base.py").touch()
    (folder / "circle.py").write_text("SHAPE = 'round'\n")
    (folder / "square.py").write_text("SHAPE = 'cornered'\n")
    (tmp_path / "elsewhere.py").write_text("STAR = 'pointed'\nCIRCLE = 'another'\n")
    told = tmp_path / "elsewhere-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[shapes.more]\nstar = elsewhere:STAR\ncircle = elsewhere:CIRCLE\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.cache_clear()
    yield Registry(folder, "shapes", "SHAPE", "shapes.more")
    plugins.cache_clear()
    for name in ("shapes", "shapes.circle", "shapes.square", "elsewhere"):
        sys.modules.pop(name, None)


def test_files_and_entry_points_are_found_by_name_and_nothing_is_imported_before_it_is_asked_for(
    registry: Registry,
) -> None:
    assert registry.own == ("circle", "square")
    assert registry.names == ("circle", "square", "star")
    assert "shapes.circle" not in sys.modules
    assert registry.load("star") == "pointed"
    assert "shapes.square" not in sys.modules


def test_groundkit_s_own_object_comes_before_a_plug_in_of_the_same_name(registry: Registry) -> None:
    assert registry.load("circle") == "round"


def test_a_name_that_does_not_exist_is_a_key_error(registry: Registry) -> None:
    with pytest.raises(KeyError):
        registry.load("base")


@pytest.mark.parametrize("kind", FAMILIES.own)
def test_a_family_s_file_bears_the_model_type_of_transformers_that_it_reads(kind: str) -> None:
    from transformers import CONFIG_MAPPING

    assert kind in CONFIG_MAPPING
    assert isinstance(FAMILIES.load(kind), type)


def test_a_file_without_its_object_is_one_line(registry: Registry) -> None:
    (registry.folder / "square.py").write_text("SIDES = 4\n")
    with pytest.raises(ConfigError, match=r"'square' cannot be loaded from shapes.square: .*no attribute 'SHAPE'"):
        registry.load("square")
