import numpy as np
import pytest

from groundkit.evaluation.pictures.controls import CONTROLS, centre_blob, saliency, whole_image


@pytest.mark.parametrize("name", list(CONTROLS))
@pytest.mark.parametrize("size", [(48, 64), (1, 1), (1, 200), (200, 1), (7, 500)])
def test_a_guess_has_the_pictures_size_and_its_point_lies_in_its_mask(name, size):
    for image in (np.zeros((*size, 3), np.uint8), np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)):
        guess = CONTROLS[name](image)
        assert guess.mask.shape == size
        assert guess.mask.dtype == np.bool_
        assert guess.mask[int(guess.point[1]), int(guess.point[0])]


def test_the_blob_covers_a_fifth_and_is_symmetric():
    mask = centre_blob(np.zeros((300, 400, 3), np.uint8)).mask
    assert mask.mean() == pytest.approx(np.pi / 16, abs=0.002)
    np.testing.assert_array_equal(mask, mask[::-1, ::-1])
    assert whole_image(np.zeros((3, 4, 3), np.uint8)).mask.all()


@pytest.mark.parametrize("centre", [(80, 60), (100, 180), (200, 120)])
def test_a_disc_on_noise_is_salient(centre):
    image = np.random.default_rng(0).integers(0, 60, (256, 256, 1), np.uint8).repeat(3, axis=2)
    y, x = np.mgrid[:256, :256]
    image[np.hypot(x - centre[0], y - centre[1]) < 12] = 220
    guess = saliency(image)
    assert np.hypot(guess.point[0] - centre[0], guess.point[1] - centre[1]) < 10
    assert 0.005 < guess.mask.mean() < 0.1
