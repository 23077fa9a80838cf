from pathlib import Path

import numpy as np
import pytest

from benchmarks import closed_loop
from mdth.face.geometry import rotation_from_euler_deg
from mdth.media.audio import read_blocks


def test_the_lag_is_positive_when_the_first_comes_later() -> None:
    track = np.random.default_rng(0).standard_normal(200).cumsum()
    lag, score = closed_loop.best_lag(track[:180], track[7:187])
    assert (lag, round(score, 6)) == (7, 1.0)
    assert closed_loop.best_lag(track[7:187], track[:180])[0] == -7


def test_what_does_not_move_correlates_with_nothing() -> None:
    assert closed_loop.correlation(np.zeros(50), np.arange(50.0)) == 0.0


def test_angles_between_rotations() -> None:
    turned = np.stack([rotation_from_euler_deg(yaw, 0, 0) for yaw in (0, 3, -20)])
    straight = np.stack([np.eye(3)] * 3)
    assert closed_loop.angles_deg(turned, straight) == pytest.approx([0, 3, 20], abs=1e-4)


def test_the_constant_turn_between_two_tracks() -> None:
    track = np.stack([rotation_from_euler_deg(yaw, yaw / 2, 0) for yaw in range(8)])
    turn = rotation_from_euler_deg(2, -3, 1)
    assert closed_loop.constant_turn(turn @ track, track) == pytest.approx(turn, abs=1e-9)


def test_a_delayed_speech_starts_half_a_second_later(short_path: Path, tmp_path: Path) -> None:
    given = np.concatenate(list(read_blocks(short_path)))
    late = np.concatenate(list(read_blocks(closed_loop.delayed(short_path, tmp_path / "late.wav"))))
    assert len(late) == len(given) + 8_000
    assert np.abs(late[:8_000]).max() == 0 and np.abs(late[8_000:] - given).max() < 1e-3
