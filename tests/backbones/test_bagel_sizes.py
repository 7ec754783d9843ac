"""Images are resized as by the released code, whose limits follow from the grids of the released model."""

from __future__ import annotations

import pytest
from PIL import Image

from imug_tts.backbones.bagel.sizes import latent_limits, resized, vit_limits

LATENT = latent_limits(side=64, stride=16)
VIT = vit_limits(side=70, patch=14, largest_image=1024)


def test_the_released_grids_have_the_released_limits() -> None:
    assert (LATENT.longest, LATENT.shortest, LATENT.stride) == (1024, 512, 16)
    assert (VIT.longest, VIT.shortest, VIT.stride) == (980, 224, 14)
    assert LATENT.max_pixels == VIT.max_pixels == 14 * 14 * 9 * 1024


@pytest.mark.parametrize(
    ("given", "taken", "seen"),  # as the original's ImageTransform.resize_transform gives them
    [
        ((1024, 1024), (1024, 1024), (980, 980)),
        ((640, 480), (688, 512), (686, 518)),
        ((191, 191), (512, 512), (518, 518)),
        ((4000, 500), (1024, 128), (980, 126)),
        ((300, 2000), (160, 1024), (154, 980)),
        ((8690, 5000), (1024, 592), (980, 560)),
        ((33, 1700), (16, 1024), (14, 980)),
        ((1000, 1001), (992, 1008), (966, 980)),
    ],
)
def test_sizes_are_those_of_the_original(
    given: tuple[int, int], taken: tuple[int, int], seen: tuple[int, int]
) -> None:
    image = resized(Image.new("RGB", given), LATENT)
    assert image.size == resized(image, LATENT).size == taken
    assert resized(image, VIT).size == seen
