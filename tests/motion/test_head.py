import tracemalloc
from itertools import islice

import numpy as np
import pytest

from mdth.face.geometry import euler_deg
from mdth.motion.head import LIMITS, generated, still


def speech(fps, seconds, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(0, seconds, 1 / fps)
    syllables = 8 * np.sin(2 * np.pi * 4 * time) + 6 * np.sin(2 * np.pi * 0.45 * time)
    return -28 + syllables + rng.normal(0, 2, len(time))


def angles(states):
    return euler_deg(np.stack([state.rotation for state in states]))


def test_still_is_the_portrait_itself():
    for state in islice(still(), 3):
        np.testing.assert_array_equal(state.rotation, np.eye(3))
        assert not any(part.any() for part in state[1:])


def test_the_first_state_is_the_portrait_itself():
    first = next(generated(speech(30, 1), fps=30, random_seed=4))
    np.testing.assert_allclose(first.rotation, np.eye(3), atol=1e-12)
    for part in first[1:]:
        np.testing.assert_allclose(part, 0, atol=1e-12)


def test_one_state_for_each_value():
    assert len(list(generated(speech(25, 2), fps=25, random_seed=0))) == 50


def test_a_seed_gives_the_same_and_another_seed_another_motion():
    one, same, other = (
        np.stack([s.rotation for s in generated(speech(30, 10), fps=30, random_seed=seed)])
        for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.01


def test_a_state_needs_no_later_sound():
    heard = []

    def microphone():
        for level in speech(30, 2):
            heard.append(level)
            yield level

    for count, _ in enumerate(generated(microphone(), fps=30, random_seed=0), start=1):
        assert len(heard) == count


def test_later_sound_does_not_change_earlier_states():
    levels = speech(30, 8)
    changed = levels.copy()
    changed[120:] = -80
    pair = [list(generated(track, fps=30, random_seed=1)) for track in (levels, changed)]
    np.testing.assert_array_equal(angles(pair[0][:120]), angles(pair[1][:120]))
    assert np.abs(angles(pair[0]) - angles(pair[1])).max() > 0.1


@pytest.mark.parametrize("fps", [25, 50])
def test_the_head_moves_a_few_degrees_slowly_and_within_limits(fps):
    states = [s for k in range(3) for s in generated(speech(fps, 60, k), fps=fps, random_seed=k)]
    euler = angles(states)
    spread = euler.std(axis=0)
    assert (spread > [0.8, 0.6, 0.4]).all()
    assert (spread < [1.9, 1.5, 1.1]).all()
    assert np.abs(euler).max() < 5
    places = np.stack([s.translation for s in states])
    assert (np.abs(places) < LIMITS[3:]).all()
    assert np.abs(np.diff(angles(states[: 60 * fps]), axis=0)).max() * fps < 25


def test_both_eyes_blink_and_the_gaze_counters_the_head():
    states = list(generated(speech(30, 60), fps=30, random_seed=2))
    closed = np.stack([s.closed for s in states])
    np.testing.assert_array_equal(closed[:, 0], closed[:, 1])
    assert closed.max() > 0.9
    gaze = np.stack([s.gaze_deg for s in states])
    assert np.corrcoef(gaze[:, 0], angles(states)[:, 0])[0, 1] < -0.3


def test_the_pitch_dips_and_the_brows_rise_with_the_voice():
    levels = np.full(30 * 60, -30.0)
    stress = np.arange(60, len(levels), 60)
    for start in stress:
        levels[start : start + 8] = -12
    spoken = list(generated(levels, fps=30, random_seed=0))
    quiet = list(generated(np.full(len(levels), -30.0), fps=30, random_seed=0))
    dip = angles(spoken)[:, 1] - angles(quiet)[:, 1]
    after = np.stack([dip[start : start + 15].max() for start in stress])
    assert (after > 0.8).mean() > 0.8
    brows = np.stack([s.brows[:, 1] for s in spoken])
    assert brows.max() <= 0
    assert -0.03 < brows.min() < -0.005


def test_a_head_comes_nearly_to_rest_in_silence():
    levels = np.concatenate([speech(30, 20), np.full(30 * 20, -80.0)])
    spoken, quiet = [], []
    for seed in range(6):
        euler = angles(list(generated(levels, fps=30, random_seed=seed)))
        spoken.append(euler[60:600].std())
        quiet.append(euler[700:].std())
    assert np.mean(quiet) < 0.6 * np.mean(spoken)


def test_memory_is_flat_in_a_long_speech():
    states = generated(iter(lambda: -25.0, None), fps=30, random_seed=0)
    next(states)
    tracemalloc.start()
    for _ in islice(states, 300):
        pass
    before = tracemalloc.get_traced_memory()[0]
    for _ in islice(states, 1500):
        pass
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000
