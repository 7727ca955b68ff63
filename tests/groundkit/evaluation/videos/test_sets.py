"""Which reader a folder is for: each layout holds one case, whose id says who read it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import InputError
from groundkit.evaluation.videos.sets import read_video_set
from groundkit.masks.rle import encode

MASK = np.array([[True, False]])


def pictures(folder: Path, ending: str = "jpg") -> None:
    folder.mkdir(parents=True)
    Image.fromarray(MASK.astype(np.uint8)).save(folder / f"00000.{ending}")


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def ref_davis(root: Path, split: str) -> None:
    pictures(root / "DAVIS/JPEGImages/480p/swan")
    pictures(root / "DAVIS/Annotations/480p/swan", "png")
    (root / "DAVIS/ImageSets/2017").mkdir(parents=True)
    (root / f"DAVIS/ImageSets/2017/{split}.txt").write_text("swan\n")
    (root / "davis_text_annotations").mkdir()
    (root / "davis_text_annotations/Davis17_annot1.txt").write_text('swan 1 "the swan"\n')


def ref_youtube_vos(root: Path, split: str) -> None:
    pictures(root / split / "JPEGImages/swan")
    expressions = {"0": {"exp": "the swan", "obj_id": "1"}}
    videos = {"videos": {"swan": {"expressions": expressions, "frames": ["00000"]}}}
    write_json(root / "meta_expressions" / split / "meta_expressions.json", videos)


def mevis(root: Path) -> None:
    pictures(root / "JPEGImages/swan")
    expressions = {"0": {"exp": "the swan", "anno_id": [7]}}
    write_json(root / "meta_expressions.json", {"videos": {"swan": {"expressions": expressions, "frames": ["00000"]}}})
    write_json(root / "mask_dict.json", {"7": [encode(MASK)]})


def test_each_layout_is_known_by_what_lies_in_it(tmp_path: Path) -> None:
    ref_davis(tmp_path / "davis", "val")
    ref_youtube_vos(tmp_path / "vos", "valid")
    mevis(tmp_path / "mevis/valid_u")
    mevis(tmp_path / "mevis/train")
    found = [
        read_video_set(tmp_path / name, split=split)[0].id
        for name, split in (
            ("davis", None),
            ("vos", None),
            ("mevis", None),
            ("mevis", "train"),
            ("mevis/valid_u", None),
        )
    ]
    assert found == ["swan/1/annot1", *["swan/0"] * 4]


@pytest.mark.parametrize(("make", "split"), [(ref_davis, "train"), (ref_youtube_vos, "test")])
def test_another_split_is_read_when_it_is_named(tmp_path: Path, make: object, split: str) -> None:
    assert callable(make)
    make(tmp_path, split)
    assert len(read_video_set(tmp_path, split=split)) == 1
    with pytest.raises(InputError):
        read_video_set(tmp_path)


def test_a_folder_of_another_kind_and_a_missing_split_are_refused_by_name(tmp_path: Path) -> None:
    mevis(tmp_path / "valid_u")
    with pytest.raises(InputError, match=r"is no Ref-DAVIS17 .* with a split valid: give such a folder"):
        read_video_set(tmp_path, split="valid")
    with pytest.raises(InputError, match="is no Ref-DAVIS17"):
        read_video_set(tmp_path / "valid_u/JPEGImages")
