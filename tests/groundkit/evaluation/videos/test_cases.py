import json

import numpy as np
import pytest
from PIL import Image

from groundkit.errors import InputError
from groundkit.evaluation.videos.cases import (
    MaskFiles,
    VideoCase,
    read_mevis,
    read_ref_davis,
    read_ref_youtube_vos,
    read_true_masks,
    read_video_cases,
)
from groundkit.masks.rle import encode

GOOD = {"frames": "clip/frames", "masks": "clip/masks", "phrase": "the swan"}


def save(path, pixels, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(pixels, np.uint8))
    if mode == "P":
        picture.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    picture.convert(mode).save(path)


def save_video(frames, masks, names=("00000", "00001"), objects=(1,)):
    """Black frames of 3x2 pixels; the object at place i of ``objects`` is column i of each indexed mask."""
    pixels = np.zeros((2, 3), np.uint8)
    pixels[:, : len(objects)] = objects
    for name in names:
        save(frames / f"{name}.jpg", np.zeros((2, 3)))
        if masks is not None:
            save(masks / f"{name}.png", pixels, "P")


def column(index, count=2):
    masks = np.zeros((count, 2, 3), bool)
    masks[:, :, index] = True
    return masks


def write_lines(tmp_path, *lines):
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def clip(tmp_path):
    save_video(tmp_path / "clip/frames", tmp_path / "clip/masks", ("frame2", "frame10"), objects=(1, 2))
    return tmp_path


def test_lines_name_folders_relative_to_the_file_and_frames_are_in_the_order_of_their_numbers(clip):
    (clip / "clip/frames/.hidden.jpg").touch()
    (clip / "clip/frames/notes.txt").touch()
    path = write_lines(clip, {**GOOD, "id": "v00", "phrase_type": "referring", "n_frames": 2}, "", GOOD)
    first, second = read_video_cases(path)
    assert first == VideoCase(
        "v00",
        (clip / "clip/frames/frame2.jpg", clip / "clip/frames/frame10.jpg"),
        "the swan",
        MaskFiles((clip / "clip/masks/frame2.png", clip / "clip/masks/frame10.png")),
        "referring",
    )
    assert (second.id, second.phrase_type) == ("3", None)
    assert len(read_video_cases(path, limit=1)) == 1


def test_the_object_is_every_pixel_that_is_not_zero_or_the_one_of_a_number(clip):
    both, second = read_video_cases(write_lines(clip, GOOD, {**GOOD, "object_id": 2}))
    np.testing.assert_array_equal(read_true_masks(both), column(0) | column(1))
    np.testing.assert_array_equal(read_true_masks(second), column(1))
    assert read_true_masks(both).dtype == np.bool_


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not a JSON object: "),
        ("[1]", "not a JSON object"),
        ({**GOOD, "phrase": ""}, "phrase must be a text that is not empty"),
        ({"frames": "clip/frames", "phrase": "a"}, "masks must be a text that is not empty"),
        ({**GOOD, "frames": 3}, "frames must be a text that is not empty"),
        ({**GOOD, "object_id": "2"}, "object_id must be a whole number from 1"),
        ({**GOOD, "object_id": True}, "object_id must be a whole number from 1"),
        ({**GOOD, "frames": "none"}, "{folder}/none: no such folder; check the path"),
        ({**GOOD, "frames": "clip"}, "{folder}/clip: no pictures in this folder"),
        ({**GOOD, "masks": "none"}, "{folder}/none/frame2.png: no such mask; each frame needs one of its name"),
    ],
)
def test_a_bad_line_is_named_with_file_and_number(clip, line, message):
    path = write_lines(clip, GOOD, "", line)
    with pytest.raises(InputError) as caught:
        read_video_cases(path)
    assert str(caught.value).startswith(f"{path}:3: {message.format(folder=clip)}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_or_has_no_cases_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"missing\.jsonl: No such file or directory$"):
        read_video_cases(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match="has no cases: write one JSON object per line"):
        read_video_cases(write_lines(tmp_path, ""))


def test_masks_that_do_not_fit_are_refused(clip):
    (case,) = read_video_cases(write_lines(clip, {**GOOD, "object_id": 7}))
    with pytest.raises(InputError, match="there is no pixel of value 7 in the masks"):
        read_true_masks(case)
    save(clip / "clip/masks/frame10.png", np.zeros((4, 4)))
    with pytest.raises(InputError, match=r"frame10\.png is 4x4, its video 3x2"):
        read_true_masks(case)
    save(clip / "clip/masks/frame10.png", np.zeros((2, 3)), "RGB")
    with pytest.raises(InputError, match="has colours, not the numbers of objects"):
        read_true_masks(case)
    (clip / "clip/masks/frame10.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"cannot read mask .*frame10\.png"):
        read_true_masks(case)
    (clip / "clip/frames/frame10.jpg").unlink()
    with pytest.raises(InputError, match=r"frame10\.jpg: no such file"):
        read_true_masks(case)
    with pytest.raises(InputError, match="it has no true masks to compare with"):
        read_true_masks(VideoCase("1", case.frames, "cup", None))


@pytest.fixture(params=["DAVIS", "."])
def davis(tmp_path, request):
    """DAVIS as its archives unpack, or with its parts directly in the folder."""
    base = tmp_path / request.param
    for sequence, objects in (("dogs-scale", (1,)), ("judo", (1, 2)), ("train-only", (1,))):
        save_video(base / "JPEGImages/480p" / sequence, base / "Annotations/480p" / sequence, objects=objects)
    (base / "ImageSets/2017").mkdir(parents=True)
    (base / "ImageSets/2017/val.txt").write_text("judo\ndogs-scale\n")
    texts = tmp_path / "davis_text_annotations"
    texts.mkdir()
    (texts / "Davis17_annot1.txt").write_text(
        'dog-scale 1 "a dog"\njudo 2 "a man in white"\njudo 1 "a man in blue"\ntrain-only 1 "a thing"\n'
    )
    (texts / "Davis17_annot2_full_video.txt").write_bytes('judo 1 "the man’s café…"\r\n\r\n'.encode("cp1252"))
    return tmp_path


def test_ref_davis_has_a_case_for_each_line_of_the_split(davis):
    cases = read_ref_davis(davis)
    assert [(case.id, case.phrase, case.phrase_type) for case in cases] == [
        ("judo/1/annot1", "a man in blue", "first frame"),
        ("judo/1/annot2_full_video", "the man’s café…", "full video"),
        ("judo/2/annot1", "a man in white", "first frame"),
        ("dogs-scale/1/annot1", "a dog", "first frame"),
    ]
    assert [path.name for path in cases[0].frames] == ["00000.jpg", "00001.jpg"]
    for case, index in zip(cases, (0, 0, 1, 0), strict=True):
        np.testing.assert_array_equal(read_true_masks(case), column(index))
    assert read_ref_davis(davis, limit=2) == cases[:2]


def test_a_part_that_is_missing_from_ref_davis_is_named(davis, tmp_path):
    with pytest.raises(InputError, match=r"2017/test\.txt: No such file"):
        read_ref_davis(davis, split="test")
    with pytest.raises(InputError, match="has neither davis_text_annotations nor meta_expressions"):
        read_ref_davis(tmp_path / "none")
    for line in ("judo one a man", 'judo 1 ""', "judo 1"):
        (davis / "davis_text_annotations/Davis17_annot1.txt").write_text(f"\n{line}\n")
        with pytest.raises(InputError, match=r'annot1\.txt:2: not a line of sequence, object and "phrase"'):
            read_ref_davis(davis)
    for path in (davis / "davis_text_annotations").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"has none of the files Davis17_annot1\.txt"):
        read_ref_davis(davis)


def expressions(frames=("00000", "00001"), **phrases):
    return {"frames": list(frames), "expressions": phrases}


def test_a_converted_ref_davis_is_read_as_ref_youtube_vos(tmp_path):
    save_video(tmp_path / "valid/JPEGImages/judo", tmp_path / "valid/Annotations/judo", objects=(1, 2))
    judo = {"0": {"exp": "a man in blue", "obj_id": "1"}, "1": {"exp": "a man in white", "obj_id": 2}}
    write_json(tmp_path / "meta_expressions/valid/meta_expressions.json", {"videos": {"judo": expressions(**judo)}})
    cases = read_ref_davis(tmp_path)
    assert [(case.id, case.phrase) for case in cases] == [("judo/0", "a man in blue"), ("judo/1", "a man in white")]
    for index, case in enumerate(cases):
        np.testing.assert_array_equal(read_true_masks(case), column(index))


@pytest.mark.parametrize("base", ["valid", "."])
def test_ref_youtube_vos_has_no_truth_in_its_valid_split_and_leaves_out_the_test_videos(tmp_path, base):
    for video in ("a", "b"):
        save_video(tmp_path / base / "JPEGImages" / video, None, ("00000", "00005", "00010"))
    videos = {
        "a": expressions(("00000", "00010"), **{"0": {"exp": "a dog"}, "1": {"exp": "the ball"}}),
        "b": expressions(**{"0": {"exp": "hidden"}}),
    }
    meta = tmp_path / "meta_expressions"
    write_json(meta / "valid/meta_expressions.json", {"videos": videos})
    assert len(read_ref_youtube_vos(tmp_path)) == 3
    write_json(meta / "test/meta_expressions.json", {"videos": {"b": {}}})
    cases = read_ref_youtube_vos(tmp_path)
    assert [(case.id, case.phrase, case.truth) for case in cases] == [
        ("a/0", "a dog", None),
        ("a/1", "the ball", None),
    ]
    # The frames that the file lists, not all that are in the folder.
    assert [path.name for path in cases[0].frames] == ["00000.jpg", "00010.jpg"]
    assert all(path.is_file() for path in cases[0].frames)
    assert read_ref_youtube_vos(tmp_path, limit=1) == cases[:1]


def test_a_video_of_ref_youtube_vos_with_some_annotations_only_has_no_truth(tmp_path):
    save_video(tmp_path / "train/JPEGImages/a", tmp_path / "train/Annotations/a")
    write_json(
        tmp_path / "meta_expressions/train/meta_expressions.json",
        {"videos": {"a": expressions(**{"0": {"exp": "a dog", "obj_id": "1"}})}},
    )
    (case,) = read_ref_youtube_vos(tmp_path, split="train")
    np.testing.assert_array_equal(read_true_masks(case), column(0))
    (tmp_path / "train/Annotations/a/00001.png").unlink()
    assert read_ref_youtube_vos(tmp_path, split="train")[0].truth is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "is not a JSON object"),
        ({"videos": []}, 'has no "videos" by name'),
        ({"videos": {"a": {"frames": ["00000"]}}}, "video a has no expressions"),
        ({"videos": {"a": expressions(**{"0": {"exp": ""}})}}, "video a: expression 0: exp must be a text"),
        ({"videos": {"a": expressions(**{"0": {"exp": "x", "obj_id": "y"}})}}, "obj_id must be a whole number"),
        ({"videos": {"none": expressions()}}, "JPEGImages/none: no such folder"),
        ({"videos": {}}, "has no cases of this split"),
    ],
)
def test_a_bad_file_of_expressions_is_one_line(tmp_path, content, message):
    save_video(tmp_path / "JPEGImages/a", tmp_path / "Annotations/a")
    write_json(tmp_path / "meta_expressions/valid/meta_expressions.json", content)
    with pytest.raises(InputError, match=message) as caught:
        read_ref_youtube_vos(tmp_path)
    assert "\n" not in str(caught.value)


def test_mevis_joins_the_annotations_of_an_expression(tmp_path):
    save_video(tmp_path / "JPEGImages/a", None)
    phrases = {
        "0": {"exp": "birds that fly", "obj_id": [0, 1], "anno_id": [3, 8]},
        "1": {"exp": "the bird that turns", "obj_id": [1], "anno_id": [8]},
        "2": {"exp": "a bird that swims", "obj_id": [], "anno_id": []},
    }
    write_json(tmp_path / "meta_expressions.json", {"videos": {"a": expressions(**phrases)}})
    left, right = encode(column(0)[0]), encode(column(2)[0])
    write_json(tmp_path / "mask_dict.json", {"3": [left, left], "8": [None, right], "9": None})
    cases = read_mevis(tmp_path)
    assert [(case.id, case.phrase) for case in cases] == [(f"a/{key}", each["exp"]) for key, each in phrases.items()]
    late = column(2)
    late[0] = False
    np.testing.assert_array_equal(read_true_masks(cases[0]), column(0) | late)
    np.testing.assert_array_equal(read_true_masks(cases[1]), late)
    assert not read_true_masks(cases[2]).any()
    assert read_mevis(tmp_path, limit=2) == cases[:2]
    (tmp_path / "mask_dict.json").unlink()
    assert [case.truth for case in read_mevis(tmp_path)] == [None] * 3


@pytest.mark.parametrize(
    "track", [None, [], [None], [None, {"size": [2, 3]}], [None, {"size": "23", "counts": "1"}], [None, 5]]
)
def test_bad_run_lengths_of_mevis_are_one_line(tmp_path, track):
    save_video(tmp_path / "JPEGImages/a", None)
    videos = {"a": expressions(**{"0": {"exp": "x", "anno_id": [3]}})}
    write_json(tmp_path / "meta_expressions.json", {"videos": videos})
    write_json(tmp_path / "mask_dict.json", {"3": track})
    with pytest.raises(InputError, match=r"mask_dict\.json: annotation 3 is not a list of 2 COCO run lengths or null"):
        read_mevis(tmp_path)


def test_an_expression_of_mevis_without_annotations_is_one_line(tmp_path):
    save_video(tmp_path / "JPEGImages/a", None)
    write_json(tmp_path / "meta_expressions.json", {"videos": {"a": expressions(**{"0": {"exp": "x"}})}})
    write_json(tmp_path / "mask_dict.json", {})
    with pytest.raises(InputError, match="video a: expression 0: anno_id must be a list"):
        read_mevis(tmp_path)


def test_run_lengths_of_another_size_are_refused(tmp_path):
    save_video(tmp_path / "JPEGImages/a", None)
    videos = {"a": expressions(**{"0": {"exp": "x", "anno_id": [3]}})}
    write_json(tmp_path / "meta_expressions.json", {"videos": videos})
    write_json(tmp_path / "mask_dict.json", {"3": [None, encode(np.ones((4, 5), bool))]})
    (case,) = read_mevis(tmp_path)
    with pytest.raises(InputError, match="mask of frame 00001 is 5x4, its video 3x2"):
        read_true_masks(case)


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_a_mask_of_any_kind_is_true_where_pixels_are_not_zero(clip, mode):
    for name in ("frame2", "frame10"):
        save(clip / f"clip/masks/{name}.png", column(2)[0] * 255, mode)
    (case,) = read_video_cases(write_lines(clip, GOOD))
    np.testing.assert_array_equal(read_true_masks(case), column(2))
