"""The vision tower is taught what the namer says, each patch by the place that it stands for."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from groundkit.weights.training import vision, vlm
from groundkit.weights.training.captions import Mention
from groundkit.weights.training.scenes import EASY
from groundkit.weights.training.vae import NAMER, Namer, build


def names(rng: torch.Generator) -> vision.Names:
    places, nouns, colours = (torch.randn(size, generator=rng) for size in [(2, 6), (2, 6, 5), (2, 6, 3)])
    return places, nouns.log_softmax(-1), colours.log_softmax(-1)


def test_the_distance_is_that_of_float64_and_nothing_where_names_agree():
    rng = torch.Generator().manual_seed(0)
    own, taught = names(rng), names(rng)
    assert vision.distance(own, own).abs() < 1e-6
    expected = 0.0
    for picture in range(2):
        where, mine = taught[0][picture].double().softmax(-1), own[0][picture].double().softmax(-1)
        expected += float((where * (where / mine).log()).sum()) / 2
        for kind in (1, 2):
            theirs, ours = taught[kind][picture].double(), own[kind][picture].double()
            expected += float((where[:, None] * theirs.exp() * (theirs - ours)).sum()) / 2
    assert vision.distance(own, taught).item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def taught(maker, tmp_path, monkeypatch) -> vision.Taught:
    monkeypatch.setattr(vlm, "HELD_OUT", 2)
    drawn = [maker.scene(seed, EASY) for seed in range(6)]
    mentions = [[dataclasses.asdict(Mention.of(o)) for o in scene.objects] for scene in drawn]
    images = torch.from_numpy(np.stack([s.image for s in drawn]))
    torch.save({"images": images, "mentions": mentions}, tmp_path / "pictures.pt")
    autoencoder = build()
    autoencoder.register_to_config(shift_factor=0.5, scaling_factor=2.0)
    autoencoder.save_pretrained(tmp_path)
    namer = Namer()
    torch.nn.init.zeros_(namer.read.bias)
    save_file(namer.state_dict(), tmp_path / NAMER)
    # Zero before scale and shift; fewer than pictures: the others are not drawn.
    latents = torch.full((4, 16, 16, 16), -1.0)
    latents[:, :, 6:8, 10:12] = 1.0  # row 3, column 5 of the 8 x 8 patches
    torch.save({"latents": latents}, tmp_path / "latents.pt")
    return vision.Taught([tmp_path / "pictures.pt"], [tmp_path / "latents.pt"], tmp_path)


def test_a_place_of_the_latent_teaches_the_patch_of_the_same_pixels(taught):
    pixels, mentions, latents = taught.next(8, np.random.default_rng(0))
    where, nouns, _ = taught.names(latents)
    assert pixels.shape == (2, 3, 128, 128)
    taller = (nouns - nouns[:, :1]).abs().sum(-1) > 1e-6
    assert taller.sum(-1).tolist() == [1, 1]
    assert (taller.int().argmax(-1) == 3 * 8 + 5).all()
    assert where.shape[1] == 64
    assert set(mentions[:, 0].tolist()) == {0, 1}


def test_the_tower_that_is_saved_is_the_one_that_the_language_model_begins_with(taught, tmp_path):
    common = ["--pictures", str(tmp_path / "pictures.pt"), "--batch", "4", "--vision", "32", "1", "--steps", "1"]
    vae = ["--vae", str(tmp_path), "--latents", str(tmp_path / "latents.pt")]
    vision.main([*common, *vae, "--output", str(tmp_path / "vision")])
    saved = tmp_path / "vision"
    vlm.main([*common, "--text", "32", "1", "--rate", "0", "--tower", str(saved), "--output", str(tmp_path / "vlm")])
    state = torch.load(tmp_path / "vlm" / "checkpoint.pt", weights_only=True)["model"]
    for name, value in load_file(saved / vlm.TOWER).items():
        torch.testing.assert_close(state[f"llava.model.vision_tower.{name}"], value, rtol=0, atol=0)


def test_each_token_of_the_tower_sees_most_of_the_pixels_that_are_its_own():
    torch.manual_seed(0)
    tower = vlm.build(8, 32, 1, 32, 1).model.vision_tower.eval()
    pixels = torch.zeros(1, 3, 128, 128, requires_grad=True)
    vlm.see(tower, pixels)[0, 3 * 8 + 5].sum().backward()
    share = torch.nn.functional.avg_pool2d(pixels.grad.abs().sum(1), 16)[0]
    assert divmod(int(share.argmax()), 8) == (3, 5)


def test_what_has_learnt_to_read_latents_reads_them_from_a_tower_that_tells_them(tmp_path):
    torch.manual_seed(0)
    reader, model = vlm.build(8, 64, 1, 32, 1), vlm.build(8, 32, 1, 32, 1)
    tower = vision.Tower(32, 1)
    save_file(tower.tower.state_dict(), tmp_path / vlm.TOWER)
    save_file(tower.read.state_dict(), tmp_path / vlm.READER)
    vlm.begin(model, reader, tmp_path)
    pixels = torch.randn(2, 3, 64, 64)
    seen = vlm.see(model.model.vision_tower, pixels)
    read = reader.model.multi_modal_projector(vlm.see(None, tower(pixels)))
    torch.testing.assert_close(model.model.multi_modal_projector(seen), read, rtol=1e-4, atol=1e-4)
