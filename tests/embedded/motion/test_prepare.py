from itertools import pairwise

import cv2
import numpy as np
import pytest

from mdth.artefacts import Motion
from mdth.embedded.motion.clip import motion_of
from mdth.errors import NoFaceFound
from mdth.face import geometry, topology
from mdth.face.follow import follow
from mdth.face.track import filled

pytestmark = pytest.mark.usefixtures("checkpoints")

BLACK = np.zeros((300, 256, 3), np.uint8)


@pytest.fixture
def picture(portrait):
    return portrait.image


def moved(picture, dx=0.0, roll_deg=0.0, size=1.0):
    """The picture at half size, rolled clockwise and scaled about its middle, moved right by px."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -roll_deg, size)
    matrix[0, 2] += 2 * dx
    warped = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return cv2.resize(warped, (width // 2, height // 2), interpolation=cv2.INTER_AREA)


def prepare_motion(frames, fps):
    return motion_of(follow(frames, fps=fps), fps)


def moving(picture, steps, each=6):
    """Frames that go from step to step; every `each`-th is at one."""
    for before, after in pairwise(steps):
        for share in np.arange(each) / each:
            yield moved(picture, *(np.array(before) + share * np.subtract(after, before)))
    yield moved(picture, *steps[-1])


def test_a_gap_is_filled_between_and_the_ends_hold_still():
    found = np.array([False, True, False, False, False, True, True, False])
    track = np.array([[1.0], [3.0], [2.0]])
    np.testing.assert_allclose(filled(track, found)[:, 0], [1, 1, 1.5, 2, 2.5, 3, 2, 2])
    np.testing.assert_allclose(filled(track[:1], np.array([True])), [[1]])


def test_known_movements_are_measured_in_eye_distances_and_degrees(picture):
    steps = [(0, 0, 1), (15, 0, 1), (0, 8, 1), (0, 0, 1.1)]
    motion = prepare_motion(moving(picture, steps), 25.0)
    assert motion.fps == 25
    assert motion.found.all()
    last = slice(None, None, 6)
    roll = geometry.euler_deg(motion.rotation[last])[:, 2]
    np.testing.assert_allclose(roll - roll[0], [0, 0, 8, 0], atol=1.0)
    place = motion.translation[last]
    nearer = (place[0, 2] - place[3, 2]) / geometry.VIEW_DISTANCE
    assert nearer == pytest.approx(0.1, abs=0.03)
    eye_distance_px = 15 / (place[1, 0] - place[0, 0])
    assert 35 < eye_distance_px < 60
    np.testing.assert_allclose(motion.translation.mean(axis=0), 0, atol=0.05)


def test_upper_is_relative_to_the_clips_mean_and_nearly_still_for_a_still_face(picture):
    motion = prepare_motion((moved(picture, dx=i / 2) for i in range(12)), 25.0)
    assert motion.upper.shape == (12, len(topology.UPPER_FACE), 3)
    np.testing.assert_allclose(motion.upper.mean(axis=0), 0, atol=1e-5)
    assert motion.upper.std() < 0.01


def test_frames_without_a_face_keep_their_place(picture, tmp_path):
    face = moved(picture)
    frames = [BLACK, BLACK, *[face] * 4, BLACK, *[face] * 3, BLACK]
    motion = prepare_motion(iter(frames), 30.0)
    assert motion.found.tolist() == [frame is not BLACK for frame in frames]
    assert len(motion.rotation) == len(motion.translation) == len(motion.upper) == len(frames)
    np.testing.assert_array_equal(motion.rotation[0], motion.rotation[2])
    np.testing.assert_array_equal(motion.upper[10], motion.upper[9])
    motion.save(tmp_path)
    again = Motion.load(tmp_path)
    np.testing.assert_array_equal(again.found, motion.found)
    np.testing.assert_allclose(again.upper, motion.upper)


@pytest.mark.parametrize("after", [{"dx": 40}, {"dx": 20, "roll_deg": 15, "size": 1.2}])
def test_a_cut_is_eased_over(picture, after):
    """The head is elsewhere from one frame to the next; no jump is left, and no way is lost."""
    frames = [moved(picture, dx=k) for k in range(12)]
    frames += [moved(picture, **after | {"dx": after["dx"] + k}) for k in range(24)]
    motion = prepare_motion(iter(frames), 25.0)
    steps = np.diff(motion.translation[:, 0])
    assert np.abs(steps).max() < 0.06
    np.testing.assert_allclose(steps[[*range(11), *range(28, 35)]], 1 / 45, atol=0.012)
    turns = np.linalg.norm(np.diff(motion.rotation, axis=0), axis=(1, 2))
    assert turns.max() < np.deg2rad(3)


@pytest.mark.parametrize("count", [0, 3])
def test_a_clip_without_a_face_says_so(count):
    with pytest.raises(NoFaceFound, match=f"no face in the clip's {count} frames"):
        prepare_motion(iter([BLACK] * count), 25.0)
