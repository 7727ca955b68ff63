"""Read a data set of ``groundkit export`` back with the tool that it is for, and compare every mask with ours.

Run it with the Python of an environment that has the tool; groundkit itself is not needed there:

    groundkit export out --to coco --to yolo --to voc --to labelme --to cvat --to labelstudio --tolerance 0
    python benchmarks/read_back.py TOOL out/export

TOOL is ultralytics, supervision, datumaro, labelme or labelstudio. Prints one JSON object per data set: the tool,
its version, pictures, objects, and the lowest IoU of a mask with the one in coco.json.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Masks = dict[str, list[tuple[str, Any]]]
"""Class and mask, bool ``(height, width)``, of the objects of each picture, by its stem."""


def ours(folder: Path) -> Masks:
    """The masks of ``coco.json``, whose runs are decoded here."""
    data = json.loads((folder / "coco.json").read_text())
    names = {each["id"]: each["name"] for each in data["categories"]}
    stems = {each["id"]: Path(each["file_name"]).stem for each in data["images"]}
    masks: Masks = {stem: [] for stem in stems.values()}
    for each in data["annotations"]:
        if each["area"]:
            masks[stems[each["image_id"]]].append((names[each["category_id"]], decoded(each["segmentation"])))
    return masks


def decoded(encoded: dict[str, Any]) -> Any:
    height, width = encoded["size"]
    runs: list[int] = []
    number = shift = 0
    for character in encoded["counts"]:
        code = ord(character) - 48
        number |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number = shift = 0
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def ultralytics(folder: Path) -> Iterator[tuple[str, Masks]]:
    import cv2
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    for kind in ("yolo", "yolo_box"):
        data = check_det_dataset(str(folder / kind / "data.yaml"))
        masks: Masks = {}
        for part in dict.fromkeys((data["train"], data["val"])):
            dataset = YOLODataset(part, data=data, task="segment" if kind == "yolo" else "detect", augment=False)
            for each in dataset.labels:
                height, width = each["shape"]
                found = masks.setdefault(Path(each["im_file"]).stem, [])
                for number, row in enumerate(each["cls"][:, 0]):
                    mask = np.zeros((height, width), np.uint8)
                    if kind == "yolo":
                        corners = each["segments"][number] * (width, height)
                        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
                    else:
                        x, y, w, h = each["bboxes"][number] * (width, height, width, height)
                        x1, y1, x2, y2 = (round(float(v)) for v in (x - w / 2, y - h / 2, x + w / 2, y + h / 2))
                        mask[y1:y2, x1:x2] = 1
                    found.append((data["names"][int(row)], mask > 0))
        yield kind, masks


def supervision(folder: Path) -> Iterator[tuple[str, Masks]]:
    import supervision

    def masks_of(*datasets: Any) -> Masks:
        masks: Masks = {}
        for dataset in datasets:
            for path, _, found in dataset:
                there = found.mask if found.mask is not None else ()
                masks[Path(path).stem] = [
                    (dataset.classes[number], mask) for number, mask in zip(found.class_id, there, strict=True)
                ]
        return masks

    yolo = folder / "yolo"
    yield (
        "yolo",
        masks_of(
            *(
                supervision.DetectionDataset.from_yolo(
                    str(yolo / "images" / part), str(yolo / "labels" / part), str(yolo / "data.yaml"), force_masks=True
                )
                for part in ("train", "val")
                if (yolo / "labels" / part).is_dir()
            )
        ),
    )
    root = json.loads((folder / "coco.json").read_text())["info"]["folder"]
    yield "coco", masks_of(supervision.DetectionDataset.from_coco(root, str(folder / "coco.json"), force_masks=True))


def datumaro(folder: Path) -> Iterator[tuple[str, Masks]]:
    from datumaro import Dataset
    from datumaro.components.annotation import AnnotationType

    for kind, place, name in (("cvat", folder / "cvat", "cvat"), ("voc", folder / "voc", "voc_segmentation")):
        dataset = Dataset.import_from(str(place), name)
        labels = dataset.categories()[AnnotationType.label]
        masks: Masks = {}
        for item in dataset:
            found = masks.setdefault(Path(item.id).stem, [])
            for each in item.annotations:
                if each.type == AnnotationType.mask:
                    found.append((labels[each.label].name, np.asarray(each.image) > 0))
        yield kind, masks


def labelme(folder: Path) -> Iterator[tuple[str, Masks]]:
    from labelme._label_file import LabelFile  # the class that the program opens files with
    from labelme.utils import shape_to_mask

    masks: Masks = {}
    for path in sorted((folder / "labelme").glob("*.json")):
        if path.name == "groundkit.json":
            continue
        file = LabelFile(str(path))
        told = json.loads(path.read_text())
        size = told["imageHeight"], told["imageWidth"]
        objects: dict[int, tuple[str, Any]] = {}
        for shape in file.shapes:
            mask = shape_to_mask(size, shape["points"], shape["shape_type"])
            number = shape["group_id"]
            before = objects.get(number, (shape["label"], np.zeros(size, bool)))[1]
            objects[number] = shape["label"], before | mask
        masks[path.stem] = list(objects.values())
    yield "labelme", masks


def labelstudio(folder: Path) -> Iterator[tuple[str, Masks]]:
    import tempfile

    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface
    from PIL import Image, ImageDraw

    root = folder / "labelstudio"
    config = (root / "config.xml").read_text()
    tasks = json.loads((root / "tasks.json").read_text())
    interface = LabelInterface(config)
    interface.validate()
    for number, task in enumerate(tasks):
        interface.validate_prediction(task["predictions"][0]) or sys.exit(f"{task}: refused")
        task["id"] = number
        task["annotations"] = [{**task.pop("predictions")[0], "id": number, "completed_by": 1}]
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "tasks.json"
        source.write_text(json.dumps(tasks))
        converter = Converter(config, project_dir=None, download_resources=False)
        converter.convert_to_coco(str(source), str(Path(temporary) / "out"), is_dir=False)
        data = json.loads((Path(temporary) / "out" / "result.json").read_text())
    names = {each["id"]: each["name"] for each in data["categories"]}
    sizes = {each["id"]: (each["height"], each["width"]) for each in data["images"]}
    stems = {each["id"]: Path(each["file_name"]).stem for each in data["images"]}
    masks: Masks = {stem: [] for stem in stems.values()}
    for each in data["annotations"]:
        height, width = sizes[each["image_id"]]
        picture = Image.new("1", (width * 16, height * 16))
        for outline in each["segmentation"]:
            corners = [(round(x * 16), round(y * 16)) for x, y in zip(outline[::2], outline[1::2], strict=True)]
            ImageDraw.Draw(picture).polygon(corners, fill=1)
        masks[stems[each["image_id"]]].append((names[each["category_id"]], np.asarray(picture)[8::16, 8::16]))
    yield "labelstudio", masks


PACKAGES = {"labelstudio": "label-studio-sdk"}
TOOLS: dict[str, Callable[[Path], Iterator[tuple[str, Masks]]]] = {
    each.__name__: each for each in (ultralytics, supervision, datumaro, labelme, labelstudio)
}


def lowest_iou(found: Masks, wanted: Masks, *, boxes: bool, apart: bool) -> float:
    """Of the masks of each picture, in their order within a class.

    ``boxes`` compares with the boxes around ours, ``apart`` with ours without the smaller objects before them.
    """
    lowest = 1.0
    for stem, masks in wanted.items():
        theirs = sorted(found.get(stem, []), key=lambda each: each[0])
        masks = sorted(masks, key=lambda each: each[0])
        if apart:
            sizes = [int(mask.sum()) for _, mask in masks]
            hidden = [[other for (_, other), size in zip(masks, sizes, strict=True) if size < own] for own in sizes]
            masks = [
                (label, mask & ~np.any([np.zeros_like(mask), *over], axis=0))
                for (label, mask), over in zip(masks, hidden, strict=True)
            ]
        if [label for label, _ in theirs] != [label for label, _ in masks]:
            sys.exit(f"{stem}: {[label for label, _ in theirs]}, not {[label for label, _ in masks]}")
        for (_, one), (_, other) in zip(theirs, masks, strict=True):
            if boxes:
                rows, columns = np.flatnonzero(other.any(axis=1)), np.flatnonzero(other.any(axis=0))
                other = np.zeros_like(other)
                other[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
            lowest = min(lowest, float((one & other).sum() / (one | other).sum()))
    return lowest


def main() -> None:
    tool, folder = sys.argv[1], Path(sys.argv[2])
    wanted = ours(folder)
    for kind, found in TOOLS[tool](folder):
        told = {
            "tool": tool,
            "version": version(PACKAGES.get(tool, tool)),
            "format": kind,
            "pictures": len(found),
            "objects": sum(map(len, found.values())),
            "lowest_iou": round(lowest_iou(found, wanted, boxes=kind == "yolo_box", apart=kind == "voc"), 4),
        }
        print(json.dumps(told))


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    main()
