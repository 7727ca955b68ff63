"""Masks as ``supervision.Detections``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from groundkit.errors import ConfigError, GroundkitError, unknown
from groundkit.results import Discovery, Grounding

if TYPE_CHECKING:
    from supervision import Detections


def to_supervision(found: Grounding | Discovery, classes: Sequence[str] = ()) -> Detections:
    """One detection per mask; ``data["class_name"]`` is its phrase or label, ``class_id`` the place in ``classes``.

    Without ``classes``, labels are numbered in the order in which they come.

    Raises:
        ConfigError: a label that ``classes`` lacks.
        GroundkitError: when supervision is not installed.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise GroundkitError('supervision is not installed: pip install "groundkit-vision[supervision]"') from error
    labels = [found.phrase] * len(found.run_lengths) if isinstance(found, Grounding) else list(found.labels)
    names = list(classes) or list(dict.fromkeys(labels))
    for label in labels:
        if label not in names:
            raise ConfigError(unknown("class", label, names))
    return Detections(
        xyxy=found.boxes,
        mask=found.masks,
        confidence=found.scores,
        class_id=np.array([names.index(label) for label in labels], dtype=int),
        data={"class_name": np.array(labels, dtype=str)},
    )
