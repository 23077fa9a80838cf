"""Who wears glasses."""

import numpy as np
import pytest
from PIL import Image

from mdth.artefacts import Portrait
from mdth.face import worn
from mdth.face.worn import GLASSES
from training.glasses import draw_glasses


@pytest.fixture
def wearer(portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
    """The demo portrait: a woman with dark-rimmed glasses, and her mesh."""
    return portrait.image, portrait.mesh


def test_real_glasses_are_seen(wearer: tuple[np.ndarray, np.ndarray]) -> None:
    assert GLASSES.likelihood(*wearer) > 0.8


def test_at_any_size(wearer: tuple[np.ndarray, np.ndarray]) -> None:
    picture, mesh = wearer
    large = np.asarray(Image.fromarray(picture).resize((1024, 1200)))
    assert GLASSES.likelihood(large, mesh * 2) > 0.8


def test_bare_skin_has_none_until_they_are_drawn(wearer: tuple[np.ndarray, np.ndarray]) -> None:
    _, places = GLASSES.patch(*wearer)
    skin = np.full((worn.SIZE[1], worn.SIZE[0], 3), (200, 160, 140), np.uint8)
    weights, bias = worn._weights(GLASSES.weights)
    drawn = draw_glasses(skin, places, np.random.default_rng(1))
    bare, drawn_score = (float(GLASSES.features(p) @ weights + bias) for p in (skin, drawn))
    assert drawn_score > bare + 1
