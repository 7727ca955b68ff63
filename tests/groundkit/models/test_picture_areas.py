"""Diffusion families read a photograph of any size at the area that they were trained at."""

import pytest

from groundkit.models.diffusion.base import fit_size


@pytest.mark.parametrize("size", [(3000, 4000), (6000, 8000), (8000, 6000), (1080, 1920), (64, 48), (9000, 500)])
@pytest.mark.parametrize(
    ("height", "width", "step"),  # of the family's own pictures, and pixels of one token
    [
        pytest.param(1024, 1024, 16, id="FLUX.1"),
        pytest.param(480, 848, 16, id="Mochi"),
        pytest.param(480, 832, 16, id="Wan 2.1"),
        pytest.param(480, 720, 16, id="CogVideoX"),
        pytest.param(720, 1280, 16, id="HunyuanVideo"),
        pytest.param(512, 704, 32, id="LTX-Video"),
    ],
)
def test_a_photograph_of_any_size_gets_about_the_tokens_of_the_familys_own_pictures(
    size: tuple[int, int], height: int, width: int, step: int
) -> None:
    rows, columns = (side // step for side in fit_size(*size, area=height * width, step=step))
    own = height * width / step**2
    assert rows * columns <= 1.05 * own
    if max(size) < 8 * min(size):  # a longer strip is squeezed
        assert rows * columns >= 0.95 * own
