import json

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import InputError
from groundkit.evaluation.pictures.cases import Case, group_by_image, read_cases, read_mask

GOOD = {"image": "a.jpg", "phrase": "the cup", "mask": "a.png"}


def write(tmp_path, *lines):
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_paths_are_relative_to_the_file_and_extra_fields_are_passed_over(tmp_path):
    path = write(
        tmp_path,
        {**GOOD, "id": "0007", "phrase_type": "referring", "licence": "CC"},
        "",
        {**GOOD, "image": "sub/b.jpg", "phrase": "der Becher", "mask": None, "no_target": True},
    )
    assert read_cases(path) == [
        Case("0007", tmp_path / "a.jpg", "the cup", tmp_path / "a.png", "referring"),
        Case("3", tmp_path / "sub/b.jpg", "der Becher", None, None, no_target=True),
    ]
    assert len(read_cases(path, limit=1)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a JSON object: "),
        ("[1]", "not a JSON object"),
        ({"phrase": "a", "mask": "b"}, "image must be a text that is not empty"),
        ({**GOOD, "phrase": ""}, "phrase must be a text that is not empty"),
        ({**GOOD, "phrase": 3}, "phrase must be a text that is not empty"),
        ({**GOOD, "mask": None}, "mask must be a text that is not empty"),
        ({**GOOD, "no_target": "yes"}, "no_target must be true or false"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(tmp_path, line, message):
    path = write(tmp_path, GOOD, "", line)
    with pytest.raises(InputError) as caught:
        read_cases(path)
    assert str(caught.value).startswith(f"{path}:3: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_or_has_no_cases_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"missing\.jsonl: No such file or directory$"):
        read_cases(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="has no cases: write one JSON object per line"):
        read_cases(write(tmp_path, ""))
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(InputError, match=r"it is not UTF-8 text$"):
        read_cases(tmp_path / "binary.jsonl")


def test_cases_of_one_picture_stand_together_in_the_order_of_the_file(tmp_path):
    lines = [{**GOOD, "image": name, "phrase": phrase} for name, phrase in [("a", "1"), ("b", "2"), ("a", "3")]]
    groups = group_by_image(read_cases(write(tmp_path, *lines)))
    assert {path.name: [case.phrase for case in group] for path, group in groups.items()} == {
        "a": ["1", "3"],
        "b": ["2"],
    }


@pytest.mark.parametrize("mode", ["1", "L", "P", "I;16", "RGB", "RGBA"])
def test_a_mask_of_any_kind_is_true_where_pixels_are_not_zero(tmp_path, mode):
    truth = np.array([[0, 1, 0], [0, 1, 1]], np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(truth.astype(np.uint16))
    elif mode == "P":
        picture = Image.fromarray(truth)
        picture.putpalette([0, 0, 0, 128, 0, 0])
    else:
        picture = Image.fromarray(truth * 255).convert(mode)
    picture.save(tmp_path / "m.png")
    case = Case("1", tmp_path / "a", "cup", tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(case, 2, 3), truth == 1)


def test_a_mask_that_does_not_fit_is_refused(tmp_path):
    case = Case("1", tmp_path / "a", "cup", tmp_path / "m.png")
    with pytest.raises(InputError, match="cannot read mask"):
        read_mask(case, 2, 3)
    Image.new("L", (4, 4)).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="is 4x4, its picture 3x2"):
        read_mask(case, 2, 3)
    with pytest.raises(InputError, match='is empty: add "no_target": true if that is meant'):
        read_mask(case, 4, 4)
    no_target = Case("1", tmp_path / "a", "cup", None, no_target=True)
    np.testing.assert_array_equal(read_mask(no_target, 2, 3), np.zeros((2, 3), bool))
