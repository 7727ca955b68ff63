from dataclasses import replace

import numpy as np
import torch
from planted import attention_maps

from groundkit.attention.choices import Normalisation
from groundkit.attention.maps import AttentionMaps
from groundkit.language import parse_phrase
from groundkit.stages.base import Scene
from groundkit.stages.compete import Compete
from groundkit.stages.sinks import find_sinks

LAYERS, TOKENS, SIDE = 4, 6, 8


def attention(*, sink: int | None = None, sink_layers: slice = slice(None)) -> AttentionMaps:
    """Sharp maps and an even text attention; in ``sink_layers`` every token looks at ``sink``, whose map is flat."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(LAYERS, TOKENS, SIDE, SIDE, generator=generator) ** 6
    text = torch.full((LAYERS, TOKENS, TOKENS), 1.0)
    if sink is not None:
        maps[sink_layers, sink] = 0.5
        text[sink_layers, :, sink] = 100.0
    text = text + 0.1 * torch.rand(text.shape, generator=generator)
    return attention_maps(maps, text / text.sum(dim=-1, keepdim=True))


def competed(maps: torch.Tensor, along: Normalisation) -> torch.Tensor:
    """What the stage makes of the mean over layers of maps ``(L, T, h, w)``, of a clip ``(L, T, t, h, w)``."""
    scene = Scene(None, parse_phrase("the cup"), ())  # type: ignore[arg-type]
    found = Compete(normalisation=along)(attention_maps(maps).mean_layers(), scene)
    return torch.from_numpy(found.numpy()[0, 0])


def test_tokens_compete_at_each_patch() -> None:
    maps = torch.rand(LAYERS, TOKENS, SIDE, SIDE)
    mean = maps.double().numpy().mean(axis=0)
    np.testing.assert_allclose(competed(maps, Normalisation.TOKENS), mean / mean.sum(axis=0), rtol=1e-5)


def test_image_normalisation_makes_each_token_map_sum_to_one() -> None:
    merged = competed(torch.rand(LAYERS, TOKENS, SIDE, SIDE), Normalisation.IMAGE)
    torch.testing.assert_close(merged.sum(dim=(1, 2)), torch.ones(TOKENS))


def test_a_planted_sink_is_found_and_nothing_else() -> None:
    for sink in range(TOKENS):
        assert find_sinks(attention(sink=sink)).tolist() == [index == sink for index in range(TOKENS)]


def test_a_sink_is_one_however_little_of_their_attention_the_words_leave_to_the_text() -> None:
    found = attention(sink=2)
    assert found.text is not None
    left_to_the_text = torch.tensor([0.01, 0.7, 0.02, 0.5, 0.03, 0.9])[:, None]
    assert find_sinks(replace(found, text=found.text * left_to_the_text)).nonzero().tolist() == [[2]]


def test_no_sink_is_found_where_none_is() -> None:
    assert not find_sinks(attention()).any()


def test_a_sink_of_the_early_layers_alone_is_none() -> None:
    assert not find_sinks(attention(sink=2, sink_layers=slice(0, 2))).any()


def test_a_token_that_everyone_looks_at_but_whose_map_is_sharp_is_no_sink() -> None:
    planted = attention(sink=2)
    sharp = torch.from_numpy(planted.numpy()[:, 0].copy())
    sharp[:, 2] = 0.0
    sharp[:, 2, 3, 3] = 1.0
    assert not find_sinks(attention_maps(sharp, planted.text)).any()


def test_maps_of_a_clip_compete_and_sum_like_those_of_a_picture() -> None:
    maps = torch.rand(LAYERS, TOKENS, 3, SIDE, SIDE)
    torch.testing.assert_close(competed(maps, Normalisation.TOKENS).sum(dim=0), torch.ones(3, SIDE, SIDE))
    torch.testing.assert_close(competed(maps, Normalisation.IMAGE).sum(dim=(1, 2, 3)), torch.ones(TOKENS))


def test_where_words_do_not_look_at_words_a_sink_is_what_every_patch_looks_at() -> None:
    maps = torch.rand(LAYERS, TOKENS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) ** 6 / 10
    assert not find_sinks(attention_maps(maps)).any()
    maps[:, 2] = 0.5
    assert find_sinks(attention_maps(maps)).tolist() == [i == 2 for i in range(TOKENS)]
