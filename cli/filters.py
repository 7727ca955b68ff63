"""Options for classes and for the clean-up of masks, which several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from groundkit.errors import ConfigError

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


def read_classes(path: Path | None) -> tuple[str, ...]:
    """The names in a file, without empty lines and repeats; none without a file."""
    from groundkit.language.vocabulary import read_vocabulary

    return () if path is None else tuple(read_vocabulary(path))
