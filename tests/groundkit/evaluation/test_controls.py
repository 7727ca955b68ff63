import numpy as np
import pytest

from groundkit.evaluation.controls import CONTROLS, centre_blob, saliency, whole_image


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


def test_the_odd_one_out_of_a_regular_pattern_is_salient():
    image = np.zeros((256, 256, 3), np.uint8)
    for y in range(16, 256, 32):
        for x in range(16, 256, 32):
            image[y - 3 : y + 3, x - 10 : x + 10] = 200
    image[150:170, 174:194] = 0
    image[144 + 6 : 144 + 26, 181:187] = 200  # one bar stands upright
    guess = saliency(image)
    assert abs(guess.point[0] - 184) < 24
    assert abs(guess.point[1] - 160) < 24
    assert guess.mask.mean() < 0.3
