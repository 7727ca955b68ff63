"""Reports without a browser: what is in the file, and when there is one. tests/browser opens and clicks them."""

from __future__ import annotations

import base64
import gc
import io
import re
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from groundkit.errors import ImageError, InputError
from groundkit.masks.evidence import Evidence
from groundkit.masks.rle import encode
from groundkit.media.videos import Frame
from groundkit.pipelines.video import FrameMask, VideoGrounding
from groundkit.report.layers import LONGEST_SIDE, draw_layers, shrink_heat, trace
from groundkit.report.page import failure_entry, open_report, picture_entry, video_entry
from groundkit.report.video import CHART_WIDTH, MOST_FRAMES, Strip, draw_chart, sample
from groundkit.results import Grounding

MakeGrounding = Callable[..., Grounding]

NASTY = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onerror='alert(1)",
    "</article></main><!-- entries -->",
    "&lt;b&gt; &amp; {{ 7 * 7 }} {% raw %}",
    "the cup\nand {# more #}",
]


class Parts(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def shape(page: str) -> list[tuple[str, list[str]]]:
    """The tags and the names of their attributes: what a text must never change."""
    return [(tag, sorted(attributes)) for tag, attributes in Parts(page).tags]


def frame_mask(index: int, *, score: float, seen: bool = True, grounded: bool = False) -> FrameMask:
    mask = np.zeros((24, 32), np.bool_)
    mask[4:12, 4 + index % 8 : 16] = seen
    return FrameMask(index, Fraction(index, 10), f"{index:05d}", encode(mask), score, grounded)


def video_grounding(make_grounding: MakeGrounding, frames: list[FrameMask], key: int = 0) -> VideoGrounding:
    grounding = make_grounding((4, 4, 16, 12), size=(24, 32))
    return VideoGrounding("the red cup", tuple(frames), key, grounding, "refam", "nano", "optical flow", 1.0)


def film(count: int) -> list[Frame]:
    return [Frame(i, Fraction(i, 10), f"{i:05d}", np.full((24, 32, 3), i % 256, np.uint8)) for i in range(count)]


def decoded(data_uri: str) -> Image.Image:
    kind, data = data_uri.split(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == f"data:image/{(picture.format or '').lower()}"
    return picture


def filled(path: str, size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Paint an SVG path by the even-odd rule, sixteen times as large, and look at the middles of the pixels."""
    width, height = size
    outlines = [
        np.array([[float(number) * 16 for number in corner.split()] for corner in part.split("L")]).round().astype(int)
        for part in re.findall(r"M([^Z]*)Z", path)
    ]
    canvas = np.zeros((height * 16, width * 16), np.uint8)
    cv2.fillPoly(canvas, outlines, 1)
    return canvas[8::16, 8::16] > 0


@pytest.mark.parametrize("text", NASTY)
def test_texts_of_users_are_shown_as_text(make_grounding: MakeGrounding, text: str) -> None:
    frames = [frame_mask(0, score=0.9)]
    makers: list[Callable[[str], str]] = [
        lambda text: picture_entry(text, text, make_grounding((4, 4, 16, 12), phrase=text, model=text)),
        lambda text: video_entry(text, text, video_grounding(make_grounding, frames), lambda: film(1)),
        lambda text: failure_entry(text, text, ImageError(text)),
    ]
    for make in makers:
        entry = make(text)
        assert shape(entry) == shape(make("plain"))
        parts = Parts(entry)
        assert parts.text.count(text) >= 2
        assert [attributes["title"] for _, attributes in parts.tags if "title" in attributes] == [text, text]


def test_every_picture_has_a_text_that_stands_for_it(make_grounding: MakeGrounding) -> None:
    tags = Parts(picture_entry("a.png", "the cup", make_grounding((4, 4, 16, 12)))).tags
    assert [attributes["alt"] for tag, attributes in tags if tag == "img"] == ["a.png", "heatmap of the cup"]
    labels = [attributes["aria-label"] for tag, attributes in tags if tag == "svg"]
    assert labels == ["mask of the cup", "points for the cup: 1 on it, 1 off it"]


def test_an_entry_says_how_it_went(make_grounding: MakeGrounding) -> None:
    evidence = Evidence(0.5, 0.25, 0.75)
    entries = {
        "found": picture_entry("a.png", "cup", make_grounding((4, 4, 9, 9), (1, 1, 5, 5), evidence=evidence)),
        "empty": picture_entry("a.png", "cup", make_grounding()),
        "failed": failure_entry("a.png", "cup", ImageError("a.png: no picture")),
    }
    numbers = {
        name: {key: value for key, value in Parts(entry).tags[0][1].items() if key != "class"}
        for name, entry in entries.items()
    }
    assert numbers == {
        "found": {"data-status": "found", "data-score": "0.9000", "data-evidence": "0.4507"},
        "empty": {"data-status": "empty"},
        "failed": {"data-status": "failed"},
    }
    assert "a.png: no picture" in Parts(entries["failed"]).text


def test_a_video_in_which_nothing_is_seen_is_empty(make_grounding: MakeGrounding) -> None:
    for seen, status in ((False, "empty"), (True, "found")):
        frames = [frame_mask(0, score=0.25, seen=False), frame_mask(1, score=0.75, seen=seen)]
        entry = video_entry("a.mp4", "cup", video_grounding(make_grounding, frames), lambda: film(2))
        attributes = Parts(entry).tags[0][1]
        assert (attributes["data-status"], attributes["data-score"]) == (status, "0.5000")


def test_the_same_result_is_the_same_bytes_however_long_it_took(make_grounding: MakeGrounding) -> None:
    one, other = (picture_entry("a.png", "cup", make_grounding((4, 4, 9, 9), seconds=time)) for time in (0.1, 2.5))
    assert one == other


def test_the_page_holds_the_entries_in_order_and_names_nothing_elsewhere(
    make_grounding: MakeGrounding, tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "report.html"
    with open_report(path) as report:
        for phrase in ("one", "two"):
            report.add(failure_entry("a\udcff.png", phrase, ImageError("no picture")))
        report.add(picture_entry("b.png", "three", make_grounding((4, 4, 9, 9))))
        assert list(path.parent.iterdir()) == []
    page = path.read_text(encoding="utf-8")
    parts = Parts(page)
    assert re.findall("<h2[^>]*>(.*?)</h2>", page) == ["one", "two", "three"]
    assert page.count("a?.png") == 4
    assert page.index("<main>") < page.index("<article") < page.rindex("</article>") < page.index("</main>")
    for _, attributes in parts.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            assert (attributes.get(name) or "data:").startswith("data:")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", page)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, BrokenPipeError, InputError])
def test_a_run_that_breaks_off_leaves_the_older_report_and_no_half(
    make_grounding: MakeGrounding, tmp_path: Path, error: type[BaseException]
) -> None:
    def break_off(path: Path) -> None:
        with open_report(path) as report:
            report.add(picture_entry("a.png", "cup", make_grounding((4, 4, 9, 9))))
            raise error

    for older in (None, "old"):
        if older:
            (tmp_path / "report.html").write_text(older)
        with pytest.raises(error):
            break_off(tmp_path / "report.html")
        assert [file.read_text() for file in tmp_path.iterdir()] == ([older] if older else [])


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "file" / "a.html", "(Not a directory|File exists)")):
        with pytest.raises(InputError, match=rf"^cannot write {re.escape(str(path))}: {reason}$"), open_report(path):
            raise AssertionError("the work began")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: a full disk cannot be tried here")
@pytest.mark.parametrize("count", [1, 200])
def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    def full(mode: str, *, dir: Path, **options: Any) -> Any:
        return Path("/dev/full").open(mode.replace("+", ""), **options)

    monkeypatch.setattr("groundkit.report.page.TemporaryFile", full)
    path = tmp_path / "report.html"
    message = rf"^cannot write {re.escape(str(path))}: No space left on device$"
    with pytest.raises(InputError, match=message), open_report(path) as report:
        report.add(count * failure_entry("a.png", "cup", ImageError("no picture")))
    assert list(tmp_path.iterdir()) == []


def test_without_a_path_nothing_is_drawn_or_written(
    make_grounding: MakeGrounding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with open_report(None) as report:
        report.add(picture_entry("a.png", "cup", make_grounding((4, 4, 9, 9))))
        report.add(failure_entry("a.png", "cup", ImageError("no picture")))
    assert list(tmp_path.iterdir()) == []


def test_memory_does_not_grow_with_the_number_of_entries(make_grounding: MakeGrounding, tmp_path: Path) -> None:
    grounding = make_grounding((40, 40, 160, 120), size=(240, 320))
    size = len(picture_entry("a.png", "cup", grounding))

    def peak(count: int) -> int:
        gc.collect()
        tracemalloc.start()
        with open_report(tmp_path / "report.html") as report:
            for number in range(count):
                report.add(picture_entry(f"{number}.png", "cup", grounding))
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(2)
    few, many = peak(10), peak(60)
    assert many - few < 2 * size
    assert (tmp_path / "report.html").stat().st_size > 59 * size  # of which memory never held but a little


@pytest.mark.parametrize(
    ("size", "expected"), [((300, 400), (400, 300)), ((1200, 1600), (480, 360)), ((1, 3000), (480, 1))]
)
def test_pictures_are_shrunk_to_what_is_shown_and_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    columns = np.linspace(0, 255, size[1]).astype(np.uint8)
    image = np.broadcast_to(columns[None, :, None], (*size, 3)).copy()
    layers = draw_layers(image)
    picture = decoded(layers.picture)
    assert (layers.width, layers.height) == picture.size == expected
    assert max(expected) <= LONGEST_SIDE
    shown = np.asarray(picture.convert("L")).astype(int)
    assert np.abs(shown - np.linspace(0, 255, expected[0])).max() <= 6
    assert (layers.heat, layers.masks, layers.points) == ("", (), ())


def test_points_move_with_the_picture() -> None:
    points = np.array([[100, 50, 1], [1599, 0, 0]], np.float32)
    layers = draw_layers(np.zeros((1200, 1600, 3), np.uint8), points=points)
    assert [(mark.x, mark.y, mark.positive) for mark in layers.points] == [(30.0, 15.0, True), (479.7, 0.0, False)]


def test_heat_covers_the_picture_where_it_is_hot() -> None:
    y, x = np.mgrid[:240, :320]
    heatmap = np.exp(-((x - 200) ** 2 + (y - 60) ** 2) / 5000).astype(np.float32)
    layers = draw_layers(np.zeros((240, 320, 3), np.uint8), heat=shrink_heat(heatmap))
    pixels = np.asarray(decoded(layers.heat).convert("RGBA")).astype(int)
    height, width = pixels.shape[:2]
    assert (height, width) == (96, 128)
    row, column = np.unravel_index(pixels[..., 3].argmax(), (height, width))
    assert abs(column - 200 * width / 320) <= 1
    assert abs(row - 60 * height / 240) <= 1
    expected = cv2.resize(heatmap, (width, height), interpolation=cv2.INTER_AREA) * 0.75 * 255
    assert np.abs(pixels[..., 3] - expected).max() <= 2


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_flat_heatmap_points_nowhere_and_is_left_out(value: float) -> None:
    heatmap = np.full((24, 32), value, np.float32)
    assert draw_layers(np.zeros((24, 32, 3), np.uint8), heat=shrink_heat(heatmap)).heat == ""


def test_a_path_encloses_the_mask_with_its_holes_and_parts() -> None:
    y, x = np.mgrid[:90, :120]
    ring = ((x - 40) ** 2 + (y - 45) ** 2 < 900) & ((x - 40) ** 2 + (y - 45) ** 2 > 225)
    mask = ring | ((x > 90) & (y > 20) & (x < 115) & (y < 80))
    found = filled(trace(mask, (120, 90)), (120, 90))
    assert (found & mask).sum() / (found | mask).sum() > 0.95
    assert not found[45, 40]
    half = filled(trace(mask, (60, 45)), (60, 45))
    truth = cv2.resize(mask.astype(np.float32), (60, 45), interpolation=cv2.INTER_AREA) >= 0.5
    assert (half & truth).sum() / (half | truth).sum() > 0.9


def test_a_mask_of_one_pixel_still_leaves_a_mark_and_none_leaves_none() -> None:
    mask = np.zeros((900, 1200), np.bool_)
    assert trace(mask, (480, 360)) == ""
    mask[300, 500] = True
    assert re.fullmatch(r"M200\.5 120\.5(L200\.5 120\.5)*Z", trace(mask, (480, 360)))


def test_frames_of_a_strip_are_spread_evenly_and_the_key_frame_is_among_them() -> None:
    for count in (*range(1, 120), 1000, 9999):
        for key in {0, 1 % count, count // 3, count // 2, count - 1}:
            places = sample(count, key)
            assert len(places) == min(count, MOST_FRAMES)
            assert places == sorted(set(places))
            assert key in places
            assert 0 <= places[0] <= places[-1] < count
            if count > 1:
                assert np.diff(places).max() <= 1.5 * (count - 1) / (len(places) - 1) + 1


def test_a_strip_reads_no_further_than_its_last_frame_and_keeps_no_frame(make_grounding: MakeGrounding) -> None:
    frames = [frame_mask(index, score=0.9, grounded=index == 30) for index in range(100)]
    found = video_grounding(make_grounding, frames, key=30)
    given = []

    def reading() -> Any:
        for frame in film(150):
            given.append(frame.index)
            yield frame

    entry = video_entry("a.mp4", "the red cup", found, reading)
    assert given == list(range(100))
    captions = [attributes["data-caption"] for _, attributes in Parts(entry).tags if "data-caption" in attributes]
    assert len(captions) == MOST_FRAMES
    assert captions[0] == "frame 00000 · 0.00 s · score 0.90"
    assert [caption for caption in captions if caption and "key frame" in caption] == [
        "frame 00030 · 3.00 s · score 0.90 · key frame"
    ]
    assert entry.count('class="heat layer"') == 1


def test_a_strip_that_is_kept_on_the_way_is_that_of_a_video_read_again(make_grounding: MakeGrounding) -> None:
    frames = [frame_mask(index, score=0.9, grounded=index == 30) for index in range(100)]
    found = video_grounding(make_grounding, frames, key=30)
    again = video_entry("a.mp4", "the red cup", found, lambda: film(100))
    for count, reads in ((100, False), (None, True), (90, True), (200, True)):
        strip, read = Strip(count, 30, found.key), []
        for frame, mask in zip(film(100), frames, strict=True):
            strip.add(frame, mask)

        def reading(read: list[int] = read) -> Any:
            read.append(1)
            return film(100)

        assert video_entry("a.mp4", "the red cup", found, reading, strip) == again
        assert bool(read) == reads


def test_a_chart_of_five_frames_is_as_drawn_by_hand() -> None:
    scores = (1.0, 0.75, 0.5, 0.0, 0.25)
    chart = draw_chart(
        tuple(frame_mask(i, score=score, seen=i not in (2, 3), grounded=i in (0, 4)) for i, score in enumerate(scores))
    )
    assert chart.line == "0,0.0 100,25.0 200,50.0 300,100.0 400,75.0"
    assert chart.gaps == ((150.0, 100.0), (250.0, 100.0))
    assert chart.grounded == (0, 400)
    assert (chart.start, chart.end, chart.lowest, chart.highest, chart.mean, chart.seen) == (0, 0.4, 0, 1, 0.5, 3)


def test_a_chart_of_many_frames_keeps_its_size_and_its_dips() -> None:
    frames = tuple(frame_mask(index, score=0.01 if index == 4321 else 0.9) for index in range(10_000))
    chart = draw_chart(frames)
    heights = [float(point.split(",")[1]) for point in chart.line.split()]
    assert len(heights) <= CHART_WIDTH + 1
    assert sorted(set(heights)) == [10.0, 99.0]
    assert chart.gaps == ()


def test_a_video_of_one_frame_has_a_chart() -> None:
    chart = draw_chart((frame_mask(0, score=0.5, grounded=True),))
    assert (chart.line, chart.grounded) == (f"{CHART_WIDTH // 2},50.0", (CHART_WIDTH / 2,))
