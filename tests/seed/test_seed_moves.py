"""What drives the seed's generator: head, eyes, mouth."""

import itertools

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


def faces(angles_deg: np.ndarray, places_px: np.ndarray, marks: np.ndarray | None = None) -> Faces:
    """Frames with a head turned by [T,3] (about x, y, z) at [T,2] px, 0.9 px a mm."""
    count = len(angles_deg)
    screen = np.diag([0.9, -0.9, -1.0, 1.0])
    screen[:3, 3] = [0, 256, -75]
    modelview = np.tile(np.eye(4), (count, 1, 1))
    turns = np.stack([moves.rotation_from(angle) for angle in angles_deg])
    modelview[:, :3, :3] = turns
    modelview[:, :2, 3] = (places_px - [0, 256]) / [0.9, -0.9]
    shown = np.tile(landmarks(), (count, 1, 1)) if marks is None else marks
    return Faces(shown, modelview, np.tile(screen, (count, 1, 1)), turns)


def source(angle: tuple[float, float, float] = (0, 0, 0)) -> Faces:
    return faces(np.array([angle], float), np.array([[128.0, 130.0]]))


def nodding(count: int = 90, by_deg: float = 20.0) -> np.ndarray:
    angles = np.zeros((count, 3))
    angles[:, 0] = by_deg * np.sin(np.arange(count) / 8)
    return angles


def basis() -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(0).normal(size=(72, 72)))[0]


def test_angles_and_back() -> None:
    angles = np.random.default_rng(1).uniform(-80, 80, (20, 3))
    turns = np.stack([moves.rotation_from(angle) for angle in angles])
    np.testing.assert_allclose(moves.angles_deg(turns), angles, atol=1e-9)


def test_angles_are_the_networks() -> None:
    """inv(pitch) inv(yaw) inv(roll): the head-pose network's rotation gives its own angles back."""
    torch = pytest.importorskip("torch")
    headpose = pytest.importorskip("mdth.bfv2v.headpose")
    turned = headpose.rotation(torch.tensor([[20.0, -10.0, 5.0]])).numpy()
    np.testing.assert_allclose(moves.angles_deg(turned)[0], [10, -20, -5], atol=0.02)


@pytest.mark.parametrize("own", [(0, 0, 0), (12, -8, 3)])
def test_the_clip_turns_about_the_sources_own_pose(own: tuple[float, float, float]) -> None:
    clip = faces(nodding() + [5, 30, -4], np.full((90, 2), 100.0))
    angles, places = head.head_tracks(clip, source(own))
    np.testing.assert_allclose(angles.mean(axis=0), own, atol=1.5)
    np.testing.assert_allclose(places, [[128, 130]] * 90, atol=1e-6)
    assert np.ptp(angles[:, 0]) > 25


@pytest.mark.parametrize(("axis", "sign"), [(0, 1), (0, -1), (1, 1), (1, -1), (2, 1), (2, -1)])
def test_angles_stay_within_thirty_degrees_both_ways(axis: int, sign: int) -> None:
    angles = np.zeros((120, 3))
    angles[:, axis] = sign * 60 * np.clip(np.sin(np.arange(120) / 10), -0.2, 1)
    tracks, _ = head.head_tracks(faces(angles, np.full((120, 2), 128.0)), source())
    assert np.abs(tracks).max() <= 30 + 1e-9
    assert np.ptp(tracks[:, axis]) > 40, "shrunk no more than needed"


def test_the_head_stays_in_the_picture() -> None:
    places = np.stack([np.linspace(-300, 300, 90), np.full(90, 128.0)], axis=1)
    _, tracks = head.head_tracks(faces(np.zeros((90, 3)), places), source())
    assert tracks.min() >= 32 and tracks.max() <= 224
    assert np.ptp(tracks[:, 0]) > 150


def test_forwards_and_backwards_for_ever() -> None:
    clip = SeedClip(faces(nodding(20), np.full((20, 2), 128.0)), np.ones(20, bool))
    states = list(itertools.islice(head.from_clip(clip, source(), basis(), fps=30), 80))
    turns = np.stack([state.rotation for state in states])
    np.testing.assert_allclose(turns[20:40], turns[19::-1], atol=1e-12)
    np.testing.assert_allclose(turns[40:], turns[:40], atol=1e-12)
    slow = list(itertools.islice(head.from_clip(clip, source(), basis(), fps=15), 10))
    np.testing.assert_allclose([s.rotation for s in slow], turns[:20:2], atol=1e-12)


def test_steady_when_still_quick_when_moving() -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, (200, 3))
    angles = noise + np.where(np.arange(200) < 100, 0, 20.0)[:, None] * [1, 0, 0]
    tracks, _ = head.head_tracks(faces(angles, np.full((200, 2), 128.0)), source())
    assert tracks[50:100, 1].std() < 0.7 * noise[50:100, 1].std()
    assert tracks[106, 0] - tracks[99, 0] > 18, "six frames after a step of 20 degrees"


def blinking() -> np.ndarray:
    """60 frames: a blink at 30, the iris of the left eye going far to both sides."""
    marks = np.tile(landmarks(), (60, 1, 1))
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        marks[28:32, upper] = marks[28:32, lower]
    for iris in (3, 4):
        marks[:, iris, 0] += 6 * np.sin(np.arange(60) / 5)
    return marks


def test_eyes_move_and_nothing_else_does() -> None:
    clip = faces(np.zeros((60, 3)), np.full((60, 2), 128.0), blinking())
    offsets = eyes.eye_offsets(clip, source(), basis())
    moving = np.zeros(68, bool)
    moving[eyes.POINTS] = True
    assert np.abs(offsets[:, ~moving]).max() == 0
    assert np.abs(offsets[:, [39, 42]]).max() < 1e-9, "the anchors hold still"


def test_lids_keep_still_where_nobody_shall_blink() -> None:
    clip = SeedClip(faces(np.zeros((60, 3)), np.full((60, 2), 128), blinking()), np.ones(60, bool))
    for rate in (0, 1):
        states = head.from_clip(clip, source(), basis(), fps=30, blink_rate=rate)
        upper = np.stack([state.upper for state in itertools.islice(states, 60)])
        assert (np.abs(upper[:, 36:48]).max() > 0.01) == bool(rate)
        assert np.abs(upper[:, 3:5]).max() > 0.5, "eyes look around all the same"


def test_irises_go_no_further_than_published() -> None:
    clip = faces(np.zeros((60, 3)), np.full((60, 2), 128.0), blinking())
    offsets = eyes.eye_offsets(clip, source(), basis())
    own = landmarks()
    for iris, (inner, outer), share in ((3, (39, 36), 12), (4, (42, 45), 24)):
        width = np.linalg.norm(own[inner] - own[outer])
        reach = np.abs(offsets[:, iris, :2]).max()
        assert reach <= width / share + 1e-9 and reach > 0.9 * width / share


def test_upper_lids_follow_the_cube() -> None:
    """30 c^3 of the PCA's coefficients at the upper lids, the coefficients elsewhere."""
    own = landmarks()
    way = np.zeros((72, 1))
    way[3 * 11 + 1], way[3 * 14 + 1] = 0.8, 0.6  # landmark 37's and 40's height
    marks = np.tile(own, (2, 1, 1))
    marks[1, 37, 1] -= 8.0
    offsets = eyes.eye_offsets(faces(np.zeros((2, 3)), np.full((2, 2), 128), marks), source(), way)
    weight = -4.0 / 128 * 0.8
    assert offsets[1, 37, 1] == pytest.approx(128 * 0.8 * 30 * weight**3)
    assert offsets[1, 40, 1] == pytest.approx(128 * 0.6 * weight)


def test_another_size_of_eye_gets_motion_of_its_size() -> None:
    marks = np.tile(landmarks(), (10, 1, 1))
    marks[:, 19, 1] += np.arange(10) / 3
    clip = faces(np.zeros((10, 3)), np.full((10, 2), 128.0), marks)
    large = source()
    large = Faces(2 * large.landmarks, large.modelview, large.screen, large.rotation)
    small_way = eyes.eye_offsets(clip, source(), basis())[:, 19]
    np.testing.assert_allclose(eyes.eye_offsets(clip, large, basis())[:, 19], 2 * small_way)


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
    turn = moves.rotation_from(np.array([0, 15.0, 0]))
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
