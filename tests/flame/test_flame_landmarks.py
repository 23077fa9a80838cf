import numpy as np
import pytest

from mdth.embedded.motion.landmarks import LANDMARKS, flame_to_face
from mdth.face import geometry, topology
from mdth.flame.model import Embedding, Flame

EYE_DISTANCE_MM = 88.0
# FLAME's frame: y up, z forwards.
NEUTRAL_MM = topology.CANONICAL[LANDMARKS] * np.array([1, -1, -1]) * EYE_DISTANCE_MM
LOWER_LIP = [*range(38, 43), *range(48, 51)]
UPPER_LIP = [*range(32, 37), *range(44, 47)]


def opened(millimetres: float) -> np.ndarray:
    """Offsets [1,51,3]: the lower lip down."""
    offsets = np.zeros((1, 51, 3))
    offsets[:, LOWER_LIP, 1] = -millimetres
    return offsets


def canonical() -> np.ndarray:
    face = np.zeros((478, 3))
    face[:468] = topology.CANONICAL
    return face


@pytest.mark.parametrize("turn_deg", [0, 25])
@pytest.mark.parametrize("millimetres", [4.0, 15.0])
def test_lips_open_as_far_as_flames(millimetres: float, turn_deg: float) -> None:
    turn = geometry.rotation_from_euler_deg(turn_deg, turn_deg / 2, 0)
    offsets = flame_to_face(opened(millimetres) @ turn.T, NEUTRAL_MM @ turn.T + 40.0)
    before = geometry.lip_opening(canonical())
    after = geometry.lip_opening(canonical() + offsets[0])
    assert (after - before) * EYE_DISTANCE_MM == pytest.approx(millimetres, rel=0.05)
    chin = offsets[0, 152] * EYE_DISTANCE_MM
    assert 0.5 * millimetres < chin[1] < 0.7 * millimetres
    assert abs(offsets[0, topology.UPPER_FACE]).max() < 0.02 * millimetres / EYE_DISTANCE_MM


def test_lips_that_meet_meet() -> None:
    random = np.random.default_rng(0)
    offsets = np.zeros((20, 51, 3))
    offsets[:, 31:] = random.normal(0, 3, (20, 1, 3))
    facing = [(44, 50), (45, 49), (46, 48), (32, 42), (33, 41), (34, 40), (35, 39), (36, 38)]
    for upper, lower in facing:
        offsets[:, upper] = offsets[:, lower] = random.normal(0, 3, (20, 3))
    upper, lower = flame_to_face(offsets, NEUTRAL_MM)[:, topology.LIP_PAIRS].transpose(2, 0, 1, 3)
    np.testing.assert_allclose(upper, lower, atol=0.01 * 3 / EYE_DISTANCE_MM)


def test_landmarks_go_where_they_are_told() -> None:
    offsets = np.random.default_rng(0).normal(0, 2, (3, 51, 3))
    moved = flame_to_face(offsets, NEUTRAL_MM)[:, LANDMARKS]
    np.testing.assert_allclose(moved, offsets * [1, -1, -1] / EYE_DISTANCE_MM, atol=1e-6)


def test_a_closed_mouth_at_rest_does_not_move() -> None:
    assert not flame_to_face(np.zeros((2, 51, 3)), NEUTRAL_MM).any()


def test_from_the_model_to_the_face(flame: Flame, embedding: Embedding) -> None:
    """The jaw joint of a FLAME-shaped head opens the mouth of the 478-vertex face."""
    pose = np.zeros((5, 15))
    pose[:, 6] = np.linspace(0, 0.3, 5)
    marks = np.concatenate([flame.landmarks(embedding, pose=each) for each in pose])
    moved = flame_to_face(marks - marks[0], marks[0])
    assert moved.shape == (5, 478, 3) and np.isfinite(moved).all()
    assert not moved[0].any()
