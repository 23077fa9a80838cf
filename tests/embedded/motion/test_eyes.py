import numpy as np
import pytest

from mdth.embedded.motion import eyes
from mdth.face import geometry, topology
from mdth.motion.head import EYE_RADIUS, GAZE_LIMIT_DEG

IRISES = np.concatenate(topology.IRISES)


@pytest.mark.parametrize("name", ["shut", "sleepy", "teeth"])
def test_shut_lids_meet_whatever_the_opening(faces, folds, name):
    face = faces[name]
    blink = face + eyes.move_lids(face, np.ones(2))
    np.testing.assert_allclose(geometry.eye_openings(blink), 0, atol=1e-9)
    assert folds(face, blink) == 0


def test_the_upper_lid_goes_nearly_all_the_way(faces):
    moved = eyes.move_lids(faces["shut"], np.ones(2))[:, 1]
    middle_top, middle_bottom = topology.LID_PAIRS_LEFT[3]
    assert moved[middle_top] > 0 > moved[middle_bottom]
    top, bottom = moved[middle_top], moved[middle_bottom]
    assert top / (top - bottom) == pytest.approx(0.9, abs=0.05)


def test_lid_skin_follows_less_the_further_it_is(faces):
    moved = np.linalg.norm(eyes.move_lids(faces["shut"], np.ones(2)), axis=1)
    lid, first, second = (moved[rows] for rows in topology.EYES[0][:, 1:8])
    assert (lid > first).all()
    assert (first > second).all()
    assert (second > 0).all()


def test_a_blink_leaves_irises_corners_and_the_rest_of_the_face(faces):
    moved = np.abs(eyes.move_lids(faces["shut"], np.ones(2))).max(axis=1)
    rest = np.setdiff1d(np.arange(478), np.concatenate([rows[:, 1:] for rows in topology.EYES]))
    assert not moved[rest].any()
    assert not moved[IRISES].any()
    assert not moved[[*topology.OUTER_EYE_CORNERS, 133, 362]].any()


def test_each_eye_closes_by_its_own_amount(faces):
    face = faces["shut"]
    before = geometry.eye_openings(face)
    after = geometry.eye_openings(face + eyes.move_lids(face, np.array([0.5, -0.2])))
    np.testing.assert_allclose(after / before, [0.5, 1.2], atol=1e-6)


def test_an_eye_never_turns_inside_out(faces):
    face = faces["shut"]
    over = eyes.move_lids(face, np.array([3.0, -3.0]))
    np.testing.assert_allclose(over, eyes.move_lids(face, np.array([1.0, eyes.WIDEST])))


def test_gaze_moves_both_irises_right_and_down_as_one(faces):
    moved = eyes.move_gaze(faces["shut"], np.array([5.0, 3.0]), np.zeros(2))
    expected = EYE_RADIUS * np.sin(np.deg2rad([5, 3]))
    np.testing.assert_allclose(moved[IRISES, :2], np.tile(expected, (10, 1)))


def test_open_lids_follow_the_gaze_down_and_shut_ones_do_not(faces):
    top = topology.LID_PAIRS_LEFT[3, 0]
    down = np.array([0.0, 6.0])
    iris = EYE_RADIUS * np.sin(np.deg2rad(6))
    assert 0.2 * iris < eyes.move_gaze(faces["shut"], down, np.zeros(2))[top, 1] < iris
    assert eyes.move_gaze(faces["shut"], down, np.ones(2))[top, 1] == 0


def test_gaze_is_limited():
    far = eyes.move_gaze(np.zeros((478, 3)), np.array([80.0, 0.0]), np.zeros(2))[IRISES[0], 0]
    assert far == pytest.approx(EYE_RADIUS * np.sin(np.deg2rad(GAZE_LIMIT_DEG)))


def test_brows_take_the_forehead_along_and_leave_eyes_and_mouth(faces, folds):
    raised = eyes.move_brows(np.tile([0, -0.03, 0], (20, 1)))
    np.testing.assert_allclose(raised[topology.BROWS, 1], -0.03)
    assert -0.03 < raised[104, 1] < -0.003
    for group in (topology.EYE_LEFT, topology.LIPS_OUTER, topology.FACE_OVAL, IRISES):
        assert not raised[group].any()
    assert folds(faces["shut"], faces["shut"] + raised) == 0


def test_rows_of_both_eyes_run_from_the_outer_corner_over_the_top():
    for rows, corner in zip(topology.EYES, topology.OUTER_EYE_CORNERS, strict=True):
        assert rows[0, 0] == corner
    mirrored = topology.CANONICAL[topology.EYES[1]] * [-1, 1, 1]
    np.testing.assert_allclose(topology.CANONICAL[topology.EYES[0]], mirrored, atol=1e-3)
