"""A run as one HTML file: every input and phrase with its picture, heatmap, points, mask and scores.

The file holds everything it shows and asks for nothing else: it opens from a disk, in a mail, or years later. Texts of
users are escaped by Jinja; a policy in the page also keeps the browser from running any script but ours.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import EISDIR
from functools import cache
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from groundkit.outputs.atomic import atomic_path, os_errors_as_input_errors
from groundkit.report.layers import draw_layers, shrink_heat
from groundkit.report.video import CHART_HEIGHT, CHART_WIDTH, Strip, draw_chart, draw_strip

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from jinja2 import Environment, Template

    from groundkit.pipelines.video import AnyFrame
    from groundkit.results import Grounding, VideoGrounding

_PLACE = "<!-- entries -->"


@contextmanager
def open_report(path: Path | None) -> Iterator[ReportWriter]:
    """Begin a report; it appears under its name when the ``with`` block ends well, and nothing of it stays otherwise.

    Entries wait in a file without a name beside ``path``: memory does not grow with their number, and a process that is
    killed leaves nothing behind. With None nothing is drawn and nothing is written.

    Raises:
        InputError: when the place cannot be written to; at once, if that can be told.
    """
    if path is None:
        yield ReportWriter(Path(), None)
        return
    with os_errors_as_input_errors(path):
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        # The name of a file may hold bytes that are no text: they become question marks.
        waiting = TemporaryFile("w+", encoding="utf-8", errors="replace", newline="", dir=path.parent)  # noqa: SIM115
    try:
        yield ReportWriter(path, waiting)
        before, after = _page()
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(before)
            waiting.seek(0)
            shutil.copyfileobj(waiting, file)
            file.write(after)
    finally:
        with suppress(OSError):  # a full disk, which has been told
            waiting.close()


class ReportWriter:
    """Takes the entries of a report in the order in which it shows them; made by ``open_report``.

    Each method raises InputError when the disk is full.
    """

    def __init__(self, path: Path, waiting: IO[str] | None) -> None:
        self._path = path
        self._waiting = waiting

    def add(self, entry: str) -> None:
        """Add an entry: of ``picture_entry``, ``video_entry`` or ``failure_entry``. Does nothing without a file."""
        if self._waiting is not None:
            with os_errors_as_input_errors(self._path):
                self._waiting.write(entry)


def picture_entry(source: str, phrase: str, found: Grounding, heat: npt.NDArray[np.uint8] | None = None) -> str:
    """One picture and phrase as a piece of HTML, the same bytes for the same result.

    Args:
        source: the input as the user named it.
        phrase: what was looked for.
        found: the result.
        heat: of ``shrink_heat``, where the result's own heatmap is not kept.
    """
    return _template("picture.html").render(
        source=source,
        phrase=phrase,
        status="found" if found.run_lengths else "empty",
        score=float(found.scores.max()) if len(found.scores) else None,
        evidence=found.evidence.score if found.evidence else None,
        method=f"{found.pipeline} · {found.model}",
        size=(found.image.shape[1], found.image.shape[0]),
        layers=draw_layers(
            found.image,
            found.masks,
            found.points,
            shrink_heat(found.heatmap) if heat is None else heat,
        ),
        scores=[float(score) for score in found.scores],
    )


def video_entry(
    source: str,
    phrase: str,
    found: VideoGrounding,
    frames: Callable[[], Iterable[AnyFrame]],
    strip: Strip | None = None,
    heat: npt.NDArray[np.uint8] | None = None,
) -> str:
    """One video and phrase as a piece of HTML, the same bytes for the same result.

    Args:
        source: the input as the user named it.
        phrase: what was looked for.
        found: what was found.
        frames: starts reading the video once more, where the strip does not hold what it should.
        strip: what was kept when the video was followed.
        heat: of ``shrink_heat`` and the key frame, where its heatmap is not kept.
    """
    chart = draw_chart(found.frames)
    kept = (strip.frames(found, chart) if strip else None) or draw_strip(found, frames(), chart, heat)
    return _template("video.html").render(
        source=source,
        phrase=phrase,
        status="found" if chart.seen else "empty",
        score=chart.mean,
        evidence=found.key.evidence.score if found.key.evidence else None,
        method=f"{found.pipeline} · {found.model} · {found.tracker}",
        size=(found.key.image.shape[1], found.key.image.shape[0]),
        count=len(found.frames),
        chart=chart,
        box=(CHART_WIDTH, CHART_HEIGHT),
        strip=kept,
        first=[frame.key for frame in kept].index(True),
    )


def failure_entry(source: str, phrase: str | None, error: object) -> str:
    """An input and phrase without a result as a piece of HTML; the error is shown as text."""
    return _template("failure.html").render(source=source, phrase=phrase or "", error=str(error))


def _page() -> tuple[str, str]:
    """The page's text before the entries and after them."""
    style, script = (_source(name) for name in ("report.css", "report.js"))
    page = _template("report.html").render(
        style=style, script=script, style_hash=_hash(style), script_hash=_hash(script)
    )
    before, _, after = page.partition(_PLACE)
    return before, after


def _hash(text: str) -> str:
    """How a content security policy names the one script or style sheet that counts."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # not before a report is asked for

    return Environment(
        loader=PackageLoader("groundkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template(name: str) -> Template:
    return _environment().get_template(name)


def _source(name: str) -> str:
    return files("groundkit.report").joinpath("templates", name).read_text(encoding="utf-8")
