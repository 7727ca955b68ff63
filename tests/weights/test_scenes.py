import numpy as np
import pytest

from groundkit.weights.training.captions import Mention, caption, referrals
from groundkit.weights.training.scenes import EASY, FULL
from groundkit.weights.training.sprites import tint
from groundkit.weights.training.vocabulary import COLOURS

SEEDS = range(40)


def test_a_seed_gives_the_same_scene_again_and_another_seed_another(maker):
    first, again, other = maker.scene(7), maker.scene(7), maker.scene(8)
    np.testing.assert_array_equal(first.image, again.image)
    assert [(o.noun, o.colour) for o in first.objects] == [(o.noun, o.colour) for o in again.objects]
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("style", [EASY, FULL])
def test_masks_are_disjoint_and_no_object_is_hidden(maker, style):
    for seed in SEEDS:
        scene = maker.scene(seed, style)
        assert scene.image.shape == (style.size, style.size, 3)
        assert len(scene.objects) <= style.objects[1]
        stacked = np.stack([o.mask for o in scene.objects])
        assert stacked.sum(axis=0).max() == 1
        assert stacked.sum(axis=(1, 2)).min() > 40


def test_a_mask_is_where_the_objects_colour_is(maker):
    distances = []
    for seed in SEEDS:
        scene = maker.scene(seed)
        for item in scene.objects:
            if item.colour in ("red", "green", "blue", "yellow"):
                mean = scene.image[item.mask].mean(axis=0)
                distances.append({c: np.abs(mean - COLOURS[c][1]).sum() for c in ("red", "green", "blue", "yellow")})
                assert min(distances[-1], key=distances[-1].get) == item.colour
    assert len(distances) > 10


@pytest.mark.parametrize("colour", COLOURS)
def test_a_tint_keeps_the_outline_and_comes_nearest_to_its_own_colour(colour):
    y, x = np.mgrid[:40, :40]
    rgba = np.dstack([x * 6, y * 6, x + y, (x > 5) * 255]).astype(np.uint8)
    tinted = tint(rgba, colour)
    np.testing.assert_array_equal(tinted[..., 3], rgba[..., 3])
    mean = tinted[..., :3][x > 5].mean(axis=0)
    ramps = {name: np.mean(ramp, axis=0) for name, ramp in COLOURS.items()}
    assert min(ramps, key=lambda name: np.abs(ramps[name] - mean).sum()) == colour


def test_a_referral_is_true_of_its_target_alone(maker):
    kinds = set()
    for seed in range(120):
        scene = maker.scene(seed)
        for referral in referrals(scene):
            target = scene.objects[referral.target]
            kinds.add(referral.kind)
            words = referral.phrase.split()
            named = [o for o in scene.objects if f" {o.noun} " in f"{referral.phrase} "]
            if any(colour in words for colour in COLOURS):
                named = [o for o in named if o.colour == target.colour]
                assert target.colour in words
            assert any(o is target for o in named)
            if referral.kind in ("noun", "colour"):
                assert len(named) == 1
            elif "largest" in words:
                assert target.mask.sum() == max(o.mask.sum() for o in named)
            elif "left" in words:
                assert target.centre[0] == min(o.centre[0] for o in named)
    assert kinds == {"noun", "colour", "position", "size"}


def test_captions_say_only_what_is_there_and_now_and_then_leave_something_out(maker):
    mentions = tuple(Mention.of(o) for o in maker.scene(3).objects)
    rng = np.random.default_rng(0)
    texts = [caption(mentions, rng) for _ in range(200)]
    nouns, colours = {m.noun for m in mentions}, {m.colour for m in mentions}
    for text in texts:
        words = set(text.replace(",", "").split())
        assert words & set(COLOURS) <= colours
        assert any(noun in text for noun in nouns)
    assert any(all(noun in text for noun in nouns) for text in texts)
    assert any(not all(noun in text for noun in nouns) for text in texts)
