"""A moving surface in the frame other programs expect."""

from dataclasses import dataclass

import numpy as np

from mdth.artefacts import FloatArray, MeshSequence
from mdth.face import topology
from mdth.face.topology import IndexArray

# Of adults, between the outer corners; the canonical face has 89 mm.
EYE_DISTANCE_M = 0.089
# Face frame (y down, z away) -> y up, z to the viewer.
UPRIGHT = np.array([1.0, -1.0, -1.0])
# Of how many frames the shapes are found; more of a long clip would hardly change them.
SEEN_FRAMES = 1500


@dataclass(frozen=True)
class Animation:
    """A mesh that moves: metres, y up, z to the viewer, x to the viewer's right.

    neutral: [V,3]. triangles: [F,3], counter-clockwise from outside. offsets: [T,V,3] from neutral.
    """

    neutral: FloatArray
    triangles: IndexArray
    offsets: FloatArray
    fps: float


def of_face(sequence: MeshSequence, neutral: FloatArray) -> Animation:
    """The 478-vertex face. neutral: [478,3], face frame, eye distances; its mouth is a hole."""
    rows = {tuple(row) for row in topology.MOUTH_TRIANGLES.tolist()}
    skin = np.array([row for row in topology.TRIANGLES.tolist() if tuple(row) not in rows])
    to_metres = UPRIGHT * EYE_DISTANCE_M
    return Animation(neutral * to_metres, skin, sequence.offsets * to_metres, sequence.fps)


def principal_shapes(
    offsets: FloatArray, *, most: int, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """Shapes [K,V,3] and weights [T,K] whose products are the offsets [T,V,3].

    As many as it takes to leave an error under `tolerance` (root mean square over all numbers), 1
    to `most`. Weights lie in -1..1 and are 0 where nothing moves: the mean is not taken out.
    """
    frames, vertices = offsets.shape[:2]
    flat = offsets.reshape(frames, -1)
    every = -(-frames // SEEN_FRAMES)
    _, strength, directions = np.linalg.svd(flat[::every], full_matrices=False)
    squares = np.square(strength)
    left = squares.sum() - np.cumsum(squares)
    allowed = np.square(tolerance) * flat[::every].size
    count = min(most, len(strength), 1 + int(np.count_nonzero(left > allowed)))
    weights = flat @ directions[:count].T
    reach = np.maximum(np.abs(weights).max(axis=0), np.finfo(np.float32).tiny)
    shapes: FloatArray = (directions[:count] * reach[:, None]).reshape(count, vertices, 3)
    return shapes, weights / reach


def normals(vertices: FloatArray, triangles: IndexArray) -> FloatArray:
    """Unit normals [V,3] of a mesh [V,3]; vertices of no triangle look at the viewer."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    face = np.cross(b - a, c - a)
    summed = np.zeros_like(vertices, dtype=np.float64)
    for corner in range(3):
        np.add.at(summed, triangles[:, corner], face)
    lengths = np.linalg.norm(summed, axis=1, keepdims=True)
    forwards = np.array([0.0, 0.0, 1.0])
    return np.where(lengths > 0, summed / np.maximum(lengths, 1e-30), forwards)
