"""FLAME: template and pose -> vertices, for many frames at once.

Li, Bolkart, Black, Li, Romero, "Learning a model of facial shape and expression from 4D scans",
SIGGRAPH Asia 2017; skinning as in Loper et al., "SMPL", SIGGRAPH Asia 2015, equations 2 to 10.
Model space: metres, y up, x to the person's left, z forwards.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray

IndexArray = npt.NDArray[np.intp]

# Frames skinned at once: their blended transforms take 12 numbers for each vertex.
CHUNK = 32


@dataclass(frozen=True)
class Flame:
    """The model without its shapes: FaceFormer gives templates. V vertices, F triangles, J joints.

    template: [V,3] m. triangles: [F,3]. pose_correctives: [V,3,9*(J-1)]. regressor: [J,V], joints
    from vertices. weights: [V,J]. parents: [J], -1 for the root.
    """

    template: FloatArray
    triangles: IndexArray
    pose_correctives: FloatArray
    regressor: FloatArray
    weights: FloatArray
    parents: IndexArray

    def vertices(
        self,
        *,
        pose: npt.ArrayLike,
        translation: npt.ArrayLike = (0.0, 0.0, 0.0),
        templates: FloatArray | None = None,
        only: IndexArray | None = None,
    ) -> FloatArray:
        """Posed vertices [T,V,3] m; T is the longest of what is given, one entry serves all frames.

        pose: [3*J] or [T,3*J], axis times angle of each joint. translation: [3] or [T,3] m.
        templates: [V,3] or [T,V,3] m, in place of the model's own. only: [n], these vertices
        alone, [T,n,3].
        """
        shaped = self.template if templates is None else np.asarray(templates, np.float64)
        shaped = shaped.reshape(-1, *self.template.shape)
        rotations = rotation_matrices(_rows(pose).reshape(-1, len(self.parents), 3))
        moves = _rows(translation)
        frames = max(len(shaped), len(rotations), len(moves))
        for part in (shaped, rotations, moves):
            if len(part) not in (1, frames):
                raise ValueError(f"{len(part)} frames beside {frames}")
        kept = np.arange(len(self.template)) if only is None else only
        posed = np.empty((frames, len(kept), 3))
        for start in range(0, frames, CHUNK):
            some = slice(start, start + CHUNK)
            skinned = self._skinned(_part(shaped, some), _part(rotations, some), kept)
            posed[some] = skinned + _part(moves, some)[:, None]
        return posed

    def landmarks(
        self,
        embedding: "Embedding",
        *,
        pose: npt.ArrayLike,
        translation: npt.ArrayLike = (0.0, 0.0, 0.0),
        templates: FloatArray | None = None,
    ) -> FloatArray:
        """Posed landmarks [T,L,3] m; only the corners of their triangles are posed."""
        corners, place = np.unique(self.triangles[embedding.triangle], return_inverse=True)
        posed = self.vertices(pose=pose, translation=translation, templates=templates, only=corners)
        return embedding.blend(posed[:, place.reshape(-1, 3)])

    def _skinned(self, shaped: FloatArray, rotations: FloatArray, kept: IndexArray) -> FloatArray:
        joints = np.einsum("jv,tvc->tjc", self.regressor, shaped, optimize=True)
        bends = (rotations[:, 1:] - np.eye(3)).reshape(len(rotations), -1)
        correctives = self.pose_correctives[kept]
        bent = shaped[:, kept] + np.einsum("vcp,tp->tvc", correctives, bends, optimize=True)
        turns, shifts = chain(rotations, joints, self.parents)
        # Transforms of the joints, blended for each vertex: [t,v,3,3] and [t,v,3].
        weights = self.weights[kept]
        turn = np.einsum("vj,tjab->tvab", weights, turns, optimize=True)
        shift = np.einsum("vj,tja->tva", weights, shifts, optimize=True)
        return np.asarray(np.einsum("tvab,tvb->tva", turn, bent) + shift)


@dataclass(frozen=True)
class Embedding:
    """Points on a surface. triangle: [L], which one; corners: [L,3], weights of its corners."""

    triangle: IndexArray
    corners: FloatArray

    def points(self, vertices: FloatArray, triangles: IndexArray) -> FloatArray:
        """The points [T,L,3] on meshes [T,V,3]."""
        return self.blend(vertices[:, triangles[self.triangle]])

    def blend(self, corners: FloatArray) -> FloatArray:
        """The points [T,L,3] of the corners [T,L,3,3] of their triangles."""
        return np.asarray(np.einsum("tlkc,lk->tlc", corners, self.corners))


def rotation_matrices(axis_angles: FloatArray) -> FloatArray:
    """Rodrigues' formula: rotations [...,3,3] of axis times angle [...,3], radians."""
    angle = np.linalg.norm(axis_angles, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(np.asarray(axis_angles, np.float64), -1, 0)
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)
    # sin(a)/a and (1 - cos(a))/a^2, both smooth at 0.
    first = np.sinc(angle / np.pi)
    second = np.square(np.sinc(angle / (2 * np.pi))) / 2
    return np.asarray(np.eye(3) + first * cross + second * (cross @ cross))


def chain(
    rotations: FloatArray, joints: FloatArray, parents: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Where each joint takes a point at rest: turns [T,J,3,3] and shifts [T,J,3].

    rotations: [T,J,3,3], each against its parent. joints: [T,J,3], at rest.
    """
    frames = max(len(rotations), len(joints))
    turns = np.empty((frames, len(parents), 3, 3))
    places = np.empty((frames, len(parents), 3))
    turns[:, 0], places[:, 0] = rotations[:, 0], joints[:, 0]
    for joint, parent in enumerate(parents[1:], start=1):
        turns[:, joint] = turns[:, parent] @ rotations[:, joint]
        arm = joints[:, joint] - joints[:, parent]
        places[:, joint] = places[:, parent] + np.einsum("tab,tb->ta", turns[:, parent], arm)
    return turns, places - np.einsum("tjab,tjb->tja", turns, joints)


def _rows(values: npt.ArrayLike) -> FloatArray:
    return np.atleast_2d(np.asarray(values, np.float64))


def _part(rows: FloatArray, some: slice) -> FloatArray:
    return rows if len(rows) == 1 else rows[some]
