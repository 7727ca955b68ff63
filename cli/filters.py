"""Options for classes and for the clean-up of masks, which several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from groundkit.errors import ConfigError, unknown

MinScoreOption = Annotated[
    float, typer.Option(min=0, max=1, help="Leave out masks with a lower score of the segmenter, 0 to 1.")
]
MinAreaOption = Annotated[
    float, typer.Option(min=0, help="Leave out smaller masks: below 1 a share of the picture, from 1 on pixels.")
]
MaxAreaOption = Annotated[
    float | None, typer.Option(min=0, help="Leave out larger masks: below 1 a share of the picture, from 1 on pixels.")
]
CleanOption = Annotated[
    float,
    typer.Option(
        min=0,
        help="Fill holes and remove specks smaller than this: below 1 a share of the picture, from 1 on pixels. "
        "0: off.",
    ),
]
SmoothOption = Annotated[
    float,
    typer.Option(min=0, max=100, help="Round off boundaries by a Gaussian of this standard deviation, in pixels."),
]
ClassesOption = Annotated[
    Path | None,
    typer.Option("--classes", metavar="FILE", help="Names of classes, one per line, in the order of their numbers."),
]


def read_labels(pairs: Iterable[str]) -> dict[str, str]:
    """Classes by phrase, of texts such as ``the red cup=cup``. Raises ConfigError for one without both."""
    labels: dict[str, str] = {}
    for pair in pairs:
        phrase, sign, label = (part.strip() for part in pair.rpartition("="))
        if not (phrase and sign and label):
            raise ConfigError(f'{pair!r}: write PHRASE=CLASS, such as "the red cup=cup"')
        if labels.setdefault(phrase, label) != label:
            raise ConfigError(f"{phrase!r} has two classes: {labels[phrase]} and {label}")
    return labels


def parted(phrases: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Phrases of ``-p``, and the classes by phrase of those that have one: ``the red cup=cup``.

    The class of a text with several phrases, ``red cup . blue cup=cup``, holds for each of them.
    """
    from groundkit.language.several import parts_of

    plain: list[str] = []
    labels: dict[str, str] = {}
    for text in phrases:
        if "=" not in text:
            plain.append(text)
            continue
        ((phrase, label),) = read_labels([text]).items()
        parts = parts_of(phrase)
        pairs = [f"{part}={label}" for part in (parts if len(parts) > 1 else [phrase])]
        labels |= read_labels([*(f"{known}={name}" for known, name in labels.items()), *pairs])
        plain.append(phrase)
    return plain, labels


def checked(labels: dict[str, str], classes: tuple[str, ...]) -> dict[str, str]:
    """The classes by phrase. Raises ConfigError for one that the file of ``--classes`` lacks."""
    for label in labels.values():
        if classes and label not in classes:
            raise ConfigError(unknown("class", label, classes))
    return labels


def read_classes(path: Path | None) -> tuple[str, ...]:
    """The names in a file, without empty lines and repeats; none without a file."""
    from groundkit.language.vocabulary import read_vocabulary

    return () if path is None else tuple(read_vocabulary(path))
