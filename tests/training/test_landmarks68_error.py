"""The error of the 68 landmarks, on points that are known."""

import sys

import numpy as np
import pytest

from mdth.face import landmarks68, topology
from training import command
from training.landmarks68 import Compared, compare, errors, table


def compared(count: int = 3) -> Compared:
    face = np.concatenate([topology.CANONICAL, np.zeros((10, 3))])
    meshes = np.stack([100 * (index + 1) * face + 50 for index in range(count)])
    return Compared(meshes, landmarks68.from_mesh(meshes)[..., :2].copy(), [])


def test_errors_are_shares_of_the_eye_distance() -> None:
    same = compared()
    assert errors(same).max() == 0
    unit = 100.0 * np.arange(1, 4)
    same.points[:, landmarks68.MOUTH, 0] += 0.03 * unit[:, None]
    found = errors(same)
    np.testing.assert_allclose(found[:, landmarks68.MOUTH], 0.03, rtol=1e-6)
    assert found[:, :48].max() == 0
    lines = list(table(found, found))
    assert next(line for line in lines if line.startswith("mouth")).count("3.00 %") == 3
    assert next(line for line in lines if line.startswith("eyes")).count("0.00 %") == 3


def test_without_dlib_the_way_to_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(SystemExit, match="pip install dlib-bin"):
        command.run(lambda: compare([]))
