"""The one table of the 68 points against the landmarks of a published predictor."""

from pathlib import Path

import numpy as np

from mdth.face import landmarks68, topology

VECTORS = Path(__file__).parents[1] / "data/bfv2v_driving_calm.npz"
# Where a second table, used for FLAME's 51 alone, had other vertices: point -> vertex.
OTHER = {29: 5, 61: 81, 63: 311, 65: 402, 67: 178}


def off(vertices: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far [51] each vertex lies from its point in the picture, best affine fit, eye widths."""
    placed = np.c_[topology.CANONICAL[vertices], np.ones(len(vertices))]
    fit, *_ = np.linalg.lstsq(placed, points, rcond=None)
    width = np.linalg.norm(points[36 - 17] - points[45 - 17])
    return np.linalg.norm((placed @ fit - points)[:, :2], axis=1) / width


def test_the_table_lies_where_the_published_landmarks_are() -> None:
    with np.load(VECTORS) as vectors:
        faces = [vectors["src_landmarks"], vectors["clip_landmarks"].mean(axis=0)]
    ours = landmarks68.VERTICES[17:]
    theirs = ours.copy()
    for point, vertex in OTHER.items():
        theirs[point - 17] = vertex
    differing = np.array(list(OTHER)) - 17
    for points in (face[17:] for face in faces):
        near, far = off(ours, points), off(theirs, points)
        assert np.median(near) < 0.03
        assert (near[differing] < 0.04).all()
        assert (near[differing] < far[differing]).all(), "the other table is further off"
