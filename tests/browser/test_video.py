"""The films we write are played by a browser."""

from __future__ import annotations

import base64
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundkit.media.videos import Frame
from groundkit.outputs.formats.overlay import draw_overlay
from groundkit.outputs.video.mp4 import write_mp4
from groundkit.outputs.video.overlay import open_overlay

COLOURS = [(255, 255, 255), (0, 0, 0), (200, 30, 40), (20, 180, 60), (30, 40, 220), (128, 128, 128)]
RATE = 5
# Chromium takes 9 off the strong blue. Read as BT.601 instead of BT.709, that colour would lose 11 of its green.
NEAR = (6, 6, 10)

_LOAD = """
const [source, done] = arguments;
const film = document.createElement("video");
film.muted = true;
film.onerror = () => done({error: film.error.message});
film.onloadedmetadata = () => done({width: film.videoWidth, height: film.videoHeight, duration: film.duration});
document.body.append(film);
film.src = source;
"""
_PLAY = """
const done = arguments[0];
const film = document.querySelector("video");
film.onended = () => done(film.currentTime);
film.onerror = () => done(film.error.message);
film.play().catch((error) => done(String(error)));
"""
# "seeked" may come before the frame does; the callback comes with a frame, and says with which.
_COLOUR_AT = """
const [start, done] = arguments;
const film = document.querySelector("video");
function look(now, shown) {
  if (Math.abs(shown.mediaTime - start) > 0.01) return film.requestVideoFrameCallback(look);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [film.videoWidth, film.videoHeight];
  const brush = canvas.getContext("2d");
  brush.drawImage(film, 0, 0);
  done([...brush.getImageData(film.videoWidth >> 1, film.videoHeight >> 1, 1, 1).data].slice(0, 3));
}
film.requestVideoFrameCallback(look);
film.currentTime = start + 0.05;
"""


def load(browser: Any, film: Path) -> tuple[Any, dict[str, Any]]:
    """Open a page with a film in it, as data so that the page may look at its pixels; the driver and what was read."""
    page = film.with_suffix(".html")
    page.write_text("<!DOCTYPE html><title>film</title><body>")
    driver = browser.open(page)
    source = f"data:video/mp4;base64,{base64.b64encode(film.read_bytes()).decode()}"
    return driver, driver.execute_async_script(_LOAD, source)


@pytest.mark.parametrize(("width", "height"), [(48, 32), (17, 33), (49, 32), (1, 1), (321, 241)])
def test_a_film_plays_to_its_end_and_every_frame_has_its_colour(
    browser: Any, tmp_path: Path, width: int, height: int
) -> None:
    pictures = [np.full((height, width, 3), colour, np.uint8) for colour in COLOURS]
    driver, loaded = load(browser, write_mp4(tmp_path / "film.mp4", pictures, rate=RATE))
    # H.264 in 4:2:0 has even sides.
    assert (loaded["width"], loaded["height"]) == (width + width % 2, height + height % 2)
    assert loaded["duration"] == pytest.approx(len(COLOURS) / RATE, abs=1e-3)
    assert driver.execute_async_script(_PLAY) == pytest.approx(len(COLOURS) / RATE, abs=1e-3)
    for index in (3, 0, 5, 2, 1, 4):
        colour = driver.execute_async_script(_COLOUR_AT, index / RATE)
        assert (np.abs(np.array(colour) - COLOURS[index]) <= NEAR).all(), (index, colour)
    assert browser.complaints() == []


def test_an_overlay_plays_at_the_times_of_its_video_with_the_mask_drawn_in(browser: Any, tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 10), Fraction(1, 2), Fraction(1)]
    image = np.full((97, 129, 3), (90, 120, 150), np.uint8)
    masks = np.zeros((4, 1, 97, 129), np.bool_)
    masks[1::2, 0, 20:80, 30:100] = True
    with open_overlay(tmp_path / "film.mp4") as overlay:
        for index, seconds in enumerate(times):
            overlay.add(Frame(index, seconds, f"{index:05d}", image), masks[index])
    driver, loaded = load(browser, tmp_path / "film.mp4")
    assert (loaded["width"], loaded["height"]) == (130, 98)
    assert driver.execute_async_script(_PLAY) == pytest.approx(1.5, abs=1e-3)
    none = np.zeros((0, 3), np.float32)
    tinted, bare = (draw_overlay(image, each, none)[48, 64].astype(int) for each in (masks[1], masks[1, :0]))
    assert np.abs(tinted - bare).max() > 50
    for seconds, expected in zip(times, (bare, tinted, bare, tinted), strict=True):
        colour = driver.execute_async_script(_COLOUR_AT, float(seconds))
        assert (np.abs(np.array(colour) - expected) <= NEAR).all(), (seconds, colour)
    assert browser.complaints() == []
