"""Labels are written in letters or left out, never in boxes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from groundkit.outputs import letters
from groundkit.outputs.letters import font, legible
from groundkit.results import Grounding


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Choose the further fonts that this system seems to have."""

    def choose(*files: str) -> None:
        monkeypatch.setattr(letters, "_MORE_FILES", files)
        monkeypatch.setattr(letters, "_of_fontconfig", lambda letter: ())
        legible.cache_clear()

    choose()
    yield choose
    legible.cache_clear()


@pytest.fixture
def font_of_two_letters(tmp_path: Path) -> str:
    """A font in which 杯 is a triangle and 子 a wide block, and every other character a square."""
    builder = pytest.importorskip("fontTools.fontBuilder").FontBuilder(1000)
    pen = pytest.importorskip("fontTools.pens.ttGlyphPen").TTGlyphPen
    shapes = {
        ".notdef": [(0, 0), (0, 500), (500, 500), (500, 0)],
        "cup": [(0, 0), (400, 800), (800, 0)],
        "child": [(0, 0), (0, 200), (900, 200), (900, 0)],
    }
    glyphs = {}
    for name, corners in shapes.items():
        drawn = pen(None)
        drawn.moveTo(corners[0])
        for corner in corners[1:]:
            drawn.lineTo(corner)
        drawn.closePath()
        glyphs[name] = drawn.glyph()
    builder.setupGlyphOrder(list(shapes))
    builder.setupCharacterMap({ord("杯"): "cup", ord("子"): "child"})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(shapes, (1000, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Two letters", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, sTypoDescender=-200)
    builder.setupPost()
    builder.save(tmp_path / "two.ttf")
    return str(tmp_path / "two.ttf")


def label(make_grounding: Callable[..., Grounding], phrase: str) -> np.ndarray:
    image = np.full((200, 300, 3), 90, np.uint8)
    none = np.zeros((0, 3), np.float32)
    return make_grounding((100, 100, 160, 150), image=image, points=none, phrase=phrase, scores=np.ones(1, np.float32))


def test_latin_greek_and_cyrillic_keep_the_font_they_have_always_had(fonts: Callable[..., None]) -> None:
    for text in ("the red cup", "der Übergroße → Becher", "κόκκινο", "красная чашка"):
        assert legible(text, 20, bold=True) == (text, font(20, bold=True))


def test_letters_of_another_script_are_written_with_a_font_that_has_them(
    fonts: Callable[..., None], font_of_two_letters: str
) -> None:
    fonts("missing.ttf", font_of_two_letters)
    text, face = legible("杯子", 20)
    assert text == "杯子"
    assert isinstance(face, ImageFont.FreeTypeFont)
    assert face.path == font_of_two_letters
    with pytest.warns(UserWarning, match="no installed font has the letters of '杯水'"):
        assert legible("杯水", 20).text == ""


def test_without_a_font_the_label_is_left_out_and_told(
    fonts: Callable[..., None], make_grounding: Callable[..., Grounding]
) -> None:
    overlays = []
    for phrase in ("杯子", "컵", "🥤"):
        with pytest.warns(UserWarning, match=f"no installed font has the letters of '{phrase}': the label is left out"):
            overlays.append(label(make_grounding, phrase).overlay())
    assert all((each == overlays[0]).all() for each in overlays)  # boxes would be two or one
    plain = label(make_grounding, "").overlay()
    assert ((overlays[0] != plain).any(axis=2).sum(axis=0) > 0).sum() < 60  # the score alone


def test_emoji_among_words_are_left_out_and_told(
    fonts: Callable[..., None], make_grounding: Callable[..., Grounding]
) -> None:
    with pytest.warns(UserWarning, match="emoji are left out of the label 'the 🥤 cup'"):
        drawn = label(make_grounding, "the 🥤 cup").overlay()
    np.testing.assert_array_equal(drawn, label(make_grounding, "the cup").overlay())


def test_letters_from_right_to_left_need_shaping(fonts: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters.features, "check", lambda name: False)
    with pytest.warns(UserWarning, match="no installed font has the letters"):
        assert legible("كوب", 20).text == ""
