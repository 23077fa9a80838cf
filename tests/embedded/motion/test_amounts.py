"""How much mouth and head move and how often the eyes blink can be set."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.motion import eyes
from mdth.embedded.motion.drive import Driver
from mdth.face import geometry, topology
from mdth.motion.head import REST, HeadState, generated
from mdth.options import MotionOptions

VOICE = list(0.6 + 0.3 * np.sin(np.arange(60 * 25) / 7))


def states(**amounts: float) -> list[HeadState]:
    return list(islice(generated(VOICE, MotionOptions(random_seed=1, **amounts)), 60 * 30))


def blinks(head: list[HeadState]) -> int:
    shut = np.array([state.closed[0] > 0.5 for state in head])
    return int((np.diff(shut.astype(int)) == 1).sum())


def degrees(head: list[HeadState]) -> np.ndarray:
    return geometry.euler_deg(np.stack([state.rotation for state in head]))


def test_head_motion_scales_and_ends() -> None:
    usual, half, twice, none = (degrees(states(motion=a)) for a in (1.0, 0.5, 2.0, 0.0))
    assert np.abs(usual).max() > 3
    assert 1.6 * half.std() < usual.std() < 2.1 * half.std()
    assert usual.std() < twice.std() and np.abs(twice).max() < 12, "the renderer's reach"
    assert np.abs(none).max() < 1e-9
    assert not any(np.any(state.brows) or np.any(state.cheeks) for state in states(motion=0.0))


def test_blinks_come_more_often_or_never() -> None:
    usual, often, never = (blinks(states(blink=r)) for r in (1.0, 2.0, 0.0))
    assert 10 < usual < 27
    assert 1.4 * usual < often < 2.4 * usual
    assert never == 0
    assert all((state.closed == 0).all() for state in islice(states(blink=0.0), 900))


def test_the_mouth_opens_by_its_amplitude(
    portrait_of: Callable[..., Portrait], faces: dict[str, np.ndarray]
) -> None:
    portrait = portrait_of(faces["shut"])
    offsets = np.zeros((topology.VERTEX_COUNT, 3), np.float32)
    offsets[topology.LIPS_INNER[11:], 1] = 0.1
    gaps = [
        float(geometry.lip_opening(Driver(portrait, MotionOptions(mouth=a)).mesh(offsets, REST)))
        for a in (0.0, 0.5, 1.0)
    ]
    assert gaps[0] == pytest.approx(gaps[1] - (gaps[2] - gaps[1]), abs=0.15 * gaps[2])
    assert gaps[0] < 0.1 * gaps[2]


def test_lips_widen_by_their_own_amount(
    portrait_of: Callable[..., Portrait], faces: dict[str, np.ndarray]
) -> None:
    portrait = portrait_of(faces["shut"])
    offsets = np.zeros((topology.VERTEX_COUNT, 3), np.float32)
    offsets[topology.LIPS_INNER[11:], 1] = 0.1
    offsets[list(topology.MOUTH_CORNERS), 0] = 0.02, -0.02
    none, usual, twice = (
        Driver(portrait, MotionOptions(lip_width=w)).mesh(offsets, REST) for w in (0.0, 1.0, 2.0)
    )
    width = geometry.mouth_width(np.stack([none, usual, twice]))
    assert width[0] - width[1] == pytest.approx(width[1] - width[2], rel=0.1)
    assert width[0] - width[1] > 0.03 * geometry.eye_distance(none)
    gaps = geometry.lip_opening(np.stack([none, twice]))
    assert gaps[0] == pytest.approx(gaps[1], rel=0.05), "they open as far"


def test_glasses_stay(portrait_of: Callable[..., Portrait], faces: dict[str, np.ndarray]) -> None:
    bare = portrait_of(faces["shut"])
    raised = np.zeros((len(topology.BROWS), 3))
    raised[:, 1] = -0.05
    head = REST._replace(brows=raised, closed=np.ones(2))
    rims = np.concatenate([eyes.UNDER_GLASSES, topology.BROWS])
    silence = np.zeros((topology.VERTEX_COUNT, 3), np.float32)
    moved = []
    for portrait in (bare, replace(bare, glasses=1.0)):
        driver = Driver(portrait)
        away = driver.mesh(silence, head) - driver.mesh(silence, REST)
        moved.append(np.abs(away[rims]).max())
        lids = np.concatenate([topology.EYE_LEFT, topology.EYE_RIGHT])
        assert np.abs(away[lids]).max() > 3, "the eyes close all the same"
    assert moved[0] > 3 and moved[1] < 1e-3
