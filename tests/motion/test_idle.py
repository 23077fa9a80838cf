import numpy as np
import pytest

from mdth.motion.bank import bank
from mdth.motion.idle import Blinks, Glances

MINUTES = 10


def closed_track(seed, fps, minutes=MINUTES):
    blinks = Blinks(np.random.default_rng(seed))
    return np.array([blinks.at(frame / fps) for frame in range(int(minutes * 60 * fps))])


def glances(seed):
    return Glances(bank().looks, np.random.default_rng(seed))


def spans(active, fps):
    """Start and length in seconds of the runs of True."""
    edges = np.diff(np.concatenate([[0], active.astype(int), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return starts / fps, (ends - starts) / fps


@pytest.mark.parametrize("seed", range(10))
def test_blinks_are_as_many_as_long_and_as_irregular_as_in_people(seed):
    """Real ones in talk: 27 a minute, 0.34 s long with a deviation of 0.24 (issue 11)."""
    starts, lengths = (part[:-1] for part in spans(closed_track(seed, 100) > 0.1, 100))
    assert 15 <= len(starts) / MINUTES <= 27
    assert 0.24 < lengths.mean() < 0.44
    assert 0.14 < lengths.std() < 0.34
    assert 0.1 <= lengths.min() and lengths.max() < 1.6
    pauses = np.diff(starts)
    assert pauses.std() > 0.4 * pauses.mean()


def test_lids_close_faster_than_they_open_and_some_do_not_shut():
    closed = closed_track(3, 400, minutes=4)
    speed = np.diff(closed) * 400
    assert closed.max() == 1
    assert np.quantile(speed[speed > 0], 0.9) > 1.3 * np.quantile(-speed[speed < 0], 0.9)
    starts, lengths = spans(closed > 0, 400)
    ranges = zip(np.round(400 * starts), np.round(400 * lengths), strict=True)
    depths = np.array([closed[int(s) : int(s + n)].max() for s, n in ranges])[:-1]
    assert 0.5 < (depths > 0.99).mean() < 0.95


def test_eyes_look_at_places_hold_them_and_move_fast():
    one = glances(0)
    gaze = np.array([one.at(frame / 200) for frame in range(200 * 300)])
    assert (np.abs(gaze) <= Glances.MOST_DEG).all()
    assert (gaze.std(axis=0) > 1.5).all()
    moving = (np.diff(gaze, axis=0) != 0).any(axis=1)
    _, holds = spans(~moving, 200)
    _, saccades = spans(moving, 200)
    assert 0.1 < holds[:-1].min() and 0.3 < np.median(holds) < 1.0
    assert saccades.max() < 0.09
    assert not gaze[:100].any(), "the portrait's own gaze first"


@pytest.mark.parametrize("part", [lambda: Blinks(np.random.default_rng(5)), lambda: glances(5)])
def test_events_do_not_depend_on_the_frame_rate(part):
    slow, fast = part(), part()
    at_30 = [slow.at(frame / 30) for frame in range(30 * 60)]
    at_90 = [fast.at(frame / 90) for frame in range(90 * 60)]
    np.testing.assert_allclose(at_30, at_90[::3])
