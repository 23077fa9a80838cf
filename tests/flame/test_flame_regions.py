"""Lips and upper face of FLAME's size of mesh, by its embedded landmarks, from the command line."""

import logging
from pathlib import Path

import numpy as np
import pytest

from mdth.flame.model import Embedding, Flame
from training import mesh_compare, mesh_regions


def test_regions_lie_where_the_landmarks_do(flame: Flame, embedding: Embedding) -> None:
    marks = embedding.points(flame.template[None], flame.triangles)[0]
    regions = mesh_regions.by_landmarks(flame.template, marks)
    unit = np.linalg.norm(marks[19] - marks[28])
    lips = flame.template[regions.lips]
    assert 20 < len(regions.lips) < 500 and 50 < len(regions.upper) < 2000
    assert lips[:, 1].max() < marks[10:19, 1].max() < flame.template[regions.upper][:, 1].max()
    assert np.linalg.norm(lips[:, None] - marks[31:], axis=-1).min(axis=1).max() < 0.3 * unit
    assert (regions.pairs.shape, regions.shut) == ((3, 2), pytest.approx(0.02 * unit))


def test_flame_meshes_are_compared(
    flame_folder: Path, flame: Flame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moved = flame.template + np.linspace(0, 1e-3, 5)[:, None, None]
    for name, meshes in (("true", moved), ("predicted", moved[::-1])):
        np.savez(tmp_path / f"{name}.npz", vertices=meshes, fps=30, neutral=flame.template)
    with caplog.at_level(logging.INFO, logger="mdth"):
        mesh_compare.main(
            [str(tmp_path / "predicted.npz"), str(tmp_path / "true.npz")]
            + ["--flame", str(flame_folder), "--unit-mm", "1000"]
        )
    rows = {line[:32].strip(): line[32:].split(maxsplit=2) for line in caplog.messages}
    expected = 3 * np.mean(np.linspace(-1, 1, 5) ** 2)
    assert float(rows["LVE"][0]) == pytest.approx(expected, rel=1e-4)
    assert "near the 51 landmarks" in caplog.text
