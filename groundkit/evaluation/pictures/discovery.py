"""How much of what is in a picture was found by its name, and how much of what was found is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from groundkit.errors import InputError
from groundkit.evaluation.metrics import Interval, bootstrap_ratios
from groundkit.evaluation.pictures.cases import Case, read_mask
from groundkit.evaluation.text import read_text
from groundkit.language.tagging import lemma
from groundkit.language.words import plain
from groundkit.masks.geometry import mask_iou
from groundkit.results import Discovery


@dataclass(frozen=True)
class TrueObject:
    """An object of a picture: its noun, and the path of its mask, a PNG whose pixels on the object are not zero."""

    noun: str
    mask: Path


@dataclass(frozen=True)
class DiscoveryCase:
    """A picture and every object in it."""

    image: Path
    objects: tuple[TrueObject, ...]

    def masks(self, height: int, width: int) -> npt.NDArray[np.bool_]:
        """Bool ``(objects, height, width)``.

        Raises:
            InputError: a mask that cannot be read, is empty, or has another size.
        """
        cases = [Case(each.noun, self.image, each.noun, each.mask) for each in self.objects]
        return np.array([read_mask(case, height, width) for case in cases], np.bool_).reshape(-1, height, width)


@dataclass(frozen=True)
class Count:
    """One picture's score: objects found by their name, objects there are, and objects claimed."""

    found: int
    there: int
    claimed: int


class DiscoveryMetrics(TypedDict):
    """Over a set of pictures, each with a 95 % bootstrap interval over the pictures."""

    n: int
    recall: Interval
    precision: Interval


def read_discovery_cases(path: Path, limit: int | None = None) -> list[DiscoveryCase]:
    """Read a JSON-lines file: ``{"image", "objects": [{"noun", "mask"}]}`` a line, other fields passed over.

    Args:
        path: the file; the paths in it are relative to it.
        limit: read at most this many lines.

    Raises:
        InputError: when the file cannot be read, has no cases, or has a bad line; file and line are named.
    """
    lines = read_text(path).splitlines()
    cases = []
    for number, line in list(enumerate(lines, start=1))[:limit]:
        try:
            fields = json.loads(line)
            objects = tuple(TrueObject(each["noun"], path.parent / each["mask"]) for each in fields["objects"])
            cases.append(DiscoveryCase(path.parent / fields["image"], objects))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InputError(f"{path}:{number}: not an image with objects of noun and mask") from error
    if not cases:
        raise InputError(f"{path} has no cases: write one JSON object per line with image and objects")
    return cases


def count_found(
    found: Discovery, nouns: Sequence[str], truths: npt.NDArray[np.bool_], *, overlap: float = 0.5
) -> Count:
    """Match what was found with what is there.

    An object is found when a mask overlaps its own by an IoU of ``overlap`` or more under a label that ends in its
    noun, in singular or plural ("red cup" and "cups" are a cup). The best-scored masks choose first, and each object
    and each mask counts once: a second mask of the same object is a false claim.

    Args:
        found: what was found.
        nouns: of the K true objects.
        truths: bool ``(K, height, width)``.
        overlap: minimum IoU of a match.
    """
    left = set(range(len(nouns)))
    masks = found.masks
    for index in np.argsort(-found.scores, kind="stable"):
        mask, label = masks[index], found.labels[index]
        overlaps = {k: mask_iou(mask, truths[k]) for k in left if _same_noun(label, nouns[k])}
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        if best is not None and overlaps[best] >= overlap:
            left.remove(best)
    return Count(len(nouns) - len(left), len(nouns), len(found.labels))


def measure_discovery(runs: Sequence[Sequence[Count]], *, resamples: int = 2000, seed: int = 0) -> DiscoveryMetrics:
    """Recall and precision over pictures.

    Args:
        runs: each picture's counts, one for each seed, which are added up.
        resamples: bootstrap samples of the pictures.
        seed: of the resampling.
    """
    sums = np.array(
        [[sum(c.found for c in row), sum(c.there for c in row), sum(c.claimed for c in row)] for row in runs],
        dtype=np.float64,
    ).reshape(-1, 3)
    found, there, claimed = sums.T
    recall, precision = bootstrap_ratios(np.stack([found, found]), np.stack([there, claimed]), resamples, seed)
    return {"n": len(runs), "recall": recall, "precision": precision}


def _same_noun(label: str, noun: str) -> bool:
    words, wanted = _words(label), _words(noun)
    return words[-len(wanted) :] == wanted


def _words(name: str) -> list[str]:
    """Its words in lower case, the last in the singular."""
    *before, last = plain(name).split()
    return [*before, lemma(last)]
