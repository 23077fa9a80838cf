"""What the parts of the renderer share: the head's rigid motion, sampling, boxes."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.face import geometry, topology

Grid = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]


def sample(picture: AnyArray, places: FloatArray, kind: int) -> AnyArray:
    """The picture's values [h,w,...] at places [h,w,2] px; beyond its border the border's."""
    places = places.astype(np.float32, copy=False)
    # An empty array in place of None as the second map gives garbage with OpenCV 5.0 (linear).
    return np.asarray(
        cv2.remap(picture, places, None, kind, borderMode=cv2.BORDER_REPLICATE)  # type: ignore
    )


def moved(picture: AnyArray, shift: Grid) -> AnyArray:
    """The picture [h,w,...], linearly, each pixel from where `shift` [h,w,2] px from it is."""
    kind = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
    return np.asarray(
        cv2.remap(picture, shift, None, kind, borderMode=cv2.BORDER_REPLICATE)  # type: ignore
    )


def box(
    points: FloatArray, size: tuple[int, int], *, room: tuple[float, float] = (0, 0)
) -> tuple[topology.IndexArray, topology.IndexArray]:
    """First and last corner [2] px around points [N,2], `room` before and after, in (w, h)."""
    columns = points.T.copy()
    first = np.floor(columns.min(1) - room[0]).tolist()
    last = np.ceil(columns.max(1) + room[1]).tolist()
    low = [min(max(int(v), 0), most) for v, most in zip(first, size, strict=True)]
    high = [min(max(int(v), v0), most) for v, v0, most in zip(last, low, size, strict=True)]
    return np.array(low, np.intp), np.array(high, np.intp)


@dataclass(frozen=True)
class Rigid:
    """The head's motion: frame point = matrix [3,3] @ portrait point + offset [3], px."""

    matrix: FloatArray
    offset: FloatArray

    def apply(self, points: FloatArray) -> FloatArray:
        """Move points [...,3] px."""
        return np.asarray(points @ self.matrix.T + self.offset)

    def plane(self, anchor: FloatArray) -> FloatArray:
        """The affine [2,3] px that moves picture points at the depth of `anchor` [3] px."""
        shift = self.matrix[:2, 2] * anchor[2] + self.offset[:2]
        return np.column_stack([self.matrix[:2, :2], shift])


def rigid_motion(portrait_mesh: FloatArray, driving: FloatArray) -> Rigid:
    """The head's rigid motion between two meshes [478,3] px, from vertices speech leaves alone."""
    group = topology.RIGID
    pose = geometry.fit_similarity(driving[None, group], portrait_mesh[group])
    return Rigid(pose.scale[0] * pose.rotation[0], pose.translation[0])
