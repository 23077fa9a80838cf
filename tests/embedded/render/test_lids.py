"""Lashes on a shutting lid are filled from their sides, and nothing else is."""

import cv2
import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.motion.drive import Driver
from mdth.embedded.render.lids import EDGE, RING, clear, portrait_vertices
from mdth.embedded.render.renderer import Renderer
from mdth.face import geometry, topology
from mdth.motion.head import HeadState

SKIN, LASH = 170, 60


@pytest.fixture
def mesh(portrait: Portrait) -> np.ndarray:
    return portrait.mesh.astype(float)


def combed(mesh: np.ndarray) -> np.ndarray:
    """Plain skin with lashes up from the middle of each upper lid, and a dark brow above."""
    frame = np.full((600, 512, 3), SKIN, np.uint8)
    for edge, ring in zip(mesh[EDGE], mesh[RING], strict=True):
        ends = [np.round(p[:2]).astype(int).tolist() for p in (edge, ring)]
        cv2.line(frame, *ends, (LASH,) * 3, 1)
    cv2.fillPoly(frame, [np.round(mesh[topology.BROW_LEFT, :2]).astype(np.int32)], (LASH,) * 3)
    return frame


@pytest.mark.parametrize("eye", [0, 1])
def test_lashes_go_while_the_lid_comes_down(mesh: np.ndarray, eye: int) -> None:
    before = combed(mesh)
    dark = []
    for shut in (0.0, 0.15, 0.4, 1.0):
        frame = before.copy()
        clear(frame, mesh, shut=shut, eye=eye)
        changed = np.abs(frame.astype(int) - before).max(-1) > 0
        dark.append(int((SKIN - frame.astype(int)).sum()))
        if changed.any():
            rows, columns = np.nonzero(changed)
            near = mesh[EDGE[slice(9 * eye, 9 * eye + 9)], :2]
            unit = float(geometry.eye_distance(mesh))
            assert columns.min() > near[:, 0].min() - 0.1 * unit
            assert columns.max() < near[:, 0].max() + 0.1 * unit
            assert rows.max() < near[:, 1].max() + 0.05 * unit
    assert dark[0] == dark[1] > dark[2] > dark[3]
    lash = 3 * (SKIN - LASH)
    assert dark[0] - dark[3] > 20 * lash, "much of what stood before one lid is gone"


def test_plain_skin_stays(mesh: np.ndarray) -> None:
    frame = np.full((600, 512, 3), SKIN, np.uint8)
    clear(frame, mesh, shut=1.0, eye=0)
    assert np.array_equal(frame, np.full_like(frame, SKIN))


def test_an_eye_at_the_border_is_no_error(mesh: np.ndarray) -> None:
    away = mesh - [mesh[EDGE[:9], 0].mean() + 40, 0, 0]
    frame = np.full((600, 512, 3), SKIN, np.uint8)
    clear(frame, away, shut=1.0, eye=0)
    clear(frame, away - [5000, 0, 0], shut=1.0, eye=0)


def test_the_dark_edge_of_a_shut_lid_is_a_line(portrait: Portrait) -> None:
    """A lid painted black as far as its lashes reach shuts to a much thinner line."""
    driver = Driver(portrait)
    shut = HeadState(np.eye(3), np.zeros(3), np.ones(2), np.zeros(2), np.zeros((20, 3)))
    mesh = portrait.mesh.astype(float)
    plain = np.full((1800, 1536, 3), SKIN, np.uint8)
    mesh, driving = 3 * mesh, 3 * driver.mesh(np.zeros((478, 3)), shut).astype(float)
    edge, top = mesh[EDGE[2:7], :2], portrait_vertices(mesh)[2:7]
    band = np.round(np.concatenate([edge, top[::-1]])).astype(np.int32)
    cv2.fillPoly(plain, [band], (LASH,) * 3)
    frame = Renderer(Portrait(plain, mesh.astype(np.float32))).frame(driving)
    columns = np.round(driving[EDGE[3:6], 0]).astype(int)
    was, now = (
        float(np.mean([(picture[:, x, 0] < (SKIN + LASH) / 2).sum() for x in columns]))
        for picture in (plain, frame)
    )
    assert 2 <= now < 0.7 * was
