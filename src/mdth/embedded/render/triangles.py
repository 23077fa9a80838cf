"""The field inside the face: every pixel follows its triangle of the mesh."""

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.render import lids
from mdth.embedded.render.motion import Grid, Rigid, box
from mdth.face import topology

# Weight of the face field on the oval and the next rings of vertices. A turning head folds the
# outermost triangles away; blending them softly keeps specks of background out of the cheek.
OUTLINE_BLEND = (0.0, 0.35, 0.8)
# A triangle less high than this, in cells, is a line, and its slopes are noise.
MIN_HEIGHT = 0.25
# How far a triangle reaches over its edges, cells.
OVERLAP = 0.5
_NEXT = [1, 2, 0]


class FaceTriangles:
    """The triangles of one portrait's mesh [478,3] px, lashes included."""

    def __init__(self, mesh: FloatArray) -> None:
        self._mesh = mesh
        self._lids = lids.portrait_vertices(mesh)
        vertices = np.concatenate([mesh[:, :2], self._lids])
        # What a triangle interpolates: its corners' places, and how much the face field counts.
        self.blend = np.concatenate([_outline_blend(), np.ones(lids.COUNT)])
        self._values = np.concatenate([vertices, self.blend[:, None]], 1).T
        depth = mesh[topology.TRIANGLES, 2].mean(1)
        far_to_near = topology.TRIANGLES[np.argsort(-depth)].copy()
        area = _spanned(*topology.CANONICAL[far_to_near, :2].T)[0]
        far_to_near[area < 0] = far_to_near[area < 0][:, ::-1]
        corners = np.concatenate([far_to_near, lids.triangles()])
        # A triangle seen from behind is hidden, except where folds have a layer of their own.
        self._two_sided = (corners >= topology.VERTEX_COUNT).any(axis=1)
        for ring in (topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT):
            self._two_sided |= np.isin(corners, ring).all(axis=1)
        self._corners = np.ascontiguousarray(corners.T)

    def draw(
        self, field: Grid, driving: FloatArray, rigid: Rigid, *, origin: FloatArray, cell: int
    ) -> tuple[topology.IndexArray, topology.IndexArray]:
        """Replace a field [H,W,2] px inside the face, blended at the outline.

        The field's cells are `cell` pixels wide; `origin` [2] px is its upper left corner. Gives
        first and last cell (x, y) of what it may have changed.
        """
        turn = rigid.matrix[:2, :2]
        edges = lids.driving_vertices(self._mesh, self._lids, driving, turn)
        places = np.concatenate([driving[:, :2], edges])
        corners = (places - origin - (cell - 1) / 2) / cell
        low, high = box(corners, (field.shape[1], field.shape[0]), room=(1, 2))
        size = high - low
        if not size.all():
            return low, high
        values = self._values.copy()
        values[:2] -= places.T
        x, y = (corners - low).T[:, self._corners]
        table, area = _planes(x, y, values[:, self._corners])
        # The last one, for cells of no triangle, changes nothing.
        planes = np.zeros((3, 3, table.shape[2] + 1), np.float32)
        planes[..., :-1] = table
        ids = self._rasterise(x.astype(np.float32), y.astype(np.float32), area, size)
        along, down, start = np.take(planes, ids.reshape(size[::-1]), axis=2)
        across, rows = (np.arange(n, dtype=np.float32) for n in size)
        *wanted, blend = along * across + down * rows[:, None] + start
        np.clip(blend, 0, 1, out=blend)
        patch = field[low[1] : high[1], low[0] : high[0]]
        for axis, value in enumerate(wanted):
            patch[..., axis] += blend * (value - patch[..., axis])
        return low, high

    def _rasterise(
        self, x: Grid, y: Grid, area: FloatArray, size: topology.IndexArray
    ) -> npt.NDArray[np.int16]:
        """The nearest triangle at each cell of (width, height), row by row [H*W], -1 for none.

        x, y: of the corners, cells [3,T]. A cell belongs to a triangle whose edges its middle
        oversteps by no more than OVERLAP, so that what is hidden or too thin leaves no gap. All
        rows of all triangles are cut at once.
        """
        right, down = x[_NEXT] - x, y[_NEXT] - y
        lengths = np.hypot(right, down)
        height = np.where(self._two_sided, np.abs(area), area) / (lengths.max(0) + 1e-9)
        drawn = np.flatnonzero(height > MIN_HEIGHT)
        sign = np.sign(area[drawn]).astype(np.float32)
        edges = np.stack([x, y, right, down, lengths]).take(drawn, 2)
        edges[2:4] *= sign
        x, y, right, down, lengths = edges
        down = np.where(np.abs(down) < 1e-9, np.float32(1e-9), down)
        most = size.astype(np.float32)[:, None]
        left, top = np.minimum(np.maximum(np.ceil(edges[:2].min(1) - OVERLAP), 0), most)
        past = np.minimum(np.maximum(np.floor(edges[:2].max(1) + OVERLAP) + 1, 0), most)
        rows = np.maximum(past[1] - top, 0).astype(np.int32)
        of, row = np.repeat(np.arange(len(rows)), rows), _numbered(rows, top.astype(np.int32))
        # Inside is where right * y - down * x + offset >= 0 for every edge.
        offset = down * x - right * y + OVERLAP * lengths
        slope, zero = np.stack([right / down, offset / down]).take(of, 2)
        cut, begins = slope * row.astype(np.float32) + zero, (down < 0).take(of, 1)
        far = np.float32(np.inf)
        end = np.minimum(past[0].take(of), np.floor(np.where(begins, far, cut).min(0)) + 1)
        start = np.maximum(left.take(of), np.ceil(np.where(begins, cut, -far).max(0)))
        counts = np.maximum(end - start, 0).astype(np.int32)
        ids = np.full(size[0] * size[1], -1, np.int16)
        # Later ones, which are nearer, win.
        begin = row * np.int32(size[0]) + np.minimum(start, end).astype(np.int32)
        ids[_numbered(counts, begin)] = np.repeat(drawn[of].astype(np.int16), counts)
        return ids


def _numbered(counts: npt.NDArray[np.int32], first: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """So many numbers of each group [N], from its first one on [N] -> all of them, [sum]."""
    before = np.cumsum(counts, dtype=np.int32) - counts
    return np.repeat(first - before, counts) + np.arange(counts.sum(), dtype=np.int32)


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


def _spanned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, ...]:
    """Twice the areas [T] of triangles with corners [3,T], and their two edges' x and y [T] each.

    The areas are positive for triangles that run clockwise in the picture.
    """
    edges = x[1] - x[0], y[1] - y[0], x[2] - x[0], y[2] - y[0]
    return edges[0] * edges[3] - edges[1] * edges[2], *edges


def _planes(x: FloatArray, y: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Linear functions over triangles: [3,T], [3,T], [K,3,T] -> (x, y, 1) [3,K,T], areas [T]."""
    area, right, down, right_too, down_too = _spanned(x, y)
    safe = np.where(np.abs(area) > 1e-6, area, 1.0)
    along, along_too = values[:, 1] - values[:, 0], values[:, 2] - values[:, 0]
    slope_x = (along * down_too - along_too * down) / safe
    slope_y = (along_too * right - along * right_too) / safe
    return np.stack([slope_x, slope_y, values[:, 0] - slope_x * x[0] - slope_y * y[0]]), area
