"""A moving surface in the frame other programs expect."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mdth.artefacts import FloatArray, Frame, MeshSequence, Portrait
from mdth.face import geometry, topology
from mdth.face.topology import IndexArray
from mdth.mesh import arkit

# Of adults, between the outer corners; the canonical face has 89 mm.
EYE_DISTANCE_M = 0.089
# Face frame (y down, z away) -> y up, z to the viewer.
UPRIGHT = np.array([1.0, -1.0, -1.0])
# Of how many frames the shapes are found; more of a long clip would hardly change them.
SEEN_FRAMES = 1500
# Shapes and the error they may leave; weaker ones move no vertex by as much as the tracker's noise.
MOST_SHAPES = 32
TOLERANCE_M = 2e-5
# Named shapes of less weight stay out; one of about 0.01 gets half of what goes along with it.
LEAST_WEIGHT, RIDGE = 0.02, 1e-4


@dataclass(frozen=True)
class Head:
    """How a head moves about its neck.

    rotation: [T,3,3]. translation: [T,3] and neck: [3], in the unit and frame of what it is for.
    """

    rotation: FloatArray
    translation: FloatArray
    neck: FloatArray

    def placed(self, vertices: FloatArray) -> FloatArray:
        """Vertices [T,V,3] of the head where it is."""
        turned: FloatArray = (vertices - self.neck) @ self.rotation.transpose(0, 2, 1)
        return turned + self.neck + self.translation[:, None]

    def matrices(self) -> FloatArray:
        """The same as [T,4,4], for columns."""
        found = np.tile(np.eye(4), (len(self.rotation), 1, 1))
        found[:, :3, :3] = self.rotation
        found[:, :3, 3] = self.neck - self.rotation @ self.neck + self.translation
        return found


@dataclass(frozen=True)
class Animation:
    """A mesh that moves: metres, y up, z to the viewer, x to the viewer's right.

    neutral: [V,3]. triangles: [F,3], counter-clockwise from outside. offsets: [T,V,3] from neutral,
    without the head's motion. uv: [V,2], from the upper left corner of `texture`, RGB [H,W,3].
    weights: [T,K] of what `names` names, which the offsets go along with.
    """

    neutral: FloatArray
    triangles: IndexArray
    offsets: FloatArray
    fps: float
    names: tuple[str, ...]
    weights: FloatArray
    head: Head | None = None
    uv: FloatArray | None = None
    texture: Frame | None = None


def of_face(
    sequence: MeshSequence,
    neutral: FloatArray,
    *,
    heads: Sequence[tuple[FloatArray, FloatArray]] = (),
    portrait: Portrait | None = None,
) -> Animation:
    """The 478-vertex face. neutral: [478,3], face frame, eye distances; its mouth is a hole.

    heads: rotation [3,3] and translation [3] of each frame. portrait: gives texture and uv.
    """
    rows = {tuple(row) for row in topology.MOUTH_TRIANGLES.tolist()}
    skin = np.array([row for row in topology.TRIANGLES.tolist() if tuple(row) not in rows])
    to_metres = UPRIGHT * EYE_DISTANCE_M
    head = uv = texture = None
    if heads:
        rotations, translations = map(np.array, zip(*heads, strict=True))
        turned = UPRIGHT[:, None] * rotations * UPRIGHT
        head = Head(turned, translations * to_metres, geometry.NECK * to_metres)
    if portrait:
        texture = portrait.image
        uv = portrait.mesh[:, :2] / np.array(texture.shape[1::-1])
    faces = np.concatenate([neutral[None], neutral + sequence.offsets])
    found = arkit.weights(faces)
    return Animation(
        neutral * to_metres,
        skin,
        sequence.offsets * to_metres,
        sequence.fps,
        tuple(name[0].lower() + name[1:] for name in arkit.SHAPES),
        arkit.beyond_rest(found[1:], found[0]),
        *(head, uv, texture),
    )


def named_shapes(animation: Animation) -> tuple[list[str], FloatArray, FloatArray]:
    """Names, shapes [K,V,3] and weights [T,K] whose products are the animation's offsets.

    Those of the animation's names that move, each with the offsets that go along with it (ridge
    regression over the frames), then principal shapes of what they leave over.
    """
    moving = np.flatnonzero(animation.weights.max(axis=0) > LEAST_WEIGHT)
    names = [animation.names[place] for place in moving]
    weights = np.asarray(animation.weights[:, moving], np.float64)
    flat = animation.offsets.reshape(len(weights), -1)
    held = weights.T @ weights + RIDGE * len(weights) * np.eye(len(names))
    shapes = np.linalg.solve(held, weights.T @ flat).reshape(-1, *animation.offsets.shape[1:])
    offsets = animation.offsets - np.tensordot(weights, shapes, axes=1)
    more, amounts = principal_shapes(offsets, most=MOST_SHAPES, tolerance=TOLERANCE_M)
    names += [f"shape{place:02d}" for place in range(len(more))]
    return names, np.concatenate([shapes, more]), np.concatenate([weights, amounts], axis=1)


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
