from dataclasses import replace

import numpy as np
import pytest
import torch
from planted import planted_trace

import groundkit
from groundkit.errors import GroundkitError
from groundkit.explain import answer, diffusion
from groundkit.explain.about import about, draw_settings
from groundkit.explain.diffusion import draw_explanation
from groundkit.explain.tiles import WIDTH, draw_row
from groundkit.language import Role, Token
from groundkit.masks.candidates import Candidate
from groundkit.masks.evidence import Evidence
from groundkit.masks.packed import PackedMask
from groundkit.segmenters.base import MaskProposals
from groundkit.segmenters.points import PointPrompts


def trace_for(grounding, tokens, *, bias, proposals=3, kept=None):
    generator = torch.Generator().manual_seed(0)
    roles = [Role.CONTENT, Role.STOP, Role.MAGNET, Role.SPECIAL]
    named = [Token(i, f"▁{i}", None, roles[i % 4], sink=i == 1) for i in range(tokens)]
    kept = [i % 4 == 0 for i in range(tokens)] if kept is None else kept
    ramp = torch.rand(6, 8, generator=generator) if bias else None
    trace = planted_trace(grounding.phrase, torch.rand(tokens, 6, 8, generator=generator), named, kept, bias=ramp)
    masks = np.stack([np.roll(grounding.mask, shift, axis=1) for shift in range(proposals)])
    proposed = MaskProposals(masks, np.linspace(0.9, 0.1, proposals, dtype=np.float32))
    points = PointPrompts(np.zeros((1, 2), np.float32), np.ones(1, np.int64))
    tried = tuple(zip(map(PackedMask.of, masks), proposed.scores.tolist(), strict=True))
    return replace(trace, candidates=(replace(Candidate.of(proposed, 0, points), proposals=tried),))


@pytest.mark.parametrize(
    ("tokens", "size"), [(5, (48, 64)), (60, (48, 64)), (9, (400, 40)), (9, (40, 400)), (1, (1, 1))]
)
def test_any_number_of_tokens_and_any_shape_fit_on_one_page(make_grounding, tokens, size):
    grounding = make_grounding((0, 0, 1, 1), size=size)
    page = draw_explanation(make_grounding((0, 0, 1, 1), size=size, steps=trace_for(grounding, tokens, bias=True)))
    assert page.dtype == np.uint8
    assert page.shape[1:] == (WIDTH, 3)
    # Nothing is drawn into the margins: text and tiles that do not fit would end up there.
    assert len(np.unique(page[:, :30].reshape(-1, 3), axis=0)) == 1
    assert len(np.unique(page[:, -30:].reshape(-1, 3), axis=0)) == 1


@pytest.mark.filterwarnings("ignore:no installed font has the letters")
@pytest.mark.parametrize("phrase", ["红色的杯子", "🧸", "كوب أحمر", "cup " * 2000, "x" * 3000])
def test_any_phrase_can_be_explained(make_grounding, phrase):
    grounding = make_grounding((5, 5, 20, 20), phrase=phrase)
    page = draw_explanation(make_grounding((5, 5, 20, 20), phrase=phrase, steps=trace_for(grounding, 5, bias=False)))
    assert page.shape[0] < 3000


def test_kept_maps_stand_out_from_dropped_ones(make_grounding):
    pages = []
    for kept in ([True] * 8, [True] + [False] * 7):
        trace = trace_for(make_grounding((5, 5, 20, 20)), 8, bias=False, kept=kept)
        pages.append(draw_explanation(make_grounding((5, 5, 20, 20), steps=trace)))
    assert pages[0].shape == pages[1].shape
    assert (pages[0] != pages[1]).any()


def test_what_a_phrase_leaves_out_is_drawn_beside_the_kept_maps(make_grounding):
    trace = trace_for(make_grounding((5, 5, 20, 20)), 4, bias=False)
    excluded = replace(trace.steps[-1], name="negation", beside={"the red cup": trace.steps[-1].maps})
    pages = [
        draw_explanation(make_grounding((5, 5, 20, 20), steps=replace(trace, steps=steps)))
        for steps in (trace.steps, (*trace.steps, excluded))
    ]
    heat = [(page[..., 0].astype(int) - page[..., 2] > 100).sum() for page in pages]  # turbo's hot colours
    assert heat[1] > heat[0]


def test_evidence_and_every_setting_that_ran_are_told(make_grounding):
    found = make_grounding((4, 4, 20, 20), settings={"noise_level": 0.3, "magnets": [], "heads": None})
    assert about(replace(found, evidence=Evidence(0.2, 0.36, 0.8))) == "refam, nano, 0.2 s, evidence 0.52, mask 0.90"
    assert about(found) == "refam, nano, 0.2 s, mask 0.90"
    assert draw_settings(replace(found, settings={})).height == 0
    few, many = draw_settings(found), draw_settings(replace(found, settings={f"setting_{i}": i for i in range(60)}))
    assert many.height > few.height > 0
    told = draw_settings(replace(found, origins={"noise_level": "checkpoint"}))
    assert told.height > few.height  # a heading and a line more
    for section in (few, many, told):
        margin = np.asarray(section)[:, -20:].reshape(-1, 3)
        assert len(np.unique(margin, axis=0)) == 1  # nothing runs into it
        assert len(np.unique(np.asarray(section).reshape(-1, 3), axis=0)) > 2


def test_without_a_trace_there_is_nothing_to_explain(make_grounding):
    with pytest.raises(GroundkitError, match="refam leaves no trace"):
        draw_explanation(make_grounding())


ROWS = {
    "refam": [
        ["Picture", "Kept maps together", "Without the red cup", "Heatmap and points", "Mask"],
        None,  # one per proposal
        ["▁the", "▁cup", "</s>", "▁", "_", "</s>", "▁with", "</s>", "▁a", "</s>", "▁the", "</s>", "▁pink", "</s>"],
    ],
    "decaf": [None],  # one per step that changes the map
}


@pytest.mark.parametrize("method", ROWS)
def test_the_page_of_a_sample_has_a_tile_for_each_step_with_a_short_title(monkeypatch, method):
    drawn = []
    for module in (diffusion, answer):
        monkeypatch.setattr(module, "draw_row", lambda title, tiles: drawn.append(tiles) or draw_row(title, tiles))
    phrase = "the cup that is not red" if method == "refam" else "the red cup"
    draw_explanation(groundkit.load(method, device="cpu")("samples/scene_1.png", phrase))
    titles = [[tile.title for tile in tiles] for tiles in drawn]
    assert len(titles) == len(ROWS[method])
    assert all(expected in (None, found) for expected, found in zip(ROWS[method], titles, strict=True))
    assert method == "refam" or {"Picture", "Background", "Null phrase: thing", "Mask"} <= {*titles[0]}
    assert max(len(title) for row in titles for title in row) <= 20
    of_ends = [tile.chip for tiles in drawn for tile in tiles if tile.title == "</s>"]
    assert len(set(of_ends)) <= 1, "an end token is a special token, also behind a magnet"
