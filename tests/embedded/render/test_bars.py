"""Bars at a picture's edges are no part of it."""

from pathlib import Path

import cv2
import numpy as np

from mdth.artefacts import Frame, Portrait
from mdth.embedded.render import bars
from mdth.embedded.render.renderer import Renderer
from mdth.face import geometry
from mdth.face.portrait import prepare_portrait


def barred(picture: Frame, colour: int = 0) -> Frame:
    """A picture without its upper 30 rows, between bars of 60 px, kept as a JPEG."""
    image = np.pad(picture[30:], ((60, 60), (0, 0), (0, 0)), constant_values=colour)
    kept = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    return np.asarray(cv2.imdecode(kept, cv2.IMREAD_COLOR), np.uint8)


def test_bars_are_found_and_walls_are_not(portrait: Portrait) -> None:
    height, width = portrait.image.shape[:2]
    assert bars.inside(portrait.image) == (slice(0, height), slice(0, width))
    for colour in (0, 128):
        rows, columns = bars.inside(barred(portrait.image, colour))
        assert abs(rows.start - 60) <= 1
        assert abs(rows.stop - (height + 30)) <= 1
        assert columns == slice(0, width)
    wall = np.full((200, 200, 3), 250, np.uint8)
    cv2.circle(wall, (100, 150), 90, (40, 30, 20), -1, cv2.LINE_AA)
    assert bars.inside(wall) == (slice(0, 200), slice(0, 200))


def test_a_hat_that_a_bar_cuts_moves_below_it(portrait: Portrait, checkpoints: Path) -> None:
    cut = prepare_portrait(barred(portrait.image))
    mesh = cut.mesh.astype(float)
    renderer = Renderer(cut)
    rows = bars.inside(cut.image)[0]
    eyes = slice(*(round(mesh[33, 1]) + np.array([-10, 10])))
    for way in (-0.3, 0.3):
        shift = np.array([0, way * float(geometry.eye_distance(mesh)), 0])
        frame = renderer.frame(mesh + shift)
        assert np.array_equal(frame[: rows.start], cut.image[: rows.start])
        assert np.array_equal(frame[rows.stop :], cut.image[rows.stop :])
        assert np.abs(frame[eyes].astype(int) - cut.image[eyes]).mean() > 5
