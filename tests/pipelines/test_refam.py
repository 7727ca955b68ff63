"""RefAM on planted attention: what is put into the maps must come out as the point."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from fakes import SquareSegmenter
from planted import PlantedModel

import groundkit
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError, ImageError, PhraseError
from groundkit.models.diffusion.base import EncodedClip, Text
from groundkit.models.options import ReadOptions
from groundkit.pipelines.refam import PRESETS, RefAM, read_config
from groundkit.results import Failure, Grounding
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts
from groundkit.stages.trace import Trace

SIDE, CELL = 8, 10
TOKENIZER = PlantedModel.tokenizer


IMAGE = np.zeros((SIDE * CELL, SIDE * CELL, 3), dtype=np.uint8)


def ground(model: PlantedModel, phrase: str, **settings: object) -> Grounding:
    result = RefAM(model, SquareSegmenter(half=6, whole=0.9), read_config(settings))(IMAGE, phrase)
    assert isinstance(result, Grounding)
    return result


def patch(grounding: Grounding) -> tuple[int, int]:
    """Row and column of the patch that the first point lies in."""
    x, y, label = grounding.points[0]
    assert label == 1
    return int(y) // CELL, int(x) // CELL


def before_words(grounding: Grounding) -> AttentionMaps:
    """The maps of all tokens, as the stage ``words`` gets them."""
    trace = grounding.steps
    assert isinstance(trace, Trace)
    names = [step.name for step in trace.steps]
    return trace.steps[names.index("words") - 1].maps


@pytest.mark.parametrize("place", [(0, 0), (0, 7), (7, 0), (7, 7), (3, 5)])
def test_the_point_lies_where_the_content_words_look(place: tuple[int, int]) -> None:
    model = PlantedModel({"red": place, "cup": place, "the": (4, 1), "with": (1, 4)})
    grounding = ground(model, "the red cup")
    assert patch(grounding) == place
    x, y = grounding.points[0, :2].astype(int)
    assert grounding.masks[0, y, x]


def test_stop_words_magnets_and_specials_are_filtered_and_without_the_filter_they_win() -> None:
    model = PlantedModel({"cup": (2, 2), "the": (5, 5), "of": (5, 5), "on": (5, 5)})
    phrase = "the cup of the"
    kept = ground(model, phrase)
    assert patch(kept) == (2, 2)
    assert {token.text for token in kept.steps.after("words").tokens} == {"▁cup"}
    assert patch(ground(model, phrase, kept_words="all", magnets=(), stages="-places")) == (5, 5)


def test_a_magnet_that_soaks_up_background_clears_it_from_a_content_map() -> None:
    """Only where tokens compete can an appended word change the map of another."""
    model = PlantedModel({"cup": (2, 2), "with": (6, 6)})

    def ratio(**settings: object) -> float:
        cup = before_words(ground(model, "cup", **settings))["cup"].numpy()[0, 0, 0]
        return float(cup[6, 6] / cup[2, 2])

    assert ratio(magnets=("with",)) < 0.1 * ratio(magnets=())
    assert ratio(magnets=("with",), stages="-compete") == pytest.approx(0.01)


def test_the_noun_phrase_filter_leaves_the_relation_out() -> None:
    model = PlantedModel({"cup": (1, 1), "laptop": (6, 6), "blue": (6, 6)})
    phrase = "the cup near the blue laptop"
    assert patch(ground(model, phrase)) == (1, 1)
    assert patch(ground(model, phrase, kept_words="content")) == (6, 6)


def test_a_content_word_that_is_a_sink_is_dropped() -> None:
    model = PlantedModel({"red": (1, 6), "cup": (1, 6)}, flat=("ball",))
    trace = ground(model, "the red cup ball", kept_words="content").steps
    assert [token.text for token in trace.after("sinks").tokens if token.sink] == ["▁ball"]
    assert [token.text for token in trace.after("words").tokens] == ["▁red", "▁cup"]


def test_a_phrase_whose_only_content_word_is_a_sink_still_gets_a_point() -> None:
    trace = ground(PlantedModel({}, flat=("cup",)), "the cup").steps
    assert [token.text for token in trace.after("words").tokens] == ["▁cup"]


@pytest.mark.parametrize(("side", "place"), [("left", (3, 0)), ("right", (3, 7))])
def test_the_spatial_bias_decides_between_twins(side: str, place: tuple[int, int]) -> None:
    class Twins(PlantedModel):
        def read_attention(self, *args, **kwargs) -> AttentionMaps:
            read = super().read_attention(*args, **kwargs)
            read.numpy()[..., 3, 7] = read.numpy()[..., 3, 0]
            return read

    model = Twins({"cup": (3, 0)})
    assert patch(ground(model, f"the cup on the {side}")) == place


class Twins(PlantedModel):
    """Two cups: one that the map sees best, near the top, and a fainter one near the bottom."""

    strong, weak = (1, 1), (6, 6)

    def __init__(self) -> None:
        super().__init__({"cup": self.strong})

    def read_attention(self, *args, **kwargs) -> AttentionMaps:
        read = super().read_attention(*args, **kwargs)
        read.numpy()[..., *self.weak] = 0.6 * read.numpy()[..., *self.strong]
        return read


class LowerIsLarger(SquareSegmenter):
    """The lower the point, the larger its mask."""

    def segment(self, embedding: tuple[int, int], prompts: PointPrompts, **_: object) -> MaskProposals:
        x, y = prompts.xy[0].astype(int)
        half = 3 + y // 10
        mask = np.zeros((1, *embedding), dtype=bool)
        mask[0, max(0, y - half) : y + half, max(0, x - half) : x + half] = True
        return MaskProposals(mask, np.array([0.8], dtype=np.float32))


@pytest.mark.parametrize(
    ("phrase", "place"),
    [("the cup", Twins.strong), ("the largest cup", Twins.weak), ("the smallest cup", Twins.strong)],
)
def test_sizes_compare_the_masks_at_the_peaks_and_not_their_heat(phrase: str, place: tuple[int, int]) -> None:
    config = read_config({"stages": "-compete"})
    grounding = RefAM(Twins(), LowerIsLarger(), config)(IMAGE, phrase)
    assert patch(grounding) == place
    assert len(grounding.masks) == len(grounding.points) == 1
    (candidate,) = grounding.steps.candidates
    assert np.array_equal(grounding.masks[0], candidate.proposals[candidate.chosen][0].whole())


def test_without_the_spatial_bias_sizes_choose_nothing() -> None:
    config = read_config({"stages": "-compete,-places"})
    assert patch(RefAM(Twins(), LowerIsLarger(), config)(IMAGE, "the largest cup")) == Twins.strong


class Row(PlantedModel):
    """Three cups side by side: red, blue and red again; the map sees the blue one best."""

    cups = ((3, 0), (3, 3), (3, 6))

    def __init__(self) -> None:
        super().__init__({})

    def read_attention(self, clip: EncodedClip, text: Text, options: ReadOptions) -> AttentionMaps:
        read = super().read_attention(clip, text, options)
        for index, word in enumerate(self.words(text)):
            for place, colour, heat in zip(self.cups, ("red", "blue", "red"), (0.8, 1.0, 0.9), strict=True):
                if word in ("cup", "cups", colour):
                    read.numpy()[:, 0, index, 0, *place] = heat
        return read


@pytest.mark.parametrize("preset", ["refam", "cross-attention"])
@pytest.mark.parametrize(
    ("phrase", "cups"),
    [
        ("the cup", [1]),
        ("the first cup from the left", [0]),
        ("the second cup from the left", [1]),
        ("the third cup from the left", [2]),
        ("the second cup from the right", [1]),
        ("the last cup from the left", [2]),
        ("the fourth cup from the left", []),
        ("two cups", [1, 2]),
        ("all cups", [1, 2, 0]),
        ("the cups", [1, 2, 0]),
        ("the cup that is not blue", [2]),
        ("the cups that are not blue", [2, 0]),
        ("the cups except the red one", [1]),
        ("the cup that is not red", [1]),
    ],
)
def test_numbers_ordinals_and_negations_choose_among_planted_objects(preset: str, phrase: str, cups: list[int]) -> None:
    settings = {**PRESETS[preset], "stages": "-compete", "mask_rule": "agreement", "magnets": ()}
    grounding = ground(Row(), phrase, **settings)
    assert len(grounding.masks) == len(grounding.scores) == len(grounding.boxes) == len(cups)
    found = [(int(y // CELL), int(x // CELL)) for x, y, _ in grounding.points]
    assert found == [Row.cups[cup] for cup in cups]


def test_what_is_not_meant_is_never_the_answer_where_nothing_else_is_there() -> None:
    grounding = ground(PlantedModel({"red": (2, 2), "cup": (2, 2)}), "the cup that is not red", stages="-compete")
    assert len(grounding.masks) == len(grounding.points) == 0
    assert not grounding.heatmap.any()


@pytest.mark.parametrize("phrase", ["not the red cup", "everything except the cup", "none of the cups"])
def test_a_phrase_that_says_only_what_is_not_meant_is_refused(phrase: str) -> None:
    with pytest.raises(PhraseError, match="says what to leave out, not what to look for"):
        ground(PlantedModel({"cup": (1, 1)}), phrase)


@pytest.mark.parametrize(("power", "place"), [(1.0, Twins.strong), (0.2, Twins.weak)])
def test_a_low_power_lets_the_bias_prefer_a_fainter_twin(power: float, place: tuple[int, int]) -> None:
    grounding = ground(Twins(), "the cup at the bottom", stages="-compete", bias_power=power, bias_floor=0.5)
    assert patch(grounding) == place


def test_several_separated_peaks_give_one_mask_each() -> None:
    model = PlantedModel({"red": (0, 0), "cup": (7, 7)})
    grounding = ground(model, "red cup", max_peaks=4)
    assert len(grounding.masks) == len(grounding.scores) == len(grounding.boxes) == len(grounding.points) == 2
    assert len(ground(model, "red cup").masks) == 1


def test_the_mask_agrees_with_the_heatmap_unless_the_score_alone_decides() -> None:
    model = PlantedModel({"cup": (4, 4)})
    assert ground(model, "cup").masks[0].mean() < 0.1
    assert ground(model, "cup", mask_rule="score").masks[0].all()


def test_a_mask_without_a_pixel_is_no_object() -> None:
    class Blind(SquareSegmenter):
        def segment(self, embedding: object, prompts: PointPrompts, **_: object) -> MaskProposals:
            return MaskProposals(np.zeros((1, *IMAGE.shape[:2]), np.bool_), np.array([0.8], np.float32))

    found = RefAM(PlantedModel({"cup": (2, 2)}), Blind(), read_config({}))(IMAGE, "the cup")
    assert isinstance(found, Grounding)
    assert (found.masks.shape, found.scores.shape, found.boxes.shape) == ((0, *IMAGE.shape[:2]), (0,), (0, 4))


def test_attention_is_what_the_method_reads_before_any_stage() -> None:
    pipeline = RefAM(PlantedModel({"cup": (4, 4)}, noisy=True), SquareSegmenter(half=6), read_config({}))
    maps = pipeline.attention(IMAGE, "the red cup", seed=3)
    assert maps.layers == ("a", "b")
    assert maps["cup"].numpy().shape == (2, 1, 1, SIDE, SIDE)
    assert maps["cup"].mean_layers().over(IMAGE.shape[:2]).argmax() // (SIDE * CELL) // CELL == 4
    read = pipeline(IMAGE, "the red cup", seed=3).steps.after("read")
    assert torch.equal(maps.mean_layers().values, read.values)
    assert maps.tokens == read.tokens


def test_every_head_of_the_attention_is_kept_when_asked() -> None:
    pipeline = groundkit.load("refam", device="cpu", local_files_only=True, config={"heads": None, "layers": "all"})
    one, every = (pipeline.attention(IMAGE, "the red cup", keep_heads=keep) for keep in (False, True))
    assert one.heads == ("mean",)
    assert every.heads == tuple(map(str, range(len(every.heads))))
    assert len(every.heads) > 1
    torch.testing.assert_close(every.values.mean(dim=1, keepdim=True), one.values)


def test_noise_seeds_are_averaged() -> None:
    model = PlantedModel({"cup": (4, 4)}, noisy=True)
    text = model.encode_text([TOKENIZER("cup").input_ids], "cup")
    clip = model.encode(IMAGE[None])
    single = [model.read_attention(clip, text, ReadOptions(seed=5 + i)).numpy()[:, 0, :, 0] for i in range(3)]
    config = read_config({"noise_samples": 3, "magnets": (), "stages": "-compete"})
    found = RefAM(model, SquareSegmenter(half=6, whole=0.9), config)(IMAGE, "cup", seed=5)
    np.testing.assert_allclose(before_words(found).numpy()[0, 0], np.stack(single).mean(axis=(0, 1)), rtol=1e-5)


def test_each_magnet_is_encoded_alone_with_its_end_token_when_asked() -> None:
    model = PlantedModel({})
    ground(model, "red cup", magnets=("with", "pink"), magnet_encoding="separate", evidence=False)
    assert model.pieces == [[["▁red", "▁cup", "</s>"], ["▁with", "</s>"], ["▁pink", "</s>"]]]
    ground(model, "red cup", magnets=("with", "pink"), evidence=False)
    assert model.pieces[1] == [["▁red", "▁cup", "</s>", "▁with", "</s>", "▁pink", "</s>"]]


def test_the_picture_is_encoded_once_for_all_phrases_and_a_bad_phrase_stops_no_other() -> None:
    model, segmenter = PlantedModel({"cup": (1, 1), "ball": (6, 6)}), SquareSegmenter(half=6, whole=0.9)
    results = list(RefAM(model, segmenter).ground_each(IMAGE, ["the cup", "   ", "the ball"]))
    assert (model.seen, segmenter.images_embedded) == ([1], 1)
    first, bad, last = results
    assert isinstance(first, Grounding)
    assert isinstance(bad, Failure)
    assert isinstance(bad.error, PhraseError)
    assert isinstance(last, Grounding)
    assert [patch(first), patch(last)] == [(1, 1), (6, 6)]


def test_lists_in_lists_out() -> None:
    pipeline = RefAM(PlantedModel({"cup": (1, 1)}), SquareSegmenter(half=6, whole=0.9))
    assert isinstance(pipeline(IMAGE, "cup"), Grounding)
    assert [type(r) for r in pipeline(IMAGE, ["cup", "ball"])] == [Grounding, Grounding]
    assert [type(r) for r in pipeline([IMAGE, IMAGE, IMAGE], "cup")] == [Grounding] * 3
    table = pipeline([IMAGE, IMAGE], ["cup", "ball", "book"])
    assert [[r.phrase for r in row] for row in table] == [["cup", "ball", "book"]] * 2


def test_a_call_raises_what_is_wrong_with_its_input() -> None:
    pipeline = RefAM(PlantedModel({}), SquareSegmenter(half=6, whole=0.9))
    with pytest.raises(PhraseError):
        pipeline(IMAGE, "")
    with pytest.raises(ImageError):
        pipeline("nowhere.png", "cup")


@pytest.mark.parametrize(
    ("phrase", "message"),
    [
        ("it", "nothing"),
        ("der rote Becher", None),
        ("赤いカップ", "letters"),
        ("🍎", "letters"),
        ("cup " * 2000, None),
        ("the", "nothing"),
    ],
)
def test_odd_phrases_get_an_answer_or_an_error_of_ours(phrase: str, message: str | None) -> None:
    pipeline = RefAM(PlantedModel({"cup": (1, 1)}), SquareSegmenter(half=6, whole=0.9))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a phrase that is cut off says so
        (outcome,) = pipeline.ground_each(IMAGE, [phrase])
    assert isinstance(outcome, Failure) == (message is not None)
    if isinstance(outcome, Failure):
        assert isinstance(outcome.error, PhraseError)
        assert "\n" not in str(outcome.error)
        assert message in str(outcome.error)
    else:
        assert outcome.masks.any()


def test_every_preset_is_a_valid_configuration() -> None:
    for name, settings in PRESETS.items():
        config = read_config(settings)
        assert read_config(config.tables()) == config, name


def test_settings_are_read_from_text_and_refused_by_name() -> None:
    config = read_config({"noise_level": "0.5", "magnets": ["a"], "layers": "late", "max_peaks": "3"})
    assert (config.reading.noise_level, config.reading.magnets, config.prompter.max_peaks) == (0.5, ("a",), 3)
    assert read_config({"magnets": "with, a", "heads": "2"}).reading.magnets == ("with", "a")
    assert read_config({"magnets": "()", "heads": "2,3"}).reading.heads == (2, 3)
    with pytest.raises(ConfigError, match=r"no setting named 'noise', did you mean noise_\w+\? Use one of prompter, "):
        read_config({"noise": 1})
    with pytest.raises(ConfigError, match=r"^noise_level=2: input should be less than 1$"):
        read_config({"noise_level": 2})


def test_evidence_is_weighed_unless_it_is_switched_off_and_leaves_the_result_as_it_is() -> None:
    weighed, plain = (ground(PlantedModel({"cup": (2, 2)}), "cup", evidence=each) for each in (True, False))
    assert ground(PlantedModel({"cup": (2, 2)}), "cup").evidence == weighed.evidence
    assert plain.evidence is None
    np.testing.assert_array_equal(weighed.heatmap, plain.heatmap)
    np.testing.assert_array_equal(weighed.masks, plain.masks)


def test_a_phrase_that_no_patch_looks_at_has_less_evidence_and_can_be_turned_into_nothing() -> None:
    model = PlantedModel({"cup": (2, 2), "red": (2, 2)})
    present, absent = ground(model, "the red cup", evidence=True), ground(model, "the chair", evidence=True)
    assert present.evidence is not None
    assert absent.evidence is not None
    assert present.evidence.score > absent.evidence.score + 0.1
    least = (present.evidence.score + absent.evidence.score) / 2
    assert len(ground(model, "the red cup", min_evidence=least).masks) == 1
    assert len(ground(model, "the chair", min_evidence=least).masks) == 0
