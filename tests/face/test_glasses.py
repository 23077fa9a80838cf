"""Who wears glasses."""

import numpy as np
import pytest
from PIL import Image

from mdth.artefacts import Portrait
from mdth.face import glasses
from training.glasses import draw_glasses


@pytest.fixture
def wearer(portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
    """The demo portrait: a woman with dark-rimmed glasses, and her mesh."""
    return portrait.image, portrait.mesh


def test_real_glasses_are_seen(wearer: tuple[np.ndarray, np.ndarray]) -> None:
    assert glasses.likelihood(*wearer) > 0.8


def test_at_any_size(wearer: tuple[np.ndarray, np.ndarray]) -> None:
    picture, mesh = wearer
    large = np.asarray(Image.fromarray(picture).resize((1024, 1200)))
    assert glasses.likelihood(large, mesh * 2) > 0.8


def test_bare_skin_has_none_until_they_are_drawn(wearer: tuple[np.ndarray, np.ndarray]) -> None:
    _, places = glasses.patch(*wearer)
    skin = np.full((glasses.SIZE[1], glasses.SIZE[0], 3), (200, 160, 140), np.uint8)
    weights, bias = glasses._weights(glasses.WEIGHTS)
    drawn = draw_glasses(skin, places, np.random.default_rng(1))
    bare, worn = (float(glasses.features(p) @ weights + bias) for p in (skin, drawn))
    assert worn > bare + 1
