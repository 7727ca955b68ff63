"""Fonts for any script: a label is written in letters or left out, and never in the boxes of a font that lacks them."""

from __future__ import annotations

import shutil
import subprocess
import unicodedata
import warnings
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from PIL import ImageFont, features

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# The first one found is used; Pillow's own font, which is always there, knows Latin letters only.
_FONT_FILES = {False: ("DejaVuSans.ttf", "Arial.ttf"), True: ("DejaVuSans-Bold.ttf", "Arial Bold.ttf")}
# Fonts of many scripts that systems come with, for texts which the first one has no letters for.
_MORE_FILES = (
    *("NotoSansCJK-Bold.ttc", "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "wqy-zenhei.ttc"),  # Linux
    *("DroidSansFallbackFull.ttf", "NotoSansArabic-Regular.ttf", "NotoEmoji-Regular.ttf", "Symbola.ttf"),
    *("msyh.ttc", "malgun.ttf", "meiryo.ttc", "YuGothM.ttc", "segoeui.ttf", "Nirmala.ttf", "seguiemj.ttf"),  # Windows
    *("PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf", "GeezaPro.ttc"),  # macOS
)
_NO_CHARACTER = "\uffff"  # by Unicode's promise, so that every font shows its box for it
_SHAPED = {"R", "AL"}  # bidirectional classes of letters that run from right to left


class Legible(NamedTuple):
    """What of a text can be written, and with what."""

    text: str
    face: Font


@cache
def font(size: int, *, bold: bool = False) -> Font:
    """A font for Latin letters about ``size`` pixels high."""
    for name in _FONT_FILES[bold]:
        face = _load(name, size)
        if face is not None:
            return face
    return ImageFont.load_default(size)


@lru_cache(maxsize=1024)
def legible(text: str, size: int, *, bold: bool = False) -> Legible:
    """What can be written of a text with a font of this system.

    The whole text where one font has all its letters, else the text without its emoji and other symbols, else nothing.
    A UserWarning says what was left out.
    """
    default = font(size, bold=bold)
    if text.isascii():
        return Legible(text, default)
    plain = " ".join("".join(c for c in text if unicodedata.category(c) not in ("So", "Sk", "Cf", "Cn")).split())
    for part in dict.fromkeys((text, plain)):
        face = default if _writes(default, part) else next(_others(part, size), None)
        if part and face is not None:
            if part != text:
                _tell(f"emoji are left out of the label {text!r}")
            return Legible(part, face)
    _tell(f"no installed font has the letters of {text!r}: the label is left out; install one, such as Noto Sans")
    return Legible("", default)


def _tell(message: str) -> None:
    warnings.warn(message, stacklevel=3)


def _others(text: str, size: int) -> Iterator[Font]:
    for name in (*_MORE_FILES, *_of_fontconfig(next(filter(_is_seen, text), "a"))):
        face = _load(name, size)
        if face is not None and _writes(face, text):
            yield face


@cache
def _load(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    try:
        return ImageFont.truetype(name, size)
    except (OSError, ValueError):  # there is none, or its letters are pictures of one size
        return None


def _writes(face: Font, text: str) -> bool:
    """Whether a font has every letter of a text; letters that run from right to left also need their shaping."""
    letters = [letter for letter in text if _is_seen(letter)]
    if any(unicodedata.bidirectional(letter) in _SHAPED for letter in letters) and not features.check("fribidi"):
        return False
    return all(_has(face, letter) for letter in letters)


def _is_seen(letter: str) -> bool:
    return not letter.isspace() and unicodedata.category(letter)[0] not in "MCZ"


def _has(face: Font, letter: str) -> bool:
    """Whether it looks other than the box for a character that does not exist."""
    if letter.isascii():
        return True
    shown, box = (face.getmask(each) for each in (letter, _NO_CHARACTER))
    return shown.size != box.size or bytes(shown) != bytes(box)


@cache
def _of_fontconfig(letter: str) -> tuple[str, ...]:
    """The files of fonts with a letter, where the system has fontconfig to ask."""
    program = shutil.which("fc-list")
    if program is None:
        return ()
    try:
        command = [program, "--format", "%{file}\n", f":charset={ord(letter):x}"]
        listed = subprocess.run(command, capture_output=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(sorted(set(listed.decode(errors="surrogateescape").splitlines())))
