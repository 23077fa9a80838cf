import numpy as np
import pytest

from mdth.embedded.motion import mouth
from mdth.face import geometry, topology

UPPER, LOWER = topology.LIP_PAIRS.T
ALL = ["shut", "smile", "teeth", "open", "sleepy"]


def gaps(face):
    return face[LOWER] - face[UPPER]


def lift(face):
    """How far the mouth corners stand above the middle of the lips."""
    return face[[*topology.LIP_MID_PAIR], 1].mean() - face[[*topology.MOUTH_CORNERS], 1].mean()


@pytest.mark.parametrize("name", ALL)
def test_every_pair_of_lips_meets_and_no_skin_folds(faces, folds, name):
    closed = mouth.neutral_face(faces[name])
    assert np.abs(gaps(closed)).max() < 1e-9
    assert folds(faces["shut"], closed) == 0


@pytest.mark.parametrize("name", ALL)
def test_eyes_nose_and_ears_stay(faces, name):
    moved = np.abs(mouth.neutral_face(faces[name]) - faces[name]).max(axis=1)
    assert not moved[topology.UPPER_FACE].any()
    assert not moved[topology.RIGID].any()


def test_a_shut_mouth_at_rest_is_left_as_it_is(faces):
    assert np.abs(mouth.neutral_face(faces["shut"]) - faces["shut"]).max() < 1e-3


def test_an_open_jaw_comes_up_with_its_lip_and_bared_teeth_hardly_move_the_chin(faces):
    chin, under_lip = 152, 17
    for name, least, most in (("teeth", 0.1, 0.5), ("open", 0.5, 0.7)):
        up = faces[name][:, 1] - mouth.neutral_face(faces[name])[:, 1]
        assert least < up[chin] / up[14] < most
        assert up[chin] < up[under_lip] < up[14]
        assert -up[13] < up[14]


@pytest.mark.parametrize("name", ["smile", "teeth"])
def test_a_smile_relaxes_by_its_share_and_stays_a_smile(faces, name):
    before, after = faces[name], mouth.neutral_face(faces[name])
    corners = list(topology.MOUTH_CORNERS)
    lowered = (after - before)[corners, 1].mean() / (lift(before) - mouth.REST_LIFT)
    narrowed = geometry.mouth_width(before) - geometry.mouth_width(after)
    assert lowered == pytest.approx(mouth.SMILE_RELAX, abs=0.02)
    wide = geometry.mouth_width(before) - mouth.REST_WIDTH
    assert narrowed / wide == pytest.approx(mouth.SMILE_RELAX, abs=0.05)


def test_shut_lips_of_bared_teeth_lie_on_a_smooth_curve(faces):
    closed = mouth.neutral_face(faces["teeth"])
    line = closed[[topology.MOUTH_CORNERS[0], *UPPER, topology.MOUTH_CORNERS[1]]]
    slopes = np.diff(line[:, 1]) / np.diff(line[:, 0])
    assert (np.diff(line[:, 0]) > 0).all()
    assert (np.diff(slopes) < 1e-6).all(), "a smile's line bends one way"


def test_closing_moves_smoothly_with_the_opening(faces):
    """A hair more opening in the portrait gives a hair of another neutral face."""
    shut, teeth = faces["shut"], faces["teeth"]
    amounts = np.linspace(0, 1, 201)
    closed = np.stack([mouth.neutral_face(shut + a * (teeth - shut)) for a in amounts])
    steps = np.abs(np.diff(closed, axis=0)).max(axis=(1, 2))
    assert steps.max() < 4 * np.abs(teeth - shut).max() / 200


def test_lips_that_cross_or_nearly_touch_meet_and_others_are_free(faces):
    for asked, shown in ((-0.08, 0), (-0.01, 0), (0.009, 0), (0.05, 0.05), (0.3, 0.3)):
        face = faces["shut"].copy()
        face[LOWER, 1] += asked - gaps(face)[:, 1]
        np.testing.assert_allclose(gaps(mouth.touch_lips(face))[:, 1], shown, atol=1e-9)


def test_shut_lips_meet_in_depth_and_sideways_too(faces):
    face = faces["shut"] + np.random.default_rng(0).normal(0, 0.003, (478, 3))
    assert np.abs(gaps(mouth.touch_lips(face))).max() < 1e-9


def test_the_shown_gap_grows_smoothly_and_never_shrinks():
    asked = np.linspace(-0.05, 0.1, 3001)
    shown = mouth.drawn_gap(asked)
    slope = np.diff(shown) / np.diff(asked)
    assert shown.min() == 0
    assert slope.min() >= 0
    assert np.abs(np.diff(slope)).max() < 0.02, "no kink: lips do not pop"
    np.testing.assert_allclose(shown[asked > mouth.FREE], asked[asked > mouth.FREE])


def test_touching_keeps_the_chin_and_the_nose(faces):
    face = faces["shut"].copy()
    face[UPPER, 1] += 0.05
    moved = np.abs(mouth.touch_lips(face) - face).max(axis=1)
    assert not moved[mouth.JAW].any()
    assert not moved[topology.RIGID].any()
    assert moved[13] > 0


def test_speech_moves_mouth_chin_and_cheeks_not_eyes_and_brows():
    weights = mouth.SPEECH_WEIGHTS
    assert (weights[topology.LIPS_OUTER] == 1).all()
    assert (weights[mouth.JAW] == 1).all()
    assert not weights[topology.UPPER_FACE].any()
    nose_root, forehead, cheek = 168, 10, 50
    assert weights[nose_root] == weights[forehead] == 0
    assert 0 < weights[cheek] < 1
