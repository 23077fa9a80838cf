"""Where each pixel of a frame comes from in the portrait.

Inside the face a pixel follows its triangle of the mesh. Around it the whole head, hair and neck
included, follows the head's rigid motion, and the skin beside the face what the face outline does;
both fade out before the shoulders and the picture's border, which stay still. The outermost ring of
triangles blends from one field to the other, so that no seam can appear.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import Portrait
from mdth.bfv2v import lashes
from mdth.face import geometry, topology

FloatArray = npt.NDArray[np.floating]
Grid = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]

# Lattice of the face field: about this many cells across the face, never finer than a pixel.
FACE_CELLS = 110
# Cells of the field around the face, per eye distance.
OUTER_CELLS = 8
# The head with its hair, in eye distances from the middle of the outer eye corners: an ellipse in
# the face frame that moves as one, and how much further (relative to it) the motion fades to 0.
HEAD_HALF_WIDTH, HEAD_UP, HEAD_DOWN, HEAD_CENTRE = 1.25, 1.75, 1.3, 0.1
HEAD_FADE = 0.7
# How far the outline's own motion (the jaw's) reaches into neck and hair, eye distances.
SKIN_REACH = 0.4
BORDER_FADE = 0.35
FIXED_POINT_STEPS = 4
# Weight of the face field on the oval and the next rings of vertices. A turning head folds the
# outermost triangles away; blending them softly keeps specks of background out of the cheek.
OUTLINE_BLEND = (0.0, 0.35, 0.8)
# A triangle less high than this, in cells, is a line, and its slopes are noise.
MIN_HEIGHT = 0.25


def smoothstep(value: FloatArray) -> FloatArray:
    """0 below 0, 1 above 1, smooth between."""
    clipped = np.clip(value, 0.0, 1.0)
    eased: FloatArray = clipped * clipped * (3 - 2 * clipped)
    return eased


def sample(picture: AnyArray, places: FloatArray, kind: int) -> AnyArray:
    """The picture's values [h,w,...] at places [h,w,2] px; beyond its border the border's."""
    places = places.astype(np.float32, copy=False)
    # An empty array in place of None as the second map gives garbage with OpenCV 5.0 (linear).
    return np.asarray(
        cv2.remap(picture, places, None, kind, borderMode=cv2.BORDER_REPLICATE)  # type: ignore
    )


@dataclass(frozen=True)
class Rigid:
    """The head's motion: frame point = matrix [3,3] @ portrait point + offset [3], px."""

    matrix: FloatArray
    offset: FloatArray

    def apply(self, points: FloatArray) -> FloatArray:
        """Move points [...,3] px."""
        moved: FloatArray = points @ self.matrix.T + self.offset
        return moved

    def plane(self, anchor: FloatArray) -> FloatArray:
        """The affine [2,3] px that moves picture points at the depth of `anchor` [3] px."""
        shift = self.matrix[:2, 2] * anchor[2] + self.offset[:2]
        return np.concatenate([self.matrix[:2, :2], shift[:, None]], axis=1)


def rigid_motion(portrait_mesh: FloatArray, driving: FloatArray) -> Rigid:
    """The head's rigid motion between two meshes [478,3] px, from vertices speech leaves alone."""
    group = topology.RIGID
    pose = geometry.fit_similarity(driving[None, group], portrait_mesh[group])
    return Rigid(pose.scale[0] * pose.rotation[0], pose.translation[0])


class Warp:
    """Backward maps of one portrait; what does not change from frame to frame is computed once."""

    def __init__(self, portrait: Portrait) -> None:
        self.mesh = portrait.mesh.astype(np.float64)
        height, width = portrait.image.shape[:2]
        self.eye_distance = float(geometry.eye_distance(self.mesh))
        oval = self.mesh[topology.FACE_OVAL]
        self._cell = max(1, round(float(np.ptp(oval[:, 0])) / FACE_CELLS))
        ratio = max(1, round(self.eye_distance / OUTER_CELLS / self._cell))
        self._coarse = self._cell * ratio
        self.roi = self._region(width, height)
        self._place_outer_grid(width, height)
        self._vertices = np.concatenate([self.mesh[:, :2], lashes.portrait_vertices(self.mesh)])
        self._triangles, self._alpha, self._flat = self._face_triangles()
        x0, y0, x1, y1 = self.roi
        self._identity = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).astype(
            np.float32
        )

    def _region(self, width: int, height: int) -> tuple[int, int, int, int]:
        """The rectangle in which anything can move, whole coarse cells, x0 y0 x1 y1."""
        middle = self.mesh[list(topology.OUTER_EYE_CORNERS), :2].mean(0)
        reach = self.eye_distance * (1 + HEAD_FADE)
        # A rolled head needs more width; a frame may lean by a quarter of its height.
        half_width = HEAD_HALF_WIDTH + 0.25 * HEAD_UP
        low = middle - reach * np.array([half_width, HEAD_UP])
        high = middle + reach * np.array([half_width, HEAD_DOWN + 0.25 * HEAD_HALF_WIDTH])
        x0, y0 = np.maximum(low, 0).astype(int)
        cells_x = int(np.ceil((min(high[0], width) - x0) / self._coarse))
        cells_y = int(np.ceil((min(high[1], height) - y0) / self._coarse))
        return int(x0), int(y0), int(x0) + cells_x * self._coarse, int(y0) + cells_y * self._coarse

    def _place_outer_grid(self, width: int, height: int) -> None:
        x0, y0, x1, y1 = self.roi
        half = (self._coarse - 1) / 2
        xs = np.arange(x0, x1, self._coarse) + half
        ys = np.arange(y0, y1, self._coarse) + half
        nodes = np.stack(np.meshgrid(xs, ys), -1)
        oval = self.mesh[topology.FACE_OVAL]
        difference = nodes[:, :, None] - oval[:, :2]
        weights = 1 / (np.square(difference).sum(-1) + 1e-3) ** 1.5
        weights /= weights.sum(-1, keepdims=True)
        outline = oval[:, :2].astype(np.float32)
        outside = np.array(
            [[-cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x in xs] for y in ys]
        )
        outside = np.maximum(outside, 0) / self.eye_distance
        border = np.minimum.reduce(
            [nodes[..., 0], width - 1 - nodes[..., 0], nodes[..., 1], height - 1 - nodes[..., 1]]
        )
        # The outermost cells are 0, so that interpolation between cells moves no border pixel.
        still = smoothstep((border - self._coarse) / (BORDER_FADE * self.eye_distance))
        # The outline's own motion has to be whole on the outline itself, border or not.
        self._skin = weights * (np.exp(-np.square(outside / SKIN_REACH)) * still)[..., None]
        self._head = self._head_weight(nodes) * still
        depth = weights @ oval[:, 2]
        self._nodes = np.concatenate([nodes, depth[..., None]], -1)

    def _head_weight(self, nodes: FloatArray) -> FloatArray:
        """1 on the head, 0 away from it, at picture points [...,2] px."""
        left, right = (self.mesh[v, :2] for v in topology.OUTER_EYE_CORNERS)
        along = (right - left) / np.linalg.norm(right - left)
        down = np.array([-along[1], along[0]])
        from_eyes = (nodes - (left + right) / 2) / self.eye_distance
        x = from_eyes @ along
        y = from_eyes @ down - HEAD_CENTRE
        half_height = np.where(y < 0, HEAD_UP + HEAD_CENTRE, HEAD_DOWN - HEAD_CENTRE)
        radius = np.hypot(x / HEAD_HALF_WIDTH, y / half_height)
        return 1 - smoothstep((radius - 1) / HEAD_FADE)

    def _face_triangles(
        self,
    ) -> tuple[npt.NDArray[np.intp], FloatArray, npt.NDArray[np.bool_]]:
        """Triangles far to near and clockwise, the weight of each vertex, which lie in a hole.

        The weight says how much the face field counts (0 on the oval); mouth and eyes are holes.
        """
        depth = self.mesh[topology.TRIANGLES, 2].mean(1)
        triangles = topology.TRIANGLES[np.argsort(-depth)].copy()
        area = _planes(topology.CANONICAL[triangles, :2], np.zeros((len(triangles), 3, 1)))[1]
        triangles[area < 0] = triangles[area < 0][:, ::-1]
        triangles = np.concatenate([triangles, lashes.triangles()])
        alpha = np.concatenate([_outline_blend(), np.ones(lashes.COUNT)])
        flat = np.zeros(len(triangles), bool)
        for ring in (topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT):
            flat |= np.isin(triangles, ring).all(axis=1)
        flat |= (triangles >= topology.VERTEX_COUNT).any(axis=1)
        return triangles, alpha, flat

    def displacement(self, driving: FloatArray, rigid: Rigid) -> Grid:
        """What to add to a pixel's place to get its source, [h,w,2] px over the region."""
        outer = self._outer(driving, rigid)
        x0, y0, x1, y1 = self.roi
        size = ((x1 - x0) // self._cell, (y1 - y0) // self._cell)
        field = np.asarray(cv2.resize(outer, size, interpolation=cv2.INTER_LINEAR), np.float32)
        self._draw_face(field, driving, rigid)
        if self._cell > 1:
            full = (x1 - x0, y1 - y0)
            field = np.asarray(cv2.resize(field, full, interpolation=cv2.INTER_LINEAR), np.float32)
        return field

    def _outer(self, driving: FloatArray, rigid: Rigid) -> Grid:
        """The field around the face on the coarse cells, [H,W,2] px."""
        oval = topology.FACE_OVAL
        moved = rigid.apply(self._nodes)[..., :2] - self._nodes[..., :2]
        own = driving[oval, :2] - rigid.apply(self.mesh[oval])[:, :2]
        forward = (moved * self._head[..., None] + self._skin @ own).astype(np.float32)
        x0, y0 = self.roi[:2]
        first = np.array([x0, y0], np.float32) + (self._coarse - 1) / 2
        target = self._nodes[..., :2].astype(np.float32)
        source = target.copy()
        for _ in range(FIXED_POINT_STEPS):
            at = (source - first) / self._coarse
            source = target - sample(forward, at, cv2.INTER_LINEAR)
        backward: Grid = source - target
        return backward

    def _draw_face(self, field: Grid, driving: FloatArray, rigid: Rigid) -> None:
        """Replace the field inside the face by what its triangles say, blended at the outline."""
        cell = self._cell
        lids = lashes.driving_vertices(self.mesh, driving, rigid.matrix[:2, :2])
        vertices = np.concatenate([driving[:, :2], lids])
        corners = (vertices - self.roi[:2] - (cell - 1) / 2) / cell
        rows, columns = field.shape[:2]
        low = np.maximum(np.floor(corners[topology.FACE_OVAL].min(0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(corners.max(0)).astype(int) + 2, [columns, rows])
        if (high <= low).any():
            return
        local = corners - low
        shift = self._vertices - vertices
        values = np.concatenate([shift, self._alpha[:, None]], 1)
        table, area = _planes(local[self._triangles], values[self._triangles])
        # A triangle seen from behind is hidden; the mouth's and eyes' own layers cover their folds.
        sides = corners[self._triangles] - corners[self._triangles[:, [1, 2, 0]]]
        edges = np.linalg.norm(sides, axis=2)
        height = np.where(self._flat, np.abs(area), area) / (edges.max(1) + 1e-9)
        size = high - low
        ids = np.full((size[1], size[0]), -1, np.int16)
        fixed = np.round(local[self._triangles] * 16).astype(np.int32)
        for i in np.flatnonzero(height > MIN_HEIGHT).tolist():
            cv2.fillConvexPoly(ids, fixed[i], i, cv2.LINE_8, 4)
        inside = np.flatnonzero(ids.ravel() >= 0)
        which = ids.ravel()[inside]
        place = np.stack(
            [inside % size[0], inside // size[0], np.ones(len(inside))], 1, dtype=np.float32
        )
        value = np.matmul(place[:, None], np.take(table.astype(np.float32), which, axis=0))[:, 0]
        patch = field[low[1] : high[1], low[0] : high[0]]
        flat = patch.reshape(-1, 2)
        blend = np.clip(value[:, 2:], 0, 1)
        flat[inside] += blend * (value[:, :2] - flat[inside])
        patch[:] = flat.reshape(patch.shape)

    def apply(
        self, image: npt.NDArray[np.uint8], displacement: Grid, driving: FloatArray
    ) -> npt.NDArray[np.uint8]:
        """The portrait's picture with the region replaced by its warp."""
        x0, y0, x1, y1 = self.roi
        height, width = image.shape[:2]
        places = self._identity + displacement
        warped = sample(image, places, cv2.INTER_LINEAR)
        # In the face linear sampling is seen to soften; around it cubic costs three times as much.
        low = np.maximum(np.floor(driving[:, :2].min(0)).astype(int) - [x0, y0], 0)
        high = np.maximum(np.ceil(driving[:, :2].max(0)).astype(int) - [x0, y0], low)
        face = np.s_[low[1] : high[1], low[0] : high[0]]
        if places[face].size:
            warped[face] = sample(image, places[face], cv2.INTER_CUBIC)
        frame = image.copy()
        frame[y0:y1, x0:x1] = warped[: height - y0, : width - x0]
        return frame


def _outline_blend() -> FloatArray:
    """How much the face field counts at each vertex [478]: OUTLINE_BLEND in rings from the oval."""
    alpha = np.ones(topology.VERTEX_COUNT)
    ring = topology.FACE_OVAL
    seen = np.zeros(topology.VERTEX_COUNT, bool)
    for weight in OUTLINE_BLEND:
        alpha[ring] = weight
        seen[ring] = True
        touching = topology.TRIANGLES[seen[topology.TRIANGLES].any(axis=1)]
        ring = np.setdiff1d(touching, np.flatnonzero(seen))
    return alpha


def _planes(corners: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Linear functions over triangles: [T,3,2], [T,3,K] -> [T,3,K] (x, y, 1 rows), areas [T].

    The areas are doubled and positive for triangles that run clockwise in the picture.
    """
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, ac = b - a, c - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    safe = np.where(np.abs(area) > 1e-6, area, 1.0)[:, None]
    vb, vc = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    slope_x = (vb * ac[:, 1:] - vc * ab[:, 1:]) / safe
    slope_y = (vc * ab[:, :1] - vb * ac[:, :1]) / safe
    constant = values[:, 0] - slope_x * a[:, :1] - slope_y * a[:, 1:]
    return np.stack([slope_x, slope_y, constant], axis=1), area
