import numpy as np
import pytest

from mdth.motion.idle import Accents, Blinks, Drift, Glances

MINUTES = 10


def closed_track(seed, fps, minutes=MINUTES):
    blinks = Blinks(np.random.default_rng(seed))
    return np.array([blinks.at(frame / fps) for frame in range(int(minutes * 60 * fps))])


def spans(active, fps):
    """Start and length in seconds of the runs of True."""
    edges = np.diff(np.concatenate([[0], active.astype(int), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return starts / fps, (ends - starts) / fps


@pytest.mark.parametrize("seed", range(20))
def test_blinks_are_as_many_as_long_and_as_irregular_as_in_people(seed):
    closed = closed_track(seed, 100)
    starts, lengths = (part[:-1] for part in spans(closed > 0.02, 100))
    assert 12 <= len(starts) / MINUTES <= 20
    assert 0.1 <= lengths.min()
    assert lengths.max() <= 0.4
    pauses = np.diff(starts)
    assert pauses.min() > 1 and pauses.std() > 0.3 * pauses.mean()


def test_lids_close_faster_than_they_open_and_shut_fully():
    closed = closed_track(3, 400, minutes=2)
    speed = np.diff(closed) * 400
    assert closed.max() == 1
    assert speed.max() > 1.3 * -speed.min()


@pytest.mark.parametrize("fps", [24, 25, 30])
def test_every_blink_is_seen_shut_at_video_rates(fps):
    closed = closed_track(1, fps)
    starts, lengths = spans(closed > 0.1, fps)
    ranges = zip(starts, lengths, strict=True)
    peaks = [closed[round(s * fps) : round((s + n) * fps)].max() for s, n in ranges]
    assert min(peaks) > 0.9


def test_drift_has_its_deviations_and_is_smooth():
    deviations = np.array([1.5, 0.008])
    tracks = []
    for seed in range(8):
        drift = Drift(deviations, np.random.default_rng(seed))
        tracks.append([drift.at(frame / 30) for frame in range(30 * 120)])
    tracks = np.array(tracks)
    np.testing.assert_allclose(tracks.std(axis=(0, 1)), deviations, rtol=0.15)
    speed = np.diff(tracks, axis=1) * 30 / deviations
    assert np.abs(speed).max() < 6 and np.abs(np.diff(speed, axis=1)).max() < 1.5


def test_glances_are_small_held_and_quick():
    glances = Glances(np.random.default_rng(0))
    gaze = np.array([glances.at(frame / 200) for frame in range(200 * 300)])
    assert (np.abs(gaze) <= Glances.MOST_DEG).all()
    assert (gaze.std(axis=0) > 0.5).all()
    moving = (np.diff(gaze, axis=0) != 0).any(axis=1)
    _, holds = spans(~moving, 200)
    _, saccades = spans(moving, 200)
    assert 0.4 < holds[:-1].min()
    assert saccades.max() < 0.06
    assert not gaze[:80].any(), "the portrait's own gaze first"


@pytest.mark.parametrize("part", [Blinks, Glances])
def test_events_do_not_depend_on_the_frame_rate(part):
    slow, fast = part(np.random.default_rng(5)), part(np.random.default_rng(5))
    at_30 = [slow.at(frame / 30) for frame in range(30 * 60)]
    at_90 = [fast.at(frame / 90) for frame in range(90 * 60)]
    np.testing.assert_allclose(at_30, at_90[::3])


def accents_of(levels, fps, seed=0):
    accents = Accents(np.random.default_rng(seed), fps=fps)
    values = []
    for frame, level in enumerate(levels):
        accents.hear(level, frame / fps)
        values.append((*accents.at(frame / fps), accents.activity))
    return np.array(values)


def phrase(fps, seconds=20):
    """Syllables at 4 a second with a stressed one every 1.5 s, 12 dB louder."""
    time = np.arange(0, seconds, 1 / fps)
    return -34 + 5 * np.sin(2 * np.pi * 4 * time) + 12 * (np.mod(time - 1, 1.5) < 0.25), time


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_nods_follow_stressed_syllables_only(fps):
    levels, time = phrase(fps)
    nod = accents_of(levels, fps)[:, 0]
    starts, lengths = spans(nod > 0.01, fps)
    assert 6 <= len(starts) <= 14
    assert np.mean(np.mod(starts[1:] - 1, 1.5) < 0.3) > 0.8
    assert 1 <= nod.max() <= 2
    assert lengths.max() < 0.7


def test_no_nods_in_steady_hiss_or_silence():
    rng = np.random.default_rng(0)
    for levels in (np.full(600, -80.0), -50 + rng.normal(0, 0.5, 600)):
        assert not accents_of(levels, 30)[30:, :2].any()


def test_quiet_and_loud_recordings_nod_alike():
    levels, _ = phrase(30)
    plain = accents_of(levels, 30)
    for gain_db in (-20, 20):
        changed = accents_of(levels + gain_db, 30)
        starts = [spans(track[60:, 0] > 0.01, 30)[0] for track in (plain, changed)]
        assert abs(len(starts[0]) - len(starts[1])) <= 1


def test_activity_falls_in_silence():
    levels, _ = phrase(30)
    activity = accents_of(np.concatenate([levels, np.full(90, -75.0)]), 30)[:, 2]
    assert activity[300:599].min() > 0.5 and activity[-1] < 0.1
