"""What a user sees of attention: selecting, NumPy, files, pictures, and laying over the picture."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from groundkit.attention.grids import TokenGrid
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import ConfigError, InputError
from groundkit.language import Role, Token

LAYERS, HEADS, H, W = 3, 2, 4, 5
TOKENS = (
    Token(5, "▁larg", 0, Role.CONTENT, "largest"),
    Token(6, "est", 0, Role.CONTENT, "largest"),
    Token(7, "▁Cup", 1, Role.CONTENT, "Cup"),
    Token(8, "▁with", None, Role.MAGNET),
    Token(1, "</s>", None, Role.SPECIAL),
)


@pytest.fixture
def maps() -> AttentionMaps:
    generator = torch.Generator().manual_seed(0)
    return AttentionMaps(
        values=torch.rand(LAYERS, HEADS, len(TOKENS), H * W, generator=generator),
        layers=("a", "b", "c"),
        heads=("0", "1"),
        tokens=TOKENS,
        grids=(TokenGrid((H, W)),),
        text=torch.rand(LAYERS, len(TOKENS), len(TOKENS), generator=generator),
    )


@pytest.mark.parametrize(
    ("word", "found"),
    [("cup", [2]), ("largest", [0, 1]), ("LARGEST cup", [0, 1, 2]), ("est", [1]), ("with", [3]), ("</s>", [4])],
)
def test_a_word_selects_the_tokens_that_belong_to_it(maps: AttentionMaps, word: str, found: list[int]) -> None:
    chosen = maps[word]
    assert chosen.tokens == tuple(TOKENS[index] for index in found)
    assert torch.equal(chosen.values, maps.values[:, :, found])
    assert chosen.text is not None
    assert maps.text is not None
    assert torch.equal(chosen.text, maps.text[:, found][:, :, found])


def test_a_word_that_no_token_belongs_to_is_named_with_the_nearest_one(maps: AttentionMaps) -> None:
    with pytest.raises(KeyError, match="did you mean largest"):
        maps["larges"]


@pytest.mark.parametrize("index", [0, (0, 1), slice(2), None])
def test_an_index_in_place_of_a_word_is_refused_with_what_selects_layers_and_heads(
    maps: AttentionMaps, index: object
) -> None:
    with pytest.raises(TypeError, match=r'^maps are selected by a word, maps\["cup"\], not by .*maps\.layer\(0\)'):
        maps[index]  # type: ignore[index]


def test_layers_and_heads_are_selected_by_index_range_and_name(maps: AttentionMaps) -> None:
    for wanted, found in ((1, [1]), ("1-2", [1, 2]), ("a,c", [0, 2]), ("all", [0, 1, 2])):
        assert torch.equal(maps.layer(wanted).values, maps.values[found])
    assert maps.layer("1-2").layers == ("b", "c")
    assert torch.equal(maps.head(1).values, maps.values[:, [1]])
    assert maps.head(1).heads == ("1",)
    with pytest.raises(ConfigError, match="layers='7-9'"):
        maps.layer("7-9")
    with pytest.raises(IndexError, match="heads 0 to 1"):
        maps.head(2)


def test_numpy_has_the_grid_s_shape_and_several_grids_are_apart(maps: AttentionMaps) -> None:
    np.testing.assert_array_equal(maps.numpy(), maps.values.numpy().reshape(LAYERS, HEADS, len(TOKENS), H, W))
    tiles = replace(maps, grids=(TokenGrid((2, 5)), TokenGrid((2, 1, 5))))
    first, second = tiles.by_grid()
    assert (first.shape[3:], second.shape[3:]) == ((2, 5), (2, 1, 5))
    np.testing.assert_array_equal(second.reshape(LAYERS, HEADS, len(TOKENS), 10), maps.values[..., 10:])
    with pytest.raises(ValueError, match="2 grids"):
        tiles.numpy()


def test_the_mean_over_layers_is_that_of_layers_and_heads(maps: AttentionMaps) -> None:
    merged = maps.mean_layers()
    assert merged.layers == merged.heads == ("mean",)
    np.testing.assert_allclose(
        merged.numpy()[0, 0], maps.numpy().astype(np.float64).mean(axis=(0, 1)), rtol=1e-6, atol=1e-7
    )


def test_one_map_is_laid_over_the_picture_like_opencv_does_and_never_below_zero(maps: AttentionMaps) -> None:
    one = maps["cup"].mean_layers()
    expected = np.maximum(cv2.resize(one.numpy()[0, 0, 0], (50, 40), interpolation=cv2.INTER_CUBIC), 0)
    np.testing.assert_array_equal(one.over((40, 50)), expected)
    with pytest.raises(ValueError, match="one map can be laid over a picture, there are 6"):
        maps["cup"].over((40, 50))


@pytest.mark.parametrize("has_text", [True, False])
def test_what_is_saved_is_loaded_whole(maps: AttentionMaps, tmp_path: Path, has_text: bool) -> None:
    maps = replace(
        maps,
        grids=(TokenGrid((2, 5), (0.0, 0.0, 0.5, 1.5)), TokenGrid((2, 1, 5), frames=(range(1), range(1, 4)))),
        text=maps.text if has_text else None,
    )
    path = maps.save(tmp_path / "maps.npz")
    loaded = AttentionMaps.load(path)
    assert torch.equal(loaded.values, maps.values)
    assert (loaded.text is None) == (not has_text)
    for name in ("layers", "heads", "tokens", "grids"):
        assert getattr(loaded, name) == getattr(maps, name)
    with np.load(path) as arrays:  # without pickle, by any program
        np.testing.assert_array_equal(arrays["values"], maps.values.numpy())


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", "other"])
def test_a_file_that_holds_no_maps_is_refused_in_one_line(tmp_path: Path, content: object) -> None:
    path = tmp_path / "maps.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "other":
        np.savez(path, other=np.zeros(3))
    with pytest.raises(InputError, match=r"^[^\n]*maps\.npz[^\n]*$"):
        AttentionMaps.load(path)


@pytest.mark.parametrize(("by", "count"), [("layer", LAYERS), ("head", HEADS), ("token", len(TOKENS))])
def test_the_picture_has_one_coloured_tile_per_layer_head_or_token(maps: AttentionMaps, by: str, count: int) -> None:
    hot = maps.values.clone()
    hot[:] = 0.0
    hot[..., 7] = 1.0
    picture = replace(maps, values=hot).grid(by)  # type: ignore[arg-type]
    red = (picture[..., 0] > 100) & (picture[..., 1] < 40) & (picture[..., 2] < 40)
    found, _ = cv2.connectedComponents(red.astype(np.uint8))
    assert found - 1 == count


def test_the_short_representation_names_the_shape_and_the_words(maps: AttentionMaps) -> None:
    assert repr(maps) == "<AttentionMaps: 3 layers, 2 heads, 5 tokens (▁larg est ▁Cup ▁with </s>), grid 4x5>"


@pytest.mark.parametrize("field", ["layers", "heads", "tokens", "grids", "text"])
def test_names_that_do_not_fit_the_values_are_refused(maps: AttentionMaps, field: str) -> None:
    wrong = torch.zeros(LAYERS, 2, 2) if field == "text" else getattr(maps, field) * 2
    with pytest.raises(ValueError, match="must be"):
        replace(maps, **{field: wrong})
