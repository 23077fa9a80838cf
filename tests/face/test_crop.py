"""Crops of faces, and the way back."""

import numpy as np
import pytest

from mdth.face import crop, landmarks68, topology
from mdth.face.crop import Crop


def face(turn_deg: float = 0.0, scale: float = 60.0) -> np.ndarray:
    """68 landmarks px of the canonical face about (200, 180)."""
    angle = np.deg2rad(turn_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * landmarks68.from_mesh(topology.CANONICAL)[:, :2] @ turn.T + [200, 180]


@pytest.mark.parametrize("turn_deg", [0, 20, -35])
def test_an_aligned_face_stands_upright_in_its_place(turn_deg: float) -> None:
    points = face(turn_deg)
    placed = crop.aligned(points).points(points)
    left, right = placed[36:42].mean(axis=0), placed[42:48].mean(axis=0)
    mouth = (placed[48] + placed[54]) / 2
    assert abs(left[1] - right[1]) < 0.5, "eyes level"
    assert abs((left + right)[0] / 2 - 128) < 0.5
    # By the formula: the middle lies a tenth of the way from eyes to mouth below the eyes.
    down = mouth[1] - left[1]
    assert left[1] + 0.1 * down == pytest.approx(128, abs=0.1)
    assert max(4 * (right[0] - left[0]), 3.6 * down) == pytest.approx(256, rel=1e-3)


def test_scale_and_turn_change_nothing_in_the_crop() -> None:
    one, other = face(0, 60), face(25, 90)
    first, second = (crop.aligned(marks).points(marks) for marks in (one, other))
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_there_and_back() -> None:
    square = crop.aligned(face(17))
    points = np.random.default_rng(0).uniform(0, 400, (9, 3))
    there = square.points(points)
    back = there[:, :2] @ square.back[:, :2].T + square.back[:, 2]
    np.testing.assert_allclose(back, points[:, :2], atol=1e-9)
    np.testing.assert_allclose(there[:, 2], points[:, 2] * square.scale)


def test_the_square_around_a_track_has_room() -> None:
    square = crop.around(np.array([100.0, 50.0]), np.array([200.0, 210.0]))
    ends = square.points(np.array([[100.0, 50.0], [200.0, 210.0]]))
    np.testing.assert_allclose(ends.mean(axis=0), 128)
    assert np.ptp(ends[:, 1]) == pytest.approx(256 / 1.4), "20 % on each side, as published"


def test_a_crop_shows_what_lies_there() -> None:
    """Colours are a plane over the picture: the crop's must be the plane at its own places."""
    rows, columns = np.mgrid[0:400, 0:400] + 0.5
    picture = np.stack([columns / 2, rows / 2, (rows + columns) / 4], axis=-1).astype(np.uint8)
    square = Crop(crop.aligned(face(12, 50)).matrix, size=256)
    centres = np.stack(np.meshgrid(*[np.arange(256) + 0.5] * 2), axis=-1)
    at = centres @ square.back[:, :2].T + square.back[:, 2]
    inside = ((at > 2) & (at < 398)).all(axis=-1)
    found = square.cut(picture).astype(float)[inside]
    assert inside.mean() > 0.5
    assert np.abs(found[:, 0] - at[inside][:, 0] / 2).max() < 1.5
    assert np.abs(found[:, 1] - at[inside][:, 1] / 2).max() < 1.5
