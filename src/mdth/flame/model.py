"""FLAME: template and pose -> vertices, for many frames at once.

Li, Bolkart, Black, Li, Romero, "Learning a model of facial shape and expression from 4D scans",
SIGGRAPH Asia 2017; skinning as in Loper et al., "SMPL", SIGGRAPH Asia 2015, equations 2 to 10.
Model space: metres, y up, x to the person's left, z forwards.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray

IndexArray = npt.NDArray[np.intp]


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
        """Posed vertices [T,V,3] m of templates [T,V,3], or of the model's own one.

        pose: [3*J], axis times angle of each joint. translation: [3] m. only: [n], these vertices
        alone, [T,n,3].
        """
        shaped = self.template[None] if templates is None else np.asarray(templates, np.float64)
        rotations = np.stack([cv2.Rodrigues(turn)[0] for turn in np.reshape(pose, (-1, 3)) * 1.0])
        kept = np.arange(len(self.template)) if only is None else only
        joints = np.einsum("jv,tvc->tjc", self.regressor, shaped, optimize=True)
        bent = shaped[:, kept] + self.pose_correctives[kept] @ (rotations[1:] - np.eye(3)).ravel()
        turns, shifts = chain(rotations, joints, self.parents)
        # Transforms of the joints, blended for each vertex: [v,3,3] and [t,v,3].
        turn = np.einsum("vj,jab->vab", self.weights[kept], turns)
        shift = np.einsum("vj,tja->tva", self.weights[kept], shifts, optimize=True)
        return np.asarray(np.einsum("vab,tvb->tva", turn, bent) + shift + translation)

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


@dataclass(frozen=True)
class Embedding:
    """Points on a surface. triangle: [L], which one; corners: [L,3], weights of its corners."""

    triangle: IndexArray
    corners: FloatArray

    def blend(self, corners: FloatArray) -> FloatArray:
        """The points [T,L,3] of the corners [T,L,3,3] of their triangles."""
        return np.asarray(np.einsum("tlkc,lk->tlc", corners, self.corners))


def chain(
    rotations: FloatArray, joints: FloatArray, parents: IndexArray
) -> tuple[FloatArray, FloatArray]:
    """Where each joint takes a point at rest: turns [J,3,3] and shifts [T,J,3].

    rotations: [J,3,3], each against its parent. joints: [T,J,3], at rest.
    """
    turns, places = rotations.copy(), joints.copy()
    for joint, parent in enumerate(parents[1:], start=1):
        turns[joint] = turns[parent] @ rotations[joint]
        arm = joints[:, joint] - joints[:, parent]
        places[:, joint] = places[:, parent] + arm @ turns[parent].T
    return turns, places - np.einsum("jab,tjb->tja", turns, joints)
