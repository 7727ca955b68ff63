"""Everything groundkit raises on purpose. Each message is one line that says what to do next.

GroundkitError
├── InputError          a picture, a phrase or an output place that cannot be used; other inputs still run
│   ├── ImageError
│   └── PhraseError
├── ModelError          a model or segmenter that cannot be loaded or does not fit the job
│   ├── AttentionError  a wanted layer whose attention could not be read
│   └── OutOfMemoryError  memory ran out, on the GPU or the main memory
├── ConfigError         a setting that does not exist or has no valid value (a usage error)
├── StageError          a stage that returned what no stage may: a fault of the stage, whatever the picture
└── CancelledError      the caller's ``cancel`` stopped a call
"""

from __future__ import annotations

from collections.abc import Iterable


class GroundkitError(Exception):
    """Base of every expected failure. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class InputError(GroundkitError):
    """An input that cannot be used."""


class ImageError(InputError):
    """A picture that cannot be read."""


class PhraseError(InputError):
    """A phrase with nothing to look for."""


class ModelError(GroundkitError):
    """A model or segmenter that cannot be loaded, or does not fit the job."""


class AttentionError(ModelError):
    """A wanted layer whose attention could not be read."""


class OutOfMemoryError(ModelError):
    """Memory ran out, on the GPU or the main memory, while a model was loaded or ran."""


class ConfigError(GroundkitError):
    """A setting that does not exist, or a value it cannot take."""

    exit_code = 2


class StageError(GroundkitError):
    """A stage returned something other than attention maps that fit together: the stage must be mended."""


STOPS = (ConfigError, StageError)
"""Errors that end a run: no other phrase or picture would fare better."""


class CancelledError(GroundkitError):
    """A call was stopped by its ``cancel``."""

    exit_code = 130


def unknown(kind: str, name: object, choices: Iterable[str], meant: str | None = None) -> str:
    """What to say of a name that does not exist: the one that was ``meant``, or is most alike, and all that exist."""
    import difflib

    known = list(choices)
    close = [meant] if meant else difflib.get_close_matches(str(name).lower(), known, n=1)
    guess = f", did you mean {close[0]}? Use" if close else ": use"
    return f"no {kind} named {str(name)!r}{guess} one of {', '.join(known)}"


def explain_opencv(error: ImportError) -> GroundkitError | None:
    """What to do where OpenCV is installed and cannot be imported, as in a slim container; None for other packages."""
    if error.name != "cv2" and not any(word in str(error) for word in ("libGL", "libgthread", "cv2")):
        return None
    return GroundkitError(
        f"OpenCV cannot be imported ({error}): apt-get install libgl1 libglib2.0-0, or "
        "pip uninstall opencv-python && pip install opencv-python-headless"
    )
