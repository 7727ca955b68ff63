"""Words for scenes: captions to train on, and phrases that single out one object."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from groundkit.weights.training.scenes import LARGE, SMALL, Scene, SceneObject
from groundkit.weights.training.vocabulary import COLOURS, NOUNS

PREFIXES = ("a photo of", "a picture of", "there is", "this is", "an image with")
SUFFIXES = ("in the picture", "on the ground", "in this scene", "of the day", ".")
JOINTS = ("and", "with", "next to", "near", "by", ",")
PLACES = ("on the left", "on the right", "at the top", "at the bottom", "in the middle")


@dataclass(frozen=True)
class Mention:
    """What a caption may say of an object: everything but its mask."""

    noun: str
    colour: str | None
    side: float
    x: float
    y: float

    @classmethod
    def of(cls, item: SceneObject) -> "Mention":
        x, y = item.centre
        return cls(item.noun, item.colour, item.side, x, y)

    @property
    def place(self) -> str:
        """Where it is, in words: the farther axis from the middle decides."""
        across, down = self.x - 0.5, self.y - 0.5
        if max(abs(across), abs(down)) < 0.14:
            return PLACES[4]
        if abs(across) >= abs(down):
            return PLACES[0] if across < 0 else PLACES[1]
        return PLACES[2] if down < 0 else PLACES[3]


def _describe(item: Mention, rng: np.random.Generator) -> str:
    words = [str(rng.choice(("a", "the", ""), p=(0.5, 0.35, 0.15)))]
    if rng.random() < 0.25 and (item.side < SMALL or item.side > LARGE):
        words.append("small" if item.side < SMALL else "large")
    if item.colour and rng.random() < 0.65:  # a colour is easily learnt; alone, the noun has to tell what it is
        words.append(item.colour)
    words.append(item.noun)
    if rng.random() < 0.2:
        words.append(item.place)
    return " ".join(w for w in words if w)


def caption(mentions: tuple[Mention, ...], rng: np.random.Generator) -> str:
    """A caption that names all objects in any order, or only some of them."""
    order = [mentions[i] for i in rng.permutation(len(mentions))]
    if rng.random() < 0.35:
        order = order[: rng.integers(1, len(order) + 1)]
    text = _describe(order[0], rng)
    for item in order[1:]:
        joint = str(rng.choice(JOINTS, p=(0.35, 0.15, 0.1, 0.05, 0.05, 0.3)))
        text += (", " if joint == "," else f" {joint} ") + _describe(item, rng)
    if rng.random() < 0.2:
        text = f"{rng.choice(PREFIXES)} {text}"
    if rng.random() < 0.2:
        text = f"{text} {rng.choice(SUFFIXES)}"
    return text


@dataclass(frozen=True)
class Referral:
    """A phrase for one object of a scene, and what it takes to understand it.

    ``kind``: "noun" (the only one of its name), "colour" (one of several of its name, or of its colour), "position" and
    "size" (one of several that only a place or a size tells apart).
    """

    target: int
    phrase: str
    kind: str


def referrals(scene: Scene) -> list[Referral]:
    """Every phrase of the four kinds that is true of exactly one object of the scene."""
    objects = scene.objects
    nouns = Counter(o.noun for o in objects)
    pairs = Counter((o.colour, o.noun) for o in objects)
    colours = Counter(o.colour for o in objects)
    found = []
    for index, item in enumerate(objects):
        others = [o for o in objects if o is not item and o.noun == item.noun]
        if not others:
            found.append(Referral(index, f"the {item.noun}", "noun"))
        if item.colour and pairs[item.colour, item.noun] == 1 and all(o.colour for o in others):
            hard = nouns[item.noun] > 1 or colours[item.colour] > 1
            found.append(Referral(index, f"the {item.colour} {item.noun}", "colour" if hard else "noun"))
        twins = [o for o in others if o.colour == item.colour]
        if not twins or (item.colour is None and len(twins) != len(others)):
            continue
        name = f"{item.colour} {item.noun}" if item.colour else item.noun
        x, y = item.centre
        for phrase, margin in (
            (f"the {name} on the left", min(o.centre[0] for o in twins) - x),
            (f"the {name} on the right", x - max(o.centre[0] for o in twins)),
            (f"the {name} at the top", min(o.centre[1] for o in twins) - y),
            (f"the {name} at the bottom", y - max(o.centre[1] for o in twins)),
        ):
            if margin > 0.15:
                found.append(Referral(index, phrase, "position"))
        areas = [int(o.mask.sum()) for o in twins]
        if item.mask.sum() > 1.6 * max(areas):
            found.append(Referral(index, f"the largest {name}", "size"))
        if item.mask.sum() * 1.6 < min(areas):
            found.append(Referral(index, f"the smallest {name}", "size"))
    return found


def absent(scene: Scene, rng: np.random.Generator) -> str:
    """A phrase for something that is not in the scene: in half of them only the colour is wrong."""
    coloured = [o for o in scene.objects if o.colour and all(p.colour for p in scene.objects if p.noun == o.noun)]
    if coloured and rng.random() < 0.5:
        noun = coloured[rng.integers(len(coloured))].noun
        others = [c for c in COLOURS if c not in {o.colour for o in scene.objects if o.noun == noun}]
        return f"the {rng.choice(others)} {noun}"
    nouns = [noun for noun in NOUNS if noun not in {o.noun for o in scene.objects}]
    return f"the {rng.choice(list(COLOURS))} {rng.choice(nouns)}"
