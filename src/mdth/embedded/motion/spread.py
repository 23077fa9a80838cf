"""Carry the movement of a few vertices on to the skin around them."""

from functools import cache

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.face import topology


@cache
def _laplacian() -> FloatArray:
    """Graph Laplacian [468,468] of the skin; lips and lids do not pull at each other."""
    holes = np.concatenate([topology.MOUTH_TRIANGLES, topology.EYE_TRIANGLES])
    hole_rows = {tuple(row) for row in holes.tolist()}
    skin = np.array([row for row in topology.TRIANGLES.tolist() if tuple(row) not in hole_rows])
    edges = np.unique(
        np.sort(np.concatenate([skin[:, [0, 1]], skin[:, [1, 2]], skin[:, [2, 0]]]), axis=1), axis=0
    )
    a, b = edges.T
    stiffness = 1 / np.linalg.norm(topology.CANONICAL[a] - topology.CANONICAL[b], axis=1)
    matrix = np.zeros((len(topology.CANONICAL), len(topology.CANONICAL)))
    matrix[a, b] = matrix[b, a] = -stiffness
    np.fill_diagonal(matrix, -matrix.sum(axis=1))
    return matrix


def spread(handles: npt.ArrayLike, fixed: npt.ArrayLike) -> FloatArray:
    """Matrix [478,H] that turns offsets of `handles` [H,3] into offsets of every vertex [478,3].

    Handles move as they are told, `fixed` vertices and irises keep their place, and the others
    follow like a stretched skin (the harmonic function between the two on the canonical mesh).
    A vertex that is in both is a handle.
    """
    handles = np.asarray(handles, np.intp)
    held = np.union1d(handles, np.asarray(fixed, np.intp))
    free = np.setdiff1d(np.arange(len(topology.CANONICAL)), held)
    laplacian = _laplacian()
    matrix = np.zeros((topology.VERTEX_COUNT, len(handles)))
    matrix[handles, np.arange(len(handles))] = 1
    matrix[free] = np.linalg.solve(laplacian[np.ix_(free, free)], -laplacian[np.ix_(free, handles)])
    return matrix
