"""VL-SAM on a stand-in that looks where the named colour is, and on a tiny LLaVA of the real class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch

from groundkit.attention.grids import TokenGrid
from groundkit.attention.heads import HeadWeights
from groundkit.attention.layers import KeptMatrix, LayerAttention
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError, PhraseError
from groundkit.language import Role, Token
from groundkit.masks.geometry import mask_iou
from groundkit.models.vision_language.base import Conversation, EncodedPicture, PlacedGrid
from groundkit.models.vision_language.look import Reading
from groundkit.models.vision_language.picture_sizes import PictureSize
from groundkit.pipelines.decaf import DecAF
from groundkit.pipelines.vlsam import ASK_FOR_QUESTIONS, PRESETS, QUESTIONS, VLSAM, read_config
from groundkit.results import Failure
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.tokens import Tokens
from groundkit.stages.trace import Trace

Pixels = npt.NDArray[np.uint8]
COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220), "green": (20, 200, 20)}
NOUNS = {"red": "cup", "blue": "ball", "green": "lemon"}
GRID, LAYERS = 16, 4


def picture(*objects: tuple[str, int, int, int], size: tuple[int, int] = (128, 128)) -> Pixels:
    """A grey picture with squares: colour, x, y, side."""
    image = np.full((*size, 3), 128, dtype=np.uint8)
    for colour, x, y, side in objects:
        image[y : y + side, x : x + side] = COLOURS[colour]
    return image


def is_of(image: Pixels, colour: str) -> npt.NDArray[np.bool_]:
    return np.asarray((np.abs(image.astype(int) - COLOURS[colour]) < 30).all(axis=-1))


class Words:
    """One token a word; the ids are places in a growing list."""

    unk_token_id = None

    def __init__(self) -> None:
        self.words: list[str] = []

    def __call__(self, text: str, add_special_tokens: bool = True) -> Any:
        ids = []
        for word in text.replace(",", " ,").split():
            if word not in self.words:
                self.words.append(word)
            ids.append(self.words.index(word))
        return SimpleNamespace(input_ids=ids)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        return " ".join(self.words[i] for i in ids)

    def convert_ids_to_tokens(self, ids: Sequence[int]) -> list[str]:
        return [self.words[i] for i in ids]


@dataclass
class PlantedModel:
    """Names the colours it sees; each colour's words look at the patches that have it, everything at the first token.

    ``names_nothing`` makes it silent.
    """

    name: str = "planted"
    causal: bool = True
    layer_names: tuple[str, ...] = tuple(f"layers.{index}" for index in range(LAYERS))
    names_nothing: bool = False
    picture_size: PictureSize | None = None
    listing_questions: tuple[str, ...] = ()
    phrase_question: str = ""
    tokenizer: Words = field(default_factory=Words)
    encoded: int = 0
    questions: list[str] = field(default_factory=list)

    def encode(self, image: Pixels, framing: str = "pad") -> EncodedPicture:
        self.encoded += 1
        return EncodedPicture(image, None)

    def answer_ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text).input_ids
        return ids

    def ask(self, picture: EncodedPicture, question: str, answer: Sequence[int] = ()) -> Conversation:
        start = 1 + GRID * GRID + 3
        self.questions.append(question)
        view = PlacedGrid(torch.arange(1, 1 + GRID * GRID), TokenGrid((GRID, GRID)))
        asked = Conversation(picture, {"input_ids": torch.zeros(1, start).long()}, (view,), range(start, start))
        return self.add_answer(asked, answer)

    def add_answer(self, conversation: Conversation, answer: Sequence[int]) -> Conversation:
        start = conversation.answer.start
        ids = torch.cat([conversation.inputs["input_ids"], torch.tensor([list(answer)]).long()], dim=1)
        return replace(conversation, inputs={"input_ids": ids}, answer=range(start, start + len(answer)))

    def generate(self, conversation: Conversation, **_: Any) -> list[int]:
        image = conversation.picture.image
        seen = [] if self.names_nothing else [colour for colour in COLOURS if is_of(image, colour).any()]
        ids: list[int] = self.tokenizer(", ".join(f"a {colour} {NOUNS[colour]}" for colour in seen)).input_ids
        return ids

    def read_layers_each(self, talks: Sequence[Conversation], **how: Any) -> list[list[LayerAttention]]:
        return [self.read_layers(talk, **how) for talk in talks]

    def read_layers(self, talk: Conversation, *, weights: HeadWeights, layers: str, **_: Any) -> list[LayerAttention]:
        ids = talk.inputs["input_ids"][0].tolist()
        scores = torch.zeros(len(ids), len(ids))
        scores[:, 0] = 4
        for place in talk.answer:
            word = self.tokenizer.words[ids[place]]
            colour = next((c for c in COLOURS if word in (c, NOUNS[c])), None)
            if colour:
                cells = cv2.resize(is_of(talk.picture.image, colour).astype(np.float32), (GRID, GRID), interpolation=3)
                scores[place, 1 : 1 + GRID * GRID] = 4 * torch.from_numpy(cells).flatten()
        matrix = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf).softmax(-1)
        return [KeptMatrix(len(ids), torch.ones(1), (0,), (0.5 * matrix,))] * LAYERS


class SameColour:
    """Answers a point with everything of its colour that hangs together; the more of the picture, the less sure."""

    name = "same colour"

    def embed(self, image: Pixels) -> Pixels:
        return image

    def segment(self, embedding: Pixels, prompts: PointPrompts, **_: object) -> MaskProposals:
        x, y = prompts.xy[0].astype(int)
        same = (np.abs(embedding.astype(int) - embedding[y, x]) < 30).all(axis=-1)
        _, labels = cv2.connectedComponents(same.astype(np.uint8))
        mask = labels == labels[y, x]
        return MaskProposals(mask[None], np.array([1 - mask.mean()], dtype=np.float32), mask[None].astype(np.float32))


def pipeline(model: PlantedModel, preset: str = "vlsam", **settings: object) -> VLSAM:
    method = DecAF if preset == "decaf" else VLSAM
    return method(model, SameColour(), read_config(PRESETS[preset], settings))  # type: ignore[arg-type]


SCENE = picture(("red", 8, 8, 30), ("blue", 80, 16, 24), ("green", 40, 84, 36))


@pytest.mark.parametrize("refine", ["none", "cascade", "mask_in", "mask_out"])
@pytest.mark.parametrize("multi_scale", [False, True])
def test_every_object_is_found_once_with_its_name_and_mask(multi_scale: bool, refine: str) -> None:
    found = pipeline(PlantedModel(), crop_shares=(0.5,) if multi_scale else (), refinement=refine).discover(SCENE)
    assert sorted(found.labels) == ["blue ball", "green lemon", "red cup"]
    for label, mask in zip(found.labels, found.masks, strict=True):
        np.testing.assert_array_equal(mask, is_of(SCENE, label.split()[0]))
    assert list(found.scores) == sorted(found.scores, reverse=True)


def test_points_lie_on_the_object_and_off_it_in_the_frame_of_the_picture_also_from_a_crop() -> None:
    found = pipeline(PlantedModel()).discover(SCENE)
    for label, points in zip(found.labels, found.points, strict=True):
        on = is_of(SCENE, label.split()[0])
        for x, y, positive in points:
            assert on[int(y), int(x)] == bool(positive)


def test_an_object_that_a_crop_cuts_is_taken_whole() -> None:
    scene = picture(("red", 44, 44, 40))  # over the middle: every crop sees a quarter of it
    found = pipeline(PlantedModel()).discover(scene)
    assert found.labels == ("red cup",)
    np.testing.assert_array_equal(found.masks[0], is_of(scene, "red"))


def test_each_picture_and_crop_is_encoded_once_whatever_is_asked() -> None:
    model = PlantedModel()
    pipeline(model).discover(SCENE)
    assert model.encoded == 5
    assert set(model.questions) == set(QUESTIONS)


def test_the_segmenter_encodes_only_what_something_was_named_in() -> None:
    class Counting(SameColour):
        embedded = 0

        def embed(self, image: Pixels) -> Pixels:
            self.embedded += 1
            return image

    method = pipeline(PlantedModel())
    method.segmenter = counting = Counting()  # type: ignore[assignment]
    found = method.discover(picture(("red", 8, 8, 30)))  # in one of the four corners
    assert found.labels == ("red cup",)
    assert counting.embedded == 2  # the whole, and that corner
    method.discover(picture())
    assert counting.embedded == 2


def test_ensembles_can_be_switched_off() -> None:
    model = PlantedModel()
    pipeline(model, crop_shares=(), questions="one").discover(SCENE)
    assert model.encoded == 1
    assert set(model.questions) == {QUESTIONS[0]}


def test_of_several_masks_the_rule_takes_the_surest_or_the_one_that_agrees_with_the_map() -> None:
    class SurerOfEverything(SameColour):
        def segment(self, embedding: Pixels, prompts: PointPrompts, **options: object) -> MaskProposals:
            own = super().segment(embedding, prompts, **options)
            masks = np.stack([np.ones_like(own.masks[0]), own.masks[0]])
            return MaskProposals(masks, np.array([0.9, 0.8], np.float32), masks.astype(np.float32))

    for rule, expected in (("score", np.ones((128, 128), np.bool_)), ("agreement", is_of(SCENE, "red"))):
        config = read_config({"mask_rule": rule, "refinement": "none"})
        grounding = VLSAM(PlantedModel(), SurerOfEverything(), config)(SCENE, "the red cup")  # type: ignore[arg-type]
        np.testing.assert_array_equal(grounding.mask, expected)


@pytest.mark.parametrize("spatial_bias", [True, False])
def test_sizes_compare_the_masks_at_the_map_s_peaks(spatial_bias: bool) -> None:
    scene = picture(("red", 8, 8, 40), ("red", 80, 80, 24))
    small = np.zeros((128, 128), np.bool_)
    small[80:104, 80:104] = True
    found = pipeline(PlantedModel(), stages="+places" if spatial_bias else "+negation", refinement="none")
    largest, smallest = found(scene, ["the largest red cup", "the smallest red cup"])
    assert np.array_equal(largest.mask, smallest.mask) != spatial_bias
    if spatial_bias:
        np.testing.assert_array_equal(largest.mask, is_of(scene, "red") & ~small)
        np.testing.assert_array_equal(smallest.mask, small)


def test_a_model_that_names_nothing_finds_nothing() -> None:
    found = pipeline(PlantedModel(names_nothing=True)).discover(SCENE)
    assert found.labels == ()
    assert found.masks.shape == (0, 128, 128)
    assert found.groundings() == []
    assert found.overlay().shape == SCENE.shape


@dataclass
class BoastingModel(PlantedModel):
    """Names every colour there is, but owns to the truth when it is asked for one."""

    def generate(self, conversation: Conversation, **_: Any) -> list[int]:
        ids: list[int] = self.tokenizer(", ".join(f"a {colour} {NOUNS[colour]}" for colour in COLOURS)).input_ids
        return ids

    def agrees_each(self, conversations: Sequence[Conversation], **_: Any) -> list[float]:
        asked_for = [
            next(colour for colour in COLOURS if colour in question)
            for question in self.questions[len(self.questions) - len(conversations) :]
        ]
        return [
            0.9 if is_of(conversation.picture.image, colour).any() else 0.1
            for conversation, colour in zip(conversations, asked_for, strict=True)
        ]


def test_a_name_that_the_model_does_not_stand_by_is_left_out_and_belief_weighs_the_others() -> None:
    scene = picture(("red", 8, 8, 30), ("blue", 80, 16, 24))
    model = BoastingModel()
    one = {"crop_shares": (), "questions": "one"}
    sure = pipeline(model, min_verification=0.5, **one).discover(scene)
    assert sorted(sure.labels) == ["blue ball", "red cup"]
    assert model.questions[1:] == [f"Is there a {c} {NOUNS[c]} in the image?" for c in COLOURS]
    unasked = pipeline(BoastingModel(), **one).discover(scene)
    assert "green lemon" in unasked.labels
    for label, score in zip(sure.labels, sure.scores, strict=True):
        assert score == pytest.approx(0.9 * unasked.scores[unasked.labels.index(label)])


def test_a_name_is_asked_for_once_in_each_picture_and_crop() -> None:
    model = BoastingModel()
    pipeline(model, min_verification=0.5).discover(SCENE)
    assert sum(question.startswith("Is there a red cup") for question in model.questions) == 5


def test_counted_a_name_has_no_more_masks_than_one_answer_gave_it_however_many_crops_show_it() -> None:
    # The same cup lies in the whole picture and in overlapping crops; masks are kept apart by an overlap of 1.
    scene = picture(("red", 50, 50, 24))
    every = {"questions": "one", "crop_shares": (0.9,), "max_overlap": 1.0}
    assert len(pipeline(PlantedModel(), **every).discover(scene).labels) > 1
    assert pipeline(PlantedModel(), count_repeats=True, **every).discover(scene).labels == ("red cup",)


def test_verified_on_the_whole_picture_a_name_is_asked_for_there_once_whatever_crop_it_came_from() -> None:
    model = BoastingModel()
    found = pipeline(model, min_verification=0.5, verify_on="whole").discover(SCENE)
    assert sum(question.startswith("Is there a red cup") for question in model.questions) == 1
    # In most crops most colours are missing, so that there a name would be refused that the whole picture bears out.
    assert {label.split()[0] for label in found.labels} == {c for c in COLOURS if is_of(SCENE, c).any()}


def test_of_masks_of_different_names_on_one_place_the_best_alone_can_stay() -> None:
    class Twice(PlantedModel):
        def generate(self, conversation: Conversation, **_: Any) -> list[int]:
            ids: list[int] = self.tokenizer("a red cup, a red ball").input_ids
            return ids

    scene = picture(("red", 8, 8, 30))
    one = {"crop_shares": (), "questions": "one", "tokens.reduction": "mean"}
    assert sorted(pipeline(Twice(), **one).discover(scene).labels) == ["red ball", "red cup"]
    assert len(pipeline(Twice(), suppression="all", **one).discover(scene).labels) == 1


def test_with_votes_each_object_comes_once_with_its_mask_from_the_crops_that_show_it() -> None:
    found = pipeline(PlantedModel(), suppression="votes", crop_shares=(0.9, 0.6)).discover(SCENE)
    expected = {colour: is_of(SCENE, colour) for colour in COLOURS if is_of(SCENE, colour).any()}
    assert sorted(found.labels) == sorted(f"{colour} {NOUNS[colour]}" for colour in expected)
    for label, mask in zip(found.labels, found.masks, strict=True):
        assert mask_iou(mask, expected[label.split()[0]]) > 0.9
    assert ((found.scores > 0) & (found.scores <= 1)).all()


def test_rivals_put_every_mask_of_a_point_to_the_vote_and_the_best_supported_wins() -> None:
    class Loose(SameColour):
        """One mask far too large after all refinement; among several, also the true one."""

        def segment(self, embedding: Pixels, prompts: PointPrompts, **settings: object) -> MaskProposals:
            true = super().segment(embedding, prompts)
            large = np.asarray(cv2.dilate(true.masks[0].astype(np.uint8), np.ones((21, 21), np.uint8)), np.bool_)
            if settings.get("several", True) and "mask" not in settings:
                return MaskProposals(np.stack([true.masks[0], large]), np.array([0.9, 0.9], np.float32))
            return MaskProposals(large[None], np.array([0.9], np.float32))

    settings = {
        "suppression": "votes",
        "refinement": "cascade",
        "crop_shares": (),
        "agreement_power": 3.0,
        "max_overlap": 0.3,
    }
    overlaps = {}
    for rivals in (False, True):
        model = VLSAM(PlantedModel(), Loose(), read_config({**settings, "vote_with_all_proposals": rivals}))  # type: ignore[arg-type]
        found = model.discover(SCENE)
        (mask,) = (mask for mask, label in zip(found.masks, found.labels, strict=True) if label == "red cup")
        overlaps[rivals] = mask_iou(mask, is_of(SCENE, "red"))
    assert overlaps[False] < 0.5
    assert overlaps[True] == 1


def test_verified_on_both_a_score_is_weighed_by_the_mean_of_crop_and_whole() -> None:
    scene = picture(("red", 8, 8, 30))
    one = {"questions": "one", "crop_shares": (0.9,), "max_overlap": 1.0}

    class Doubting(PlantedModel):
        def agrees_each(self, conversations: Sequence[Conversation], **_: Any) -> list[float]:
            return [0.8 if each.picture.image.shape == scene.shape else 0.4 for each in conversations]

    scores = {
        on: pipeline(Doubting(), min_verification=0.1, verify_on=on, **one).discover(scene).scores
        for on in ("whole", "crop", "both")
    }
    assert scores["crop"].sum() < scores["whole"].sum()
    assert scores["both"].sum() == pytest.approx((scores["whole"].sum() + scores["crop"].sum()) / 2)


def test_a_name_that_one_of_several_views_claims_is_outvoted() -> None:
    class Wavering(PlantedModel):
        def generate(self, conversation: Conversation, **settings: Any) -> list[int]:
            whole = conversation.picture.image.shape == SCENE.shape
            ids: list[int] = self.tokenizer("a red ball").input_ids
            return ids if whole else super().generate(conversation, **settings)

    settings = {"suppression": "votes", "crop_shares": (0.9,), "questions": "one"}
    found = pipeline(Wavering(), **settings).discover(SCENE)
    assert "red cup" in found.labels
    assert "red ball" not in found.labels


@pytest.mark.parametrize("colour", COLOURS)
def test_a_given_phrase_is_grounded_by_its_own_words(colour: str) -> None:
    grounding = pipeline(PlantedModel())(SCENE, f"the {colour} {NOUNS[colour]}")
    np.testing.assert_array_equal(grounding.mask, is_of(SCENE, colour))
    assert is_of(SCENE, colour)[np.unravel_index(grounding.heatmap.argmax(), grounding.heatmap.shape)]


@pytest.mark.parametrize(("side", "x"), [("left", 8), ("right", 90)])
def test_with_the_spatial_bias_a_place_decides_between_twins(side: str, x: int) -> None:
    twins = picture(("red", 8, 40, 30), ("red", 90, 40, 30))
    grounding = pipeline(PlantedModel(), stages="+places")(twins, f"the red cup on the {side}")
    assert x <= grounding.points[0, 0] < x + 30


def read_answer(method: VLSAM, talk: Conversation) -> AttentionMaps:
    """What flows from each token of an answer."""
    tokens = tuple(Token(0, str(place), None, Role.CONTENT) for place in talk.answer)
    return method.open(SCENE).flow(Reading(talk, tokens, tuple(talk.answer)))


@pytest.mark.parametrize(
    ("word_tokens", "expected"),
    [("mean", lambda red, ball: (red + ball) / 2), ("product", lambda red, ball: (red * ball).sqrt()), ("last", None)],
)
def test_a_name_s_map_is_made_of_those_of_its_tokens(word_tokens: str, expected: Any) -> None:
    model = PlantedModel()
    talk = model.ask(model.encode(SCENE), "What is it?", model.tokenizer("red ball").input_ids)
    maps = read_answer(pipeline(model), talk)
    red, ball = maps.values[0, 0]
    assert not torch.allclose(red, ball)
    ((name,),) = Tokens(reduction=word_tokens)(maps, SimpleNamespace(excluded=False)).values[0]  # type: ignore[arg-type]
    torch.testing.assert_close(name, expected(red, ball) if expected else ball)


def test_mask_out_finds_a_second_object_of_the_same_name() -> None:
    scene = picture(("red", 8, 70, 30), ("red", 80, 70, 34))
    found = pipeline(PlantedModel(), crop_shares=(), refinement="mask_out").discover(scene)
    assert found.labels == ("red cup", "red cup")
    np.testing.assert_array_equal(found.masks.any(axis=0), is_of(scene, "red"))
    (both,) = found.groundings()
    assert both.phrase == "red cup"
    assert len(both.masks) == 2


@pytest.mark.parametrize(("count", "found"), [(True, 2), (False, 1)])
def test_a_name_said_twice_is_two_objects_if_names_count_and_a_third_time_finds_no_third(
    count: bool, found: int
) -> None:
    class Counting(PlantedModel):
        def generate(self, conversation: Conversation, **_: Any) -> list[int]:
            ids: list[int] = self.tokenizer("a red cup, a red cup, a red cup").input_ids
            return ids

    scene = picture(("red", 8, 70, 30), ("red", 80, 70, 34))
    one = {"crop_shares": (), "questions": "one", "refinement": "none", "negative_point": False}
    seen = pipeline(Counting(), count_repeats=count, **one).discover(scene)
    assert seen.labels == ("red cup",) * found
    assert (seen.masks.any(axis=0) == is_of(scene, "red")).all() == count


def test_an_empty_phrase_yields_its_error_and_the_others_their_results() -> None:
    outcomes = list(pipeline(PlantedModel()).ground_each(SCENE, ["the red cup", "...", "the blue ball"]))
    assert isinstance(outcomes[1], Failure)
    assert isinstance(outcomes[1].error, PhraseError)
    assert outcomes[0].masks.shape == outcomes[2].masks.shape == (1, 128, 128)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("phrase_question", "{x}"),
        ("phrase_question", "Where {phrase"),
        ("verify_question", "{name.foo}"),
        ("region_threshold", "abc"),
        ("region_threshold", "2"),
    ],
)
def test_a_question_or_threshold_that_cannot_be_used_is_refused_before_anything_is_loaded(
    setting: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{setting}="):
        read_config({setting: value})


def test_the_plain_mean_and_rollout_are_not_damped_unless_asked() -> None:
    model = PlantedModel()
    talk = model.ask(model.encode(SCENE), "What is it?", model.tokenizer("red").input_ids)
    for flow, damped in (("mean", "none"), ("rollout", "none"), ("flow", "end")):
        (default, explicit) = (
            read_answer(pipeline(model, flow=flow, **more), talk).values for more in ({}, {"regulariser": damped})
        )
        torch.testing.assert_close(default, explicit)


def test_an_unknown_setting_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no setting named 'noise_level'"):
        read_config({"noise_level": 0.3})
    with pytest.raises(ConfigError, match="refinement=often"):
        read_config({"refinement": "often"})


def test_a_phrase_for_something_absent_has_less_evidence_and_with_a_least_evidence_nothing_is_found() -> None:
    present, absent = pipeline(PlantedModel(), evidence=True)(SCENE, ["the red cup", "the yellow chair"])
    assert present.evidence.score > 1.5 * absent.evidence.score
    least = (present.evidence.score + absent.evidence.score) / 2
    present, absent = pipeline(PlantedModel(), min_evidence=least)(SCENE, ["the red cup", "the yellow chair"])
    assert len(present.masks) == 1
    assert absent.masks.shape == (0, 128, 128)
    assert absent.points.shape == (0, 3)
    assert absent.evidence.score < least


class Inventing(PlantedModel):
    """Also names a chair that its attention finds nowhere."""

    def generate(self, conversation: Conversation, **_: Any) -> list[int]:
        ids: list[int] = [*super().generate(conversation), *self.tokenizer(", a yellow chair").input_ids]
        return ids


def test_a_name_with_less_evidence_than_the_least_is_not_discovered() -> None:
    assert "yellow chair" in pipeline(Inventing(), crop_shares=()).discover(SCENE).labels
    found = pipeline(Inventing(), crop_shares=(), min_evidence=0.22).discover(SCENE)
    assert sorted(found.labels) == ["blue ball", "green lemon", "red cup"]


@dataclass
class ThinkingModel(PlantedModel):
    """Says some words, tags of thoughts among them."""

    said: str = ""

    def generate(self, conversation: Conversation, **_: Any) -> list[int]:
        ids: list[int] = self.tokenizer(self.said).input_ids
        return ids


def test_what_is_only_thought_of_is_not_discovered() -> None:
    found = pipeline(ThinkingModel(said="perhaps a green lemon? </think> a red cup"), crop_shares=())
    assert found.discover(SCENE).labels == ("red cup",)


def test_an_answer_that_ends_inside_a_thought_is_told() -> None:
    thinking = pipeline(ThinkingModel(said="<think> perhaps a green lemon"), crop_shares=(), questions="one")
    with pytest.warns(UserWarning, match="still thinking after 5 tokens and named nothing"):
        assert thinking.discover(SCENE).labels == ()


@dataclass
class TiledModel(PlantedModel):
    """Sees the picture in four tiles, then whole, as InternVL and SmolVLM do."""

    def ask(self, picture: EncodedPicture, question: str, answer: Sequence[int] = ()) -> Conversation:
        grid = (GRID // 2, GRID // 2)
        places = torch.arange(1, 1 + GRID * GRID).reshape(2, GRID // 2, 2, GRID // 2).transpose(1, 2).reshape(4, -1)
        views = [
            PlacedGrid(places[2 * y + x], TokenGrid(grid, (x / 2, y / 2, x / 2 + 0.5, y / 2 + 0.5)))
            for y in (0, 1)
            for x in (0, 1)
        ]
        return replace(super().ask(picture, question, answer), views=tuple(views))


@pytest.mark.parametrize("place", [(8, 8), (90, 8), (8, 90), (90, 90)])
def test_evidence_is_weighed_over_the_whole_picture_also_where_a_model_sees_it_in_tiles(place: tuple[int, int]) -> None:
    scene = picture(("red", *place, 24))
    whole, tiled = (pipeline(kind(), evidence=True)(scene, "the red cup") for kind in (PlantedModel, TiledModel))
    assert tiled.evidence is not None
    assert whole.evidence is not None
    assert tiled.evidence.contrast == pytest.approx(whole.evidence.contrast, abs=1e-5)
    assert tiled.evidence.score == pytest.approx(whole.evidence.score, abs=1e-5)


def test_evidence_is_weighed_unless_it_is_switched_off_and_leaves_the_result_as_it_is() -> None:
    weighed, plain = (pipeline(PlantedModel(), evidence=each)(SCENE, "the red cup") for each in (True, False))
    assert pipeline(PlantedModel())(SCENE, "the red cup").evidence == weighed.evidence
    assert plain.evidence is None
    np.testing.assert_array_equal(weighed.heatmap, plain.heatmap)
    np.testing.assert_array_equal(weighed.masks, plain.masks)


def test_questions_that_the_model_writes_are_asked_for_once_a_picture() -> None:
    model = PlantedModel()
    pipeline(model, questions="model").discover(SCENE)
    assert model.encoded == 5
    assert model.questions.count(ASK_FOR_QUESTIONS) == 1


@dataclass
class LookingModel(PlantedModel):
    """For DecAF: the last token of the question looks at the colour that the question names, and at ``clutter`` always.

    Like Qwen-VL it has one token for each 8 x 8 pixels. The object's question also looks at a phantom, stronger than
    the object: at the upper left in a picture of 128 pixels, at the lower right in a larger one.
    """

    clutter: str = "green"
    phantoms: bool = False
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def encode(self, image: Pixels, framing: str = "pad") -> EncodedPicture:
        self.shapes.append(image.shape[:2])
        return super().encode(image)

    def ask(self, picture: EncodedPicture, question: str, answer: Sequence[int] = ()) -> Conversation:
        self.questions.append(question)
        rows, columns = (side // 8 for side in picture.image.shape[:2])
        ids = torch.zeros(1, 1 + rows * columns + 3).long()
        colour = next((c for c in COLOURS if c in question.split()), "none")
        (ids[0, -1],) = self.tokenizer(colour).input_ids
        end = ids.shape[1]
        view = PlacedGrid(torch.arange(1, 1 + rows * columns), TokenGrid((rows, columns)))
        return Conversation(picture, {"input_ids": ids}, (view,), range(end, end))

    def read_layers_each(self, talks: Sequence[Conversation], **how: Any) -> list[list[LayerAttention]]:
        return [self.read_layers(talk, **how) for talk in talks]

    def read_layers(self, talk: Conversation, *, weights: HeadWeights, layers: str, **_: Any) -> list[LayerAttention]:
        assert (weights, layers) == (HeadWeights.IMAGE_MAX, "late")
        image, grid = talk.picture.image, talk.grids[0].shape
        colour = self.tokenizer.words[int(talk.inputs["input_ids"][0, -1])]

        def cells(of: str) -> npt.NDArray[np.float32]:
            return cv2.resize(is_of(image, of).astype(np.float32), grid[::-1], interpolation=cv2.INTER_AREA)

        heat = 3 * cells(self.clutter)
        if colour in COLOURS:
            heat += cells(colour)
            if self.phantoms:
                corner = (slice(0, 4), slice(0, 4)) if grid[0] <= 16 else (slice(-8, None), slice(-8, None))
                heat[corner] += 1.5
        size = talk.inputs["input_ids"].shape[1]
        matrix = torch.eye(size)
        matrix[-1, talk.views[0].positions] = 0.001 * torch.from_numpy(heat).flatten()
        return [KeptMatrix(size, torch.ones(1), (0,), (matrix,))] * LAYERS


def test_decaf_takes_away_what_the_background_s_question_sees_too() -> None:
    scene = picture(("red", 16, 48, 32), ("green", 80, 80, 32))
    model = LookingModel()
    grounding = pipeline(model, "decaf", stages="-sizes", evidence=False)(scene, "the red cup")
    np.testing.assert_array_equal(grounding.mask, is_of(scene, "red"))
    assert model.questions == [
        "the red cup. Name the main object referred to, in a single word.",
        "Describe the background of the picture without any cup, in a single word or phrase.",
    ]


def sizes_of(resolutions: tuple[float, ...]) -> dict[str, object]:
    first, *further = resolutions
    return {"scale": first, **({"sizes.sizes": further} if further else {"stages": "-sizes"})}


@pytest.mark.parametrize(("resolutions", "finds"), [((1.0,), False), ((2.0,), False), ((1.0, 2.0), True)])
def test_what_only_one_size_of_the_picture_sees_is_outvoted(resolutions: tuple[float, ...], finds: bool) -> None:
    scene = picture(("red", 48, 48, 32))
    model = LookingModel(phantoms=True)
    grounding = pipeline(model, "decaf", **sizes_of(resolutions))(scene, "the red cup")
    assert np.array_equal(grounding.mask, is_of(scene, "red")) == finds
    assert model.shapes == [(round(128 * size), round(128 * size)) for size in resolutions]
    if finds:
        assert grounding.steps.after("sizes").grids[0].shape == (32, 32)  # the cells of the finer size


def test_decaf_s_cells_find_every_object_of_the_name_where_one_pair_of_points_finds_one() -> None:
    scene = picture(("red", 16, 16, 32), ("red", 80, 72, 32))
    several = pipeline(LookingModel(), "decaf")(scene, "the red cup")
    assert len(several.masks) == len(several.scores) == len(several.points) == 2
    np.testing.assert_array_equal(several.mask, is_of(scene, "red"))
    assert all(mask[int(y), int(x)] for mask, (x, y, _) in zip(several.masks, several.points, strict=True))
    assert len(pipeline(LookingModel(), "decaf", prompter="point_pair")(scene, "the red cup").masks) == 1


def colour_model(name: str) -> PlantedModel:
    return LookingModel() if name == "decaf" else PlantedModel()


TWO = picture(("red", 16, 16, 32), ("red", 80, 72, 32))


@pytest.mark.parametrize("name", ["vlsam", "decaf"])
@pytest.mark.parametrize("phrase", ["the red cups", "two red cups", "all red cups"])
def test_a_phrase_of_several_gives_as_many_objects_as_it_means(name: str, phrase: str) -> None:
    grounding = pipeline(colour_model(name), name)(TWO, phrase)
    assert len(grounding.masks) == len(grounding.scores) == 2
    np.testing.assert_array_equal(grounding.mask, is_of(TWO, "red"))


@pytest.mark.parametrize("name", ["vlsam", "decaf"])
@pytest.mark.parametrize(
    ("phrase", "left"), [("the second red cup from the left", 80), ("the first red cup from the left", 16)]
)
def test_an_ordinal_counts_along_its_side(name: str, phrase: str, left: int) -> None:
    grounding = pipeline(colour_model(name), name)(TWO, phrase)
    assert grounding.boxes[:, 0].tolist() == [left]


@pytest.mark.parametrize("name", ["vlsam", "decaf"])
def test_there_is_no_third_of_two(name: str) -> None:
    assert len(pipeline(colour_model(name), name)(TWO, "the third red cup from the left").masks) == 0


@pytest.mark.parametrize("name", ["vlsam", "decaf"])
def test_what_is_not_meant_is_never_the_answer(name: str) -> None:
    scene = picture(("red", 16, 16, 32), ("blue", 80, 72, 32))
    model = colour_model(name)
    np.testing.assert_array_equal(
        pipeline(model, name)(scene, "the red cup, not the blue ball").mask, is_of(scene, "red")
    )
    assert not pipeline(model, name)(scene, "the red cup, not the red cup").mask.any()
    with pytest.raises(PhraseError, match="says what to leave out"):
        pipeline(model, name)(scene, "not the blue ball")


def test_decaf_finds_nothing_where_the_question_sees_no_more_than_the_background() -> None:
    grounding = pipeline(LookingModel(), "decaf")(picture(("green", 80, 80, 32)), "the red cup")
    assert grounding.masks.shape == (0, 128, 128)
    assert grounding.points.shape == (0, 3)


def test_a_large_picture_is_reduced_before_it_is_read_twice() -> None:
    model = LookingModel()
    scene = picture(("red", 64, 192, 128), size=(512, 640))
    grounding = pipeline(model, "decaf", max_pixels=128 * 160)(scene, "the red cup")
    assert model.shapes == [(128, 160), (256, 320)]
    assert grounding.heatmap.shape == (512, 640)
    np.testing.assert_array_equal(grounding.mask, is_of(scene, "red"))


def test_the_positive_point_can_stand_alone() -> None:
    grounding = pipeline(PlantedModel(), negative_point=False)(SCENE, "the red cup")
    np.testing.assert_array_equal(grounding.points[:, 2], [1])
    np.testing.assert_array_equal(grounding.mask, is_of(SCENE, "red"))


def test_names_are_found_by_cells_too_each_with_its_own_mask() -> None:
    found = pipeline(PlantedModel(), prompter="hot_cells", crop_shares=()).discover(SCENE)
    assert sorted(found.labels) == ["blue ball", "green lemon", "red cup"]
    for label, mask in zip(found.labels, found.masks, strict=True):
        np.testing.assert_array_equal(mask, is_of(SCENE, label.split()[0]))


@dataclass
class RowsModel(PlantedModel):
    """Also tells the rows of its attention, in two layers of three heads."""

    passes: int = 0

    def read_layers(self, talk: Conversation, **options: Any) -> list[LayerAttention]:
        self.passes += 1
        return super().read_layers(talk, **options)

    def read_rows(self, talk: Conversation, positions: Sequence[int]) -> tuple[tuple[str, ...], torch.Tensor]:
        (layer, *_) = super().read_layers(talk, weights=HeadWeights.MAX, layers="all")
        rows = layer.dense()[list(positions)][:, talk.image_positions]
        return ("layers.0", "layers.1"), rows.expand(2, 3, -1, -1).clone()


def test_attention_holds_every_token_of_the_phrase_in_every_layer_and_head_by_its_word() -> None:
    maps = pipeline(RowsModel()).attention(SCENE, "the red cup on the left")
    assert maps.values.shape == (2, 3, 6, GRID * GRID)
    assert [token.spelling for token in maps.tokens] == ["the", "red", "cup", "on", "the", "left"]
    heat = cv2.resize(maps["red"].mean_layers().numpy()[0, 0, 0], SCENE.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    assert heat[is_of(SCENE, "red")].min() > heat[~is_of(SCENE, "red")].mean()


def test_the_null_phrase_is_read_once_per_picture_however_many_phrases_there_are() -> None:
    model = RowsModel()
    pipeline(model)(SCENE, ["the red cup", "the blue ball", "the green lemon, not the red cup"])
    assert model.passes == 3 + 1 + 1  # the phrases, what one of them excludes, and the null phrase
    assert model.encoded == 1


def test_a_trace_tells_the_maps_after_each_stage_and_keeps_none_as_large_as_the_picture() -> None:
    found = pipeline(PlantedModel(), stages="+places")(SCENE, "the red cup on the left, not the blue ball")
    trace = found.steps
    assert isinstance(trace, Trace)
    names = [step.name for step in trace.steps]
    assert names == ["read", "tokens", "evidence", "picture", "places", "negation"]
    assert [token.spelling for token in trace.after("read").tokens] == ["red", "cup"]
    kept = [each for step in trace.steps for each in (step.maps, *step.beside.values())]
    assert {maps.grids[0].shape for maps in kept} == {(GRID, GRID)}
    assert list(trace.step("evidence").beside) == ["thing"]
    assert trace.candidates[0].area is not None
