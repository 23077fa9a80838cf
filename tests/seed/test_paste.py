"""A head put back into its picture: nothing else changes, no seam."""

import numpy as np
import pytest

from mdth.face.crop import Crop
from mdth.seed.paste import Paster, soft_edge

HEIGHT, WIDTH = 300, 360


def crop(scale: float, turn_deg: float = 10.0) -> Crop:
    angle = np.deg2rad(turn_deg)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return Crop(np.column_stack([turn, 128 - turn @ [170.0, 150.0]]))


def smooth_picture() -> np.ndarray:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH] / 40
    waves = [np.sin(rows + columns), np.cos(rows), np.sin(columns - rows)]
    return (128 + 90 * np.stack(waves, axis=-1)).astype(np.uint8)


def covered(square: Crop) -> np.ndarray:
    """Which pixels of the picture lie in the crop, a pixel of room around it."""
    centres = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)
    at = square.points(centres)
    room = square.scale
    return ((at > -room) & (at < 256 + room)).all(axis=-1)


@pytest.mark.parametrize("scale", [0.7, 1.3, 3.0])
def test_outside_of_the_crop_nothing_changes(scale: float) -> None:
    picture, square = smooth_picture(), crop(scale)
    made = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    pasted = Paster(picture, square).paste(made)
    outside = ~covered(square)
    np.testing.assert_array_equal(pasted[outside], picture[outside])
    assert (pasted[~outside] != picture[~outside]).mean() > 0.5


@pytest.mark.parametrize("scale", [0.7, 1.3, 3.0])
def test_the_source_put_back_is_the_picture(scale: float) -> None:
    picture, square = smooth_picture(), crop(scale)
    pasted = Paster(picture, square).paste(square.cut(picture))
    assert np.abs(pasted.astype(int) - picture).max() <= 4


def test_another_colour_leaves_no_seam() -> None:
    """A step of 100 grey levels is spread over the soft edge, 32 px wide: under 8 a pixel."""
    picture = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    pasted = Paster(picture, crop(1.0)).paste(np.full((256, 256, 3), 160, np.uint8)).astype(int)
    steps = [np.abs(np.diff(pasted, axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 8
    assert pasted[150, 170].tolist() == [160] * 3


def test_the_soft_edge() -> None:
    edge = soft_edge(256)
    assert edge[:, 0].max() == edge[0].max() == edge[-1].max() == 0
    assert (edge[40:-40, 40:-40] == 1).all()


def test_a_crop_beside_the_picture_shows_nothing() -> None:
    picture = smooth_picture()
    away = Crop(np.array([[1.0, 0, 2000.0], [0, 1.0, 2000.0]]))
    pasted = Paster(picture, away).paste(np.zeros((256, 256, 3), np.uint8))
    np.testing.assert_array_equal(pasted, picture)
