from itertools import islice

import numpy as np
import pytest

from mdth.artefacts import Motion
from mdth.embedded.motion import clip
from mdth.embedded.motion.clip import from_clip
from mdth.face import topology
from mdth.face.geometry import NECK, euler_deg, rotation_from_euler_deg
from mdth.face.track import bounce, limit
from mdth.motion.head import EYE_RADIUS


def made_motion(fps=25.0, seconds=8.0, euler=None, translation=None, upper=None):
    count = round(fps * seconds)
    euler = np.zeros((count, 3)) if euler is None else euler
    still = np.zeros((count, len(topology.UPPER_FACE), 3))
    return Motion(
        fps=fps,
        found=np.ones(count, bool),
        rotation=np.stack([rotation_from_euler_deg(*row) for row in euler]),
        translation=np.zeros((count, 3)) if translation is None else translation,
        upper=still if upper is None else upper,
    )


def swing(fps, seconds, hz, amplitude):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(fps * seconds)) / fps)


def at(vertices):
    return np.searchsorted(topology.UPPER_FACE, vertices)


def states(motion, fps, count):
    return list(islice(from_clip(motion, fps=fps), count))


def angles(motion, fps, count):
    return euler_deg(np.stack([s.rotation for s in states(motion, fps, count)]))


def test_bounce_goes_forwards_and_backwards():
    assert [bounce(i, 3) for i in range(14)] == [0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1]
    assert [bounce(i, 1) for i in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("track", "limited"), [
    ([-3.0, 2.0, 9.0], [-3.0, 2.0, 9.0]), ([0.0, 5.0, 14.0], [-4.0, 1.0, 10.0]),
    ([-20.0, 0.0, 20.0], [-10.0, 0.0, 10.0]), ([10.0, 30.0, 50.0], [-10.0, 0.0, 10.0]),
    ([12.0, 12.0], [10.0, 10.0]),
])  # fmt: skip
def test_limit_shrinks_and_shifts_just_enough(track, limited):
    np.testing.assert_allclose(limit(np.array(track), -10, 10), limited)


def test_a_clip_within_the_limits_keeps_its_motion_relative_to_its_mean():
    yaw = swing(25, 8, 0.25, 5)
    motion = made_motion(euler=np.stack([yaw + 20, yaw * 0, yaw * 0 + 3], axis=1))
    track = clip.clip_track(motion, NECK)
    lag = 3
    assert np.abs(track.euler_deg[lag:, 0] - yaw[:-lag]).max() < 1.0
    assert np.abs(track.euler_deg[:, 1:]).max() < 0.5


def test_angles_and_translation_are_limited():
    rng = np.random.default_rng(0)
    euler = np.stack([swing(25, 8, 0.3, 35), swing(25, 8, 0.2, 25), swing(25, 8, 0.4, 30)], axis=1)
    shift = rng.uniform(-2, 2, 3) * swing(25, 8, 0.3, 1)[:, None]
    motion = made_motion(euler=euler, translation=shift)
    for state in states(motion, 30, 600):
        assert np.abs(euler_deg(state.rotation)).max() <= clip.EULER_LIMIT_DEG + 1e-9
        assert (np.abs(state.translation) <= clip.TRANSLATION_LIMITS + 1e-9).all()


def test_a_head_that_only_turns_about_its_neck_does_not_travel():
    euler = np.stack([swing(25, 8, 0.2, 8), swing(25, 8, 0.3, 5), np.zeros(200)], axis=1)
    motion = made_motion(euler=euler)
    eyes_way = -(motion.rotation @ NECK)
    turning = made_motion(euler=euler, translation=eyes_way - eyes_way.mean(axis=0))
    assert np.abs(clip.clip_track(turning, NECK).translation).max() < 1e-9
    assert np.abs(clip.clip_track(motion, NECK).translation).max() > 0.05


def test_the_motion_plays_forwards_then_backwards_without_a_jump():
    ramp = np.linspace(-6, 6, 100)
    motion = made_motion(seconds=4, euler=np.stack([ramp, 0 * ramp, 0 * ramp], axis=1))
    yaw = angles(motion, 25, 400)[:, 0]
    np.testing.assert_allclose(yaw[100:180], yaw[99:19:-1], atol=1e-9)
    np.testing.assert_allclose(yaw[200:300], yaw[199:99:-1], atol=1e-9)
    assert np.abs(np.diff(yaw[13:])).max() < 0.5


@pytest.mark.parametrize(("clip_fps", "fps"), [(25.0, 30.0), (29.97, 25.0), (12.0, 60.0)])
def test_the_speed_is_the_clips_at_any_output_rate(clip_fps, fps):
    yaw = swing(clip_fps, 10, 0.3, 5)
    motion = made_motion(clip_fps, 10, euler=np.stack([yaw, 0 * yaw, 0 * yaw], axis=1))
    played = angles(motion, fps, round(9 * fps))[round(fps) :, 0]
    time = np.arange(round(fps), round(9 * fps)) / fps
    phases = np.linspace(0, 0.3, 61)
    fits = [np.corrcoef(played, np.sin(2 * np.pi * 0.3 * (time - lag)))[0, 1] for lag in phases]
    assert max(fits) > 0.995
    assert phases[np.argmax(fits)] < 0.12, "the filter's lag"


def test_the_first_state_is_the_portraits_own_and_the_clip_takes_over_in_half_a_second():
    euler = np.tile([9.0, 0, 0], (100, 1))
    euler[50:] *= -1
    yaw = angles(made_motion(seconds=4, euler=euler), 30, 40)[:, 0]
    assert yaw[0] == 0
    assert np.abs(np.diff(yaw)).max() < 1.2
    assert yaw[15:30].min() > 8


def with_blinks(count=200, depth=0.06, starts=(40, 120)):
    upper = np.zeros((count, len(topology.UPPER_FACE), 3))
    for pairs in (topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT):
        for start in starts:
            upper[start : start + 4, at(pairs[:, 0]), 1] = depth
    return upper - upper.mean(axis=0)


@pytest.mark.parametrize("depth", [0.045, 0.06, 0.09])
def test_blinks_of_the_clip_shut_the_eyes_whatever_its_own_opening(depth):
    closed = clip.clip_track(made_motion(upper=with_blinks(depth=depth)), NECK).closed
    for start in (40, 120):
        assert closed[start : start + 5].max(axis=0).min() > 0.9
    assert np.abs(np.delete(closed, np.r_[40:60, 120:140], axis=0)).max() < 0.05


def test_a_clip_without_blinks_keeps_its_eyes_open():
    upper = np.random.default_rng(0).normal(0, 0.003, (200, len(topology.UPPER_FACE), 3))
    assert clip.clip_track(made_motion(upper=upper), NECK).closed.max() < 0.2


def test_gaze_comes_from_the_irises_and_is_held_through_blinks():
    upper = with_blinks()
    shift = EYE_RADIUS * np.sin(np.deg2rad(4)) * np.where(np.arange(200) < 100, 1, -1)
    for iris in topology.IRISES:
        upper[:, at(iris), 0] += shift[:, None]
        upper[40:44, at(iris), 0] = -0.05
    gaze = clip.clip_track(made_motion(upper=upper), NECK).gaze_deg
    np.testing.assert_allclose(gaze[[30, 42, 95], 0], 4, atol=0.5)
    np.testing.assert_allclose(gaze[190, 0], -4, atol=0.5)
    assert np.abs(gaze[:, 1]).max() < 1e-9


def test_brows_move_as_in_the_clip_up_to_a_limit():
    upper = np.zeros((200, len(topology.UPPER_FACE), 3))
    upper[:, at(topology.BROWS), 1] = swing(25, 8, 0.25, 0.02)[:, None]
    assert 0.015 < clip.clip_track(made_motion(upper=upper), NECK).brows[:, 0, 1].max() < 0.02
    assert np.abs(clip.clip_track(made_motion(upper=upper * 20), NECK).brows).max() < 0.061


def test_a_clip_of_one_frame_is_a_still():
    motion = made_motion(seconds=0.04, euler=np.array([[15.0, 5, 2]]))
    np.testing.assert_allclose(angles(motion, 30, 60), 0, atol=1e-6)
