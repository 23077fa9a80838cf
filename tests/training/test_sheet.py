"""The contact sheet: what its columns show is what their names say."""

import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.motion.drive import Driver
from mdth.face import geometry, topology
from mdth.motion.head import REST
from training.sheet import HEAD, row, titled
from training.sheet_shapes import COLUMNS, Shape


def test_mouth_shapes_do_what_they_are_called(portrait: Portrait) -> None:
    driver = Driver(portrait)
    unit = float(geometry.eye_distance(portrait.mesh))
    meshes = {name: driver.mesh(shape.offsets(), REST) for name, (shape, _) in COLUMNS.items()}
    gap = {name: float(geometry.lip_opening(mesh)) / unit for name, mesh in meshes.items()}
    width = {name: float(geometry.mouth_width(mesh)) for name, mesh in meshes.items()}
    assert gap["closed"] == pytest.approx(0, abs=1e-3)
    assert gap["p/b/m"] == pytest.approx(0, abs=1e-3)
    assert gap["ah"] == pytest.approx(0.188, abs=0.03)
    assert 0.01 < gap["f/v"] < gap["th"] < gap["ah"]
    assert width["oo"] < 0.8 * width["closed"] < width["closed"] < width["ee"] < width["smile"]


def test_a_shape_moves_lips_and_jaw_alone() -> None:
    offsets = Shape(drop=0.1).offsets()
    assert offsets.shape == (topology.VERTEX_COUNT, 3)
    assert np.abs(offsets[topology.UPPER_FACE]).max() < 1e-3
    chin, lip = offsets[152, 1], offsets[14, 1]
    assert lip == pytest.approx(0.1, abs=0.01)
    assert 0.03 < chin < 0.09


def test_a_row_holds_the_portrait_and_every_column(portrait: Portrait) -> None:
    cells = row(portrait, shows=HEAD, size_px=96)
    assert cells.shape == (96, 96 * (1 + len(COLUMNS)), 3)
    shown = {
        name: cells[:, 96 * n : 96 * (n + 1)].astype(int)
        for n, name in enumerate(["portrait", *COLUMNS])
    }
    assert np.abs(shown["closed"] - shown["portrait"]).mean() < 1
    for name in ("ah", "blink", "left", "right", "up"):
        assert np.abs(shown[name] - shown["closed"]).max() > 30, name
    assert titled([cells], 96).shape[1] == cells.shape[1]
