"""What notebooks and tables hold of results: against the results themselves and an independent reader."""

import base64
import io
import re
import sys
from collections.abc import Callable

import numpy as np
import pandas
import pytest
from PIL import Image

from groundkit.errors import GroundkitError
from groundkit.results import Discovery, Grounding


@pytest.fixture
def found(make_grounding: Callable[..., Grounding]) -> Grounding:
    return make_grounding((2, 3, 10, 7), (20, 10, 30, 40), phrase="cup <b>&")


def test_a_table_has_a_row_per_mask_with_its_box_and_its_area_counted(found: Grounding) -> None:
    table = found.to_pandas()
    assert table[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == found.boxes.tolist()
    assert table["area"].tolist() == found.masks.sum(axis=(1, 2)).tolist()
    assert table["score"].tolist() == pytest.approx(found.scores.tolist())
    assert set(table["phrase"]) == {"cup <b>&"}


def test_nothing_found_is_an_empty_table_with_the_same_columns(make_grounding: Callable[..., Grounding]) -> None:
    nothing, something = make_grounding().to_pandas(), make_grounding((2, 3, 10, 7)).to_pandas()
    assert len(nothing) == 0
    assert nothing.columns.tolist() == something.columns.tolist() == list(Grounding.columns)


def test_a_notebook_gets_the_overlay_as_png_and_the_words_escaped(found: Grounding) -> None:
    assert np.array_equal(np.asarray(found.to_pil()), found.overlay())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(found._repr_png_()))), found.overlay())
    page = found._repr_html_()
    (data,) = re.findall(r"base64,([^\"]+)", page)
    assert base64.b64decode(data) == found._repr_png_()
    assert "<b>" not in page
    assert "cup &lt;b&gt;&amp;" in page


def test_a_large_picture_is_reduced_for_a_notebook_and_whole_as_a_picture(
    make_grounding: Callable[..., Grounding],
) -> None:
    large = make_grounding((2, 3, 10, 7), size=(1500, 3000))
    assert Image.open(io.BytesIO(large._repr_png_())).size == (1024, 512)
    assert large.to_pil().size == (3000, 1500)


def test_a_discovery_and_a_video_have_tables_too(found: Grounding) -> None:
    discovery = Discovery(
        image=found.image,
        labels=("cup", "bear"),
        masks=found.masks,
        scores=found.scores,
        points=(found.points, found.points),
        answers=(),
        pipeline="vlsam",
        model="nano",
        seconds=0.1,
    )
    table = discovery.to_pandas()
    assert table["label"].tolist() == ["cup", "bear"]
    assert table["area"].tolist() == [32, 300]
    assert np.array_equal(np.asarray(discovery.to_pil()), discovery.overlay())


def test_without_pandas_a_table_names_what_to_install(found: Grounding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(GroundkitError, match="pip install pandas"):
        found.to_pandas()


def test_outside_a_notebook_the_picture_is_shown_by_the_system(
    found: Grounding, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[int, int]] = []
    monkeypatch.setattr(Image.Image, "show", lambda picture: shown.append(picture.size))
    found.show()
    assert shown == [(64, 48)]


def test_the_table_of_attention_maps_tells_a_peak_from_a_flat_map() -> None:
    import torch

    from groundkit.attention.grids import TokenGrid
    from groundkit.attention.maps import AttentionMaps
    from groundkit.language.tokens import Token
    from groundkit.language.words import Role

    values = torch.full((1, 1, 2, 16), 1 / 16)
    values[0, 0, 1] = torch.eye(16)[5]
    tokens = tuple(Token(i, text, 0, Role.CONTENT, text) for i, text in enumerate(("flat", "peak")))
    maps = AttentionMaps(values, ("0",), ("mean",), tokens, (TokenGrid((4, 4)),))
    table = maps.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert table["token"].tolist() == ["flat", "peak"]
    assert table["focus"].tolist() == pytest.approx([0, 1], abs=1e-6)
    assert table["peak"].tolist() == pytest.approx([1 / 16, 1])
    assert np.array_equal(np.asarray(maps.to_pil()), maps.grid())
