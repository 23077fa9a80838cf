import tracemalloc
from itertools import islice

import numpy as np
import pytest

from mdth.face.geometry import euler_deg
from mdth.motion.head import LEAD_STEPS, LIMITS, SpokenHead, generated, still
from mdth.motion.voice import STEP_HZ
from mdth.options import MANNERS, MotionOptions


def speech(seconds, seed=0):
    """Strengths of a voice: syllables in phrases."""
    rng = np.random.default_rng(seed)
    time = np.arange(0, seconds, 1 / STEP_HZ)
    syllables = 0.2 * np.sin(2 * np.pi * 4 * time) + 0.2 * np.sin(2 * np.pi * 0.45 * time)
    return list(np.clip(0.65 + syllables + rng.normal(0, 0.05, len(time)), 0, 1))


def states(voice, seconds, fps=30, seed=0, **amounts):
    return list(
        islice(generated(voice, MotionOptions(fps=fps, random_seed=seed, **amounts)), seconds * fps)
    )


def angles(head):
    return euler_deg(np.stack([state.rotation for state in head]))


def part(head, name):
    return np.stack([getattr(state, name) for state in head])


def test_still_is_the_portrait_itself():
    for state in islice(still(), 3):
        np.testing.assert_array_equal(state.rotation, np.eye(3))
        assert not any(np.any(part) for part in state[1:])


def test_the_first_state_is_the_portrait_itself_with_its_smile():
    first = next(generated(speech(1), MotionOptions(random_seed=4)))
    np.testing.assert_allclose(first.rotation, np.eye(3), atol=1e-12)
    for each in first[1:-1]:
        np.testing.assert_allclose(each, 0, atol=1e-12)
    assert first.smile == 1


def test_a_seed_gives_the_same_and_another_seed_another_motion():
    one, same, other = (angles(states(speech(10), 10, seed=seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.5


def test_a_state_hears_the_sound_up_to_its_lead_and_no_further():
    heard = []

    def microphone():
        for strength in speech(5):
            heard.append(strength)
            yield strength

    head = generated(microphone(), MotionOptions(fps=25))
    for frame, _ in enumerate(islice(head, 75)):
        assert len(heard) == frame + 1 + LEAD_STEPS


def test_later_sound_does_not_change_earlier_states():
    voice = speech(8)
    changed = voice[:100] + [0.0] * 100
    one, other = (angles(states(track, 8, fps=25)) for track in (voice, changed))
    known = 100 - LEAD_STEPS
    np.testing.assert_array_equal(one[:known], other[:known])
    assert np.abs(one - other).max() > 0.1


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_the_motion_is_the_same_at_any_rate(fps):
    head, dense = (states(speech(12), 12, fps=rate, seed=3) for rate in (fps, 120))
    for name in ("rotation", "translation", "closed", "gaze_deg", "brows", "cheeks"):
        np.testing.assert_allclose(part(head, name), part(dense[:: 120 // fps], name), atol=1e-9)


def test_sound_in_any_blocks_gives_the_same_states():
    rng = np.random.default_rng(1)
    sound = rng.normal(0, 0.1, 16000 * 5) * np.repeat(rng.random(50), 1600)
    sound = sound.astype(np.float32)
    lead = round((LEAD_STEPS + 1) * 16000 / STEP_HZ)

    def spoken(size):
        head, states, taken = SpokenHead(MotionOptions()), [], iter(())
        taken = iter(head)
        for start in range(0, len(sound), size):
            head.hear(sound[start : start + size])
            end = min(start + size, len(sound))
            while len(states) / 30 * 16000 + lead <= end:
                states.append(next(taken))
        return states + [next(taken) for _ in range(150 - len(states))]

    whole, pieces = spoken(len(sound)), spoken(777)
    np.testing.assert_array_equal(part(whole, "rotation"), part(pieces, "rotation"))
    np.testing.assert_array_equal(part(whole, "brows"), part(pieces, "brows"))


@pytest.mark.parametrize("fps", [25, 50])
def test_the_head_moves_as_people_in_talk_do(fps):
    """Real ones, `training.motion_measure`: 4.4, 3.4 and 3.9 degrees, 10 a second in yaw."""
    runs = [states(speech(30, k), 30, fps, seed=k) for k in range(6)]
    euler = np.stack([angles(head) for head in runs])
    assert (euler.std(axis=1).mean(axis=0) / [4.4, 3.4, 3.9] > 0.6).all()
    assert (euler.std(axis=1).mean(axis=0) / [4.4, 3.4, 3.9] < 1.4).all()
    speed = np.diff(euler, axis=1) * fps
    assert 0.6 < np.abs(speed[..., 0]).mean() / 10 < 1.4
    assert np.abs(euler).max() < 12
    assert (np.abs(part(runs[0], "translation")) < LIMITS[3:]).all()


def test_the_motion_never_jumps():
    """The quickest turn of 16 real clips is 141 degrees a second."""
    for seed in range(4):
        head = states(speech(40, seed), 40, 100, seed=seed)
        speed = np.diff(angles(head), axis=0) * 100
        assert np.abs(speed).max() < 141
        assert np.abs(np.diff(speed, axis=0)).max() < 25, "nor does its speed"
        for name, most in (("brows", 1.0), ("cheeks", 1.0), ("translation", 1.5)):
            assert np.abs(np.diff(part(head, name), axis=0)).max() * 100 < most
        assert np.abs(np.diff([state.smile for state in head])).max() * 100 < 5


def test_both_eyes_blink_and_the_gaze_counters_the_head():
    head = states(speech(60), 60, seed=2)
    closed = part(head, "closed")
    np.testing.assert_array_equal(closed[:, 0], closed[:, 1])
    assert closed.max() > 0.9
    for axis in (0, 1):
        assert np.corrcoef(part(head, "gaze_deg")[:, axis], angles(head)[:, axis])[0, 1] < -0.3


def test_the_head_moves_faster_where_the_voice_is_strong():
    voice = ([0.9] * 25 + [0.2] * 25) * 60
    runs = [angles(states(voice, 120, 25, seed=seed)) for seed in range(3)]
    speed = np.stack([np.linalg.norm(np.diff(run, axis=0), axis=1) for run in runs])
    strong = np.resize(np.array(voice) > 0.5, speed.shape[1])
    strong[:50] = False
    assert speed[:, strong].mean() > 1.25 * speed[:, ~strong].mean()


def test_a_head_calms_down_in_silence_and_the_smile_comes_back():
    spoken, quiet = [], []
    for seed in range(6):
        head = states(speech(20), 45, seed=seed)
        euler = angles(head)
        spoken.append(np.abs(np.diff(euler[60:600], axis=0)).mean())
        quiet.append(np.abs(np.diff(euler[700:], axis=0)).mean())
        assert max(state.smile for state in head[90:590]) < 0.1
        assert head[-1].smile > 0.95
    assert np.mean(quiet) < 0.4 * np.mean(spoken)


def test_the_manners_differ_in_amount():
    calm, natural, lively = (
        np.mean([angles(states(speech(30), 30, seed=k, manner=name)).std() for k in range(3)])
        for name in MANNERS
    )
    assert 1.4 * calm < natural < lively / 1.15


def test_memory_is_flat_in_a_long_speech():
    head = generated(iter(lambda: 0.7, None), MotionOptions())
    next(head)
    tracemalloc.start()
    for _ in islice(head, 300):
        pass
    before = tracemalloc.get_traced_memory()[0]
    for _ in islice(head, 1500):
        pass
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000
