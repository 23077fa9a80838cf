"""Made faces: the canonical mesh with irises, moved into smiles, open mouths and sleepy eyes."""

import numpy as np
import pytest

from mdth.artefacts import Portrait
from mdth.embedded.motion.spread import spread
from mdth.face import geometry, topology

STILL = np.flatnonzero(topology.CANONICAL[:, 1] < 0.54)
CORNERS = np.array(topology.MOUTH_CORNERS)


# A dropped jaw as clips show it: how far vertices of the jaw's line go when the lower lip goes 1.
JAW_LINE = {152: 0.6, 148: 0.57, 176: 0.48, 149: 0.39, 150: 0.3, 136: 0.24, 172: 0.17, 58: 0.08}
JAW_LINE |= {377: 0.57, 400: 0.48, 378: 0.39, 379: 0.3, 365: 0.24, 397: 0.17, 288: 0.08}


def _move_mouth(face, upper, lower, *, out, up, jaw=0.0):
    """Inner lips parted by `upper` and `lower` at the middle, corners moved `out` and `up`.

    jaw: how much of the lower lip's way is a dropping jaw, 0 to 1.
    """
    arch = np.sin(np.pi * np.arange(1, 10) / 10)
    offsets = np.zeros((29 + len(JAW_LINE), 3))
    offsets[:9, 1], offsets[9:18, 1] = -upper * arch, lower * arch
    u = np.linspace(-1, 1, 11)[1:-1]
    for rows in (slice(0, 9), slice(9, 18)):
        offsets[rows, 0] += out * u
        offsets[rows, 1] -= up * u**2
    offsets[18:20] = [[-out, -up, 0], [out, -up, 0]]
    offsets[20:29] = offsets[9:18]
    offsets[29:, 1] = jaw * lower * np.array(list(JAW_LINE.values()))
    handles = [*topology.LIP_PAIRS[:, 0], *topology.LIP_PAIRS[:, 1], *CORNERS]
    handles += [*topology.LIPS_OUTER[:10:-1], *JAW_LINE]
    return face + spread(handles, STILL) @ offsets


def _shut(face):
    gap = face[topology.LIP_PAIRS[:, 1]] - face[topology.LIP_PAIRS[:, 0]]
    handles = np.concatenate([topology.LIP_PAIRS[:, 0], topology.LIP_PAIRS[:, 1], CORNERS])
    offsets = np.concatenate([0.4 * gap, -0.6 * gap, np.zeros((2, 3))])
    return face + spread(handles, STILL) @ offsets


@pytest.fixture(scope="session")
def canonical():
    """[478,3] with a shut mouth, face frame."""
    face = np.zeros((topology.VERTEX_COUNT, 3))
    face[: len(topology.CANONICAL)] = topology.CANONICAL
    for outline, iris in (
        (topology.EYE_LEFT, topology.IRIS_LEFT),
        (topology.EYE_RIGHT, topology.IRIS_RIGHT),
    ):
        ring = 0.06 * np.array([[0, 0, 0], [1, 0, 0], [0, -1, 0], [-1, 0, 0], [0, 1, 0]])
        face[iris] = face[outline].mean(axis=0) + ring
    return _shut(face)


@pytest.fixture(scope="session")
def faces(canonical):
    """Named faces [478,3] in the face frame."""
    sleepy = canonical.copy()
    for pairs in (topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT):
        sleepy[pairs[:, 0]] += 0.6 * (sleepy[pairs[:, 1]] - sleepy[pairs[:, 0]])
    return {
        "shut": canonical, "smile": _move_mouth(canonical, 0, 0, out=0.05, up=0.05),
        "teeth": _move_mouth(canonical, 0.05, 0.06, out=0.05, up=0.05, jaw=0.3),
        "open": _move_mouth(canonical, 0.02, 0.28, out=-0.02, up=0, jaw=1), "sleepy": sleepy,
    }  # fmt: skip


@pytest.fixture(scope="session")
def portrait_of():
    """A function: face [478,3] -> Portrait with that face turned and placed in a grey picture."""

    def portrait(face, yaw=8.0, pitch=-5.0, roll=4.0):
        rotation = geometry.rotation_from_euler_deg(yaw, pitch, roll)[None]
        pose = geometry.Pose(np.array([150.0]), rotation, np.array([[256.0, 240.0, 5.0]]))
        mesh = geometry.to_picture(face[None], pose)[0].astype(np.float32)
        return Portrait(np.full((512, 512, 3), 128, np.uint8), mesh)

    return portrait


@pytest.fixture(scope="session")
def folds():
    """A function: how many skin triangles turn over between two meshes seen from the front."""
    outlines = (topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT)
    hole = np.any([np.isin(topology.TRIANGLES, o).all(axis=1) for o in outlines], axis=0)
    skin = topology.TRIANGLES[~hole]

    def areas(mesh):
        a, b, c = (mesh[skin[:, k], :2] for k in range(3))
        return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]

    def count(before, after):
        old, new = areas(before), areas(after)
        hair = 0.01 * np.abs(old).mean()
        return int(((old * new < 0) & (np.abs(new) > hair) & (np.abs(old) > hair)).sum())

    return count
