"""What drives the seed's generator: head, eyes, mouth."""

import numpy as np
import pytest

from mdth.face import landmarks68, topology
from mdth.face.geometry import rotation_from_euler_deg
from mdth.motion.head import REST
from mdth.seed import eyes, head, moves
from mdth.seed.artefacts import Faces, SeedClip
from mdth.seed.moves import SeedDriver

UNIT_MM = 92.0


def landmarks() -> np.ndarray:
    marks = landmarks68.from_mesh(topology.CANONICAL * np.array([1, -1, -1]) * UNIT_MM)
    marks[3] = (marks[36] + marks[39]) / 2
    marks[4] = (marks[42] + marks[45]) / 2
    return marks


def faces(angles_deg: np.ndarray, places: np.ndarray, marks: np.ndarray | None = None) -> Faces:
    """Frames with a head turned by [T,3] (about x, y, z) at [T,2], half crops from the middle."""
    count = len(angles_deg)
    screen = np.diag([0.9, -0.9, -1.0, 1.0])
    screen[:3, 3] = [0, 256, -75]
    modelview = np.tile(np.eye(4), (count, 1, 1))
    turns = np.stack([moves.rotation_from(angle) for angle in np.deg2rad(angles_deg)])
    modelview[:, :3, :3] = turns
    modelview[:, :2, 3] = np.array([128.0, 126.0]) / 0.9
    shown = np.tile(landmarks(), (count, 1, 1)) if marks is None else marks
    seen_at = np.column_stack([places, np.zeros(count)])
    return Faces(shown, modelview, np.tile(screen, (count, 1, 1)), turns, seen_at)


def source(angle: tuple[float, float, float] = (0, 0, 0)) -> Faces:
    return faces(np.array([angle], float), np.zeros((1, 2)))


def nodding(count: int = 90, by_deg: float = 20.0) -> np.ndarray:
    angles = np.zeros((count, 3))
    angles[:, 0] = by_deg * np.sin(np.arange(count) / 8)
    return angles


def pca() -> eyes.EyePca:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(72, 72)))[0]
    return eyes.EyePca(np.linspace(9, 1, 72), basis)


def tracks(clip: Faces, own: Faces) -> tuple[np.ndarray, np.ndarray]:
    """Degrees [T,3] and px [T,2], each of the clip's frames once."""
    angles, places = head.head_tracks(clip, own, np.arange(len(clip)))
    return np.rad2deg(angles), places


def test_angles_are_scipys() -> None:
    rotations = pytest.importorskip("scipy.spatial.transform").Rotation
    angles = np.random.default_rng(1).uniform(-1.4, 1.4, (20, 3))
    turns = rotations.from_euler("xyz", angles).as_matrix()
    np.testing.assert_allclose(moves.angles(turns), angles, atol=1e-9)
    np.testing.assert_allclose([moves.rotation_from(angle) for angle in angles], turns, atol=1e-9)


@pytest.mark.parametrize("own", [(0, 0, 0), (12, -8, 3)])
def test_the_clip_turns_about_the_sources_own_pose(own: tuple[float, float, float]) -> None:
    clip = faces(nodding() + [5, 30, -4], np.full((90, 2), 0.2))
    angles, places = tracks(clip, source(own))
    np.testing.assert_allclose(angles.mean(axis=0), own, atol=2)
    np.testing.assert_allclose(places.mean(axis=0), [128, 128], atol=2)
    assert np.ptp(angles[:, 0]) > 15


@pytest.mark.parametrize("own", [0, 20])
@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1)])
def test_angles_stay_within_thirty_degrees_both_ways(axis: int, sign: int, own: float) -> None:
    """Nods of the upright head, turns and tilts about the source's own."""
    angles = np.zeros((120, 3))
    angles[:, axis] = sign * 80 * np.clip(np.sin(np.arange(120) / 10), -0.2, 1)
    turned = source(tuple(np.eye(3)[axis] * own))
    found = tracks(faces(angles, np.zeros((120, 2))), turned)[0][:, axis]
    assert np.abs(found - (own if axis else 0)).max() <= 30 + 1e-9
    assert np.ptp(found) > 40, "shrunk no more than needed"


def test_the_head_stays_in_the_picture() -> None:
    places = np.stack([np.linspace(-3, 3, 90), np.zeros(90)], axis=1)
    _, found = tracks(faces(np.zeros((90, 3)), places), source())
    assert found.min() >= 32 and found.max() <= 224
    assert np.ptp(found[:, 0]) > 150


def states(clip: SeedClip, count: int, **choices: float) -> list[moves.Move]:
    choices = {"fps": 30, "frames": count, **choices}
    return list(head.from_clip(clip, source(), pca(), **choices))


def test_forwards_and_backwards_for_ever() -> None:
    marks = blinking()[20:40]
    clip = SeedClip(faces(nodding(20), np.zeros((20, 2)), marks), np.ones(20, bool))
    turns, upper = (np.stack([state[part] for state in states(clip, 161)]) for part in (0, 2))
    np.testing.assert_allclose(turns[100:140], turns[60:100], atol=1e-3)
    np.testing.assert_allclose(upper[20:40], upper[19::-1], atol=1e-9)
    assert np.ptp(upper, axis=0).max() > 0.5
    slow = states(clip, 81, fps=15)
    np.testing.assert_allclose([s.rotation for s in slow], turns[::2], atol=1e-12)
    quicker = np.stack([state.upper for state in states(clip, 161, fps=60)])
    np.testing.assert_allclose(quicker[:160:2], upper[:80])


def test_one_frame_of_a_clip_or_a_video_is_enough() -> None:
    clip = SeedClip(faces(nodding(1), np.zeros((1, 2))), np.ones(1, bool))
    for count in (1, 2):
        assert len(states(clip, count)) == count
        np.testing.assert_allclose(states(clip, count)[-1].rotation, np.eye(3), atol=1e-12)


def test_no_motion_is_the_sources_own_pose() -> None:
    clip = SeedClip(faces(nodding(20), np.ones((20, 2))), np.ones(20, bool))
    for state in states(clip, 30, amount=0):
        np.testing.assert_allclose(state.rotation, np.eye(3), atol=1e-12)
        np.testing.assert_allclose(state.shift_px, 0, atol=1e-9)


def blinking() -> np.ndarray:
    """60 frames: a blink at 30, irises going far to both sides, brows that rise."""
    marks = np.tile(landmarks(), (60, 1, 1))
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        marks[28:32, upper] = marks[28:32, lower]
    for iris in (3, 4):
        marks[:, iris, 0] += 6 * np.sin(np.arange(60) / 5)
    marks[:, landmarks68.BROWS, 1] += 4 * np.sin(np.arange(60) / 9)[:, None]
    return marks


def offsets(marks: np.ndarray, own: Faces | None = None) -> np.ndarray:
    count = len(marks)
    clip = faces(np.zeros((count, 3)), np.zeros((count, 2)), marks)
    return eyes.eye_offsets(clip, own or source(), pca())


def test_upper_lids_and_irises_move_and_nothing_else_does() -> None:
    moved = offsets(blinking())
    resting = np.setdiff1d(np.arange(68), [3, 4, 37, 38, 43, 44])
    assert np.abs(moved[:, resting]).max() == 0
    assert (np.ptp(moved[:, [3, 4, 37, 38, 43, 44]], axis=0).max(axis=1) > 0.5).all()


def test_lids_keep_still_where_nobody_shall_blink() -> None:
    clip = SeedClip(faces(np.zeros((60, 3)), np.zeros((60, 2)), blinking()), np.ones(60, bool))
    for rate in (0, 1):
        upper = np.stack([state.upper for state in states(clip, 60, blink_rate=rate)])
        assert (np.abs(upper[:, 36:48]).max() > 0.01) == bool(rate)
        assert np.abs(upper[:, 3:5]).max() > 0.5, "eyes look around all the same"


def test_irises_go_no_further_than_published() -> None:
    moved, own = offsets(blinking()), landmarks()
    width = np.ptp(own[36:42, 0])
    for iris, share in ((3, 12), (4, 24)):
        reach = np.ptp(moved[:, iris, 0]) / 2
        assert reach <= width / share + 1e-9 and reach > 0.9 * width / share
    assert np.ptp(moved[:, 3:5, 2], axis=0).max() == 0


def test_a_higher_eye_blinks_further_in_height_alone() -> None:
    own = source()
    taller = own.landmarks * np.array([1, 2, 1])
    moved, further = (
        offsets(blinking()),
        offsets(blinking(), Faces(taller, *list(vars(own).values())[1:])),
    )
    lids = eyes.UPPER_LIDS
    np.testing.assert_allclose(further[:, lids], moved[:, lids] * [1, 2, 1], atol=1e-9)


def seen(landmarks_mm: np.ndarray, view: np.ndarray) -> np.ndarray:
    return np.column_stack([landmarks_mm, np.ones(len(landmarks_mm))]) @ view


def test_at_rest_the_source_is_driven_by_itself() -> None:
    driver = SeedDriver(source((5, 10, -3)))
    driving = driver.drive(np.zeros((51, 3)), next(moves.still()))
    np.testing.assert_allclose(driving.landmarks, driver.source.landmarks)
    np.testing.assert_allclose(driving.view, driver.source.view, atol=1e-12)


def test_speech_moves_the_mouth_alone_in_millimetres() -> None:
    driver = SeedDriver(source(), amplitude=0.5)
    spoken = np.random.default_rng(0).normal(0, 1e-3, (51, 3))
    way = driver.drive(spoken, next(moves.still())).landmarks - landmarks()
    assert np.abs(way[:48]).max() == 0
    np.testing.assert_allclose(way[48:], 500 * spoken[31:], atol=1e-9)


def test_a_turn_keeps_the_heads_place() -> None:
    driver = SeedDriver(source())
    turn = moves.rotation_from(np.deg2rad([0, 15.0, 0]))
    driving = driver.drive(
        np.zeros((51, 3)), moves.Move(turn, np.array([4, -2]), np.zeros((68, 3)))
    )
    np.testing.assert_allclose((np.array([[0, 0, 0, 1.0]]) @ driving.view)[0, :2], [132, 128])
    nose = seen(landmarks(), driving.view)[30, 0] - seen(landmarks(), driver.source.view)[30, 0]
    assert nose > 10, "about y by a positive angle the nose goes to the viewer's right"


def test_generated_motion_is_the_embedded_engines() -> None:
    """Turned to the viewer's right there, the nose goes right here; lids shut; brows rise."""
    brows = np.zeros((20, 3))
    brows[:, 1] = -0.02
    state = REST._replace(rotation=rotation_from_euler_deg(8, 0, 0), closed=np.ones(2), brows=brows)
    driver, (move,) = SeedDriver(source()), moves.generated([state], source())
    driving = driver.drive(np.zeros((51, 3)), move)
    before, after = (seen(d.landmarks, d.view) for d in (driver.source, driving))
    assert after[30, 0] - before[30, 0] > 3
    np.testing.assert_allclose(driving.landmarks[37], driving.landmarks[41], atol=0.01)
    assert (after[17:27, 1] < before[17:27, 1]).all()
