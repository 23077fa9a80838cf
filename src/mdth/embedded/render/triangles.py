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


class FaceTriangles:
    """The triangles of one portrait's mesh [478,3] px, lashes included."""

    def __init__(self, mesh: FloatArray) -> None:
        self._mesh = mesh
        vertices = np.concatenate([mesh[:, :2], lids.portrait_vertices(mesh)])
        # What a triangle interpolates: its corners' places, and how much the face field counts.
        self.blend = np.concatenate([_outline_blend(), np.ones(lids.COUNT)])
        self._values = np.concatenate([vertices, self.blend[:, None]], 1)
        depth = mesh[topology.TRIANGLES, 2].mean(1)
        far_to_near = topology.TRIANGLES[np.argsort(-depth)].copy()
        area = _planes(topology.CANONICAL[far_to_near, :2], np.zeros((len(far_to_near), 3, 1)))[1]
        far_to_near[area < 0] = far_to_near[area < 0][:, ::-1]
        self._triangles = np.concatenate([far_to_near, lids.triangles()])
        # A triangle seen from behind is hidden, except where folds have a layer of their own.
        self._two_sided = (self._triangles >= topology.VERTEX_COUNT).any(axis=1)
        for ring in (topology.LIPS_INNER, topology.EYE_LEFT, topology.EYE_RIGHT):
            self._two_sided |= np.isin(self._triangles, ring).all(axis=1)

    def draw(
        self, field: Grid, driving: FloatArray, rigid: Rigid, *, origin: FloatArray, cell: int
    ) -> tuple[topology.IndexArray, topology.IndexArray]:
        """Replace a field [H,W,2] px inside the face, blended at the outline.

        The field's cells are `cell` pixels wide; `origin` [2] px is its upper left corner. Gives
        first and last cell (x, y) of what it may have changed.
        """
        edges = lids.driving_vertices(self._mesh, driving, rigid.matrix[:2, :2])
        places = np.concatenate([driving[:, :2], edges])
        corners = (places - origin - (cell - 1) / 2) / cell
        low, high = box(corners, (field.shape[1], field.shape[0]), room=(1, 2))
        size = high - low
        if not size.all():
            return low, high
        values = self._values.copy()
        values[:, :2] -= places
        corners = (corners - low)[self._triangles]
        table, area = _planes(corners, values[self._triangles])
        # The last row, for cells of no triangle, changes nothing.
        planes = np.zeros((len(table) + 1, 9), np.float32)
        planes[:-1] = table.reshape(-1, 9)
        ids = self._rasterise(corners, area, size).reshape(size[::-1])
        x, y = (np.arange(n, dtype=np.float32) for n in size)
        *wanted, blend = (
            along * x + down * y[:, None] + start
            for along, down, start in (np.take(planes[:, k::3].T, ids, axis=1) for k in range(3))
        )
        np.clip(blend, 0, 1, out=blend)
        patch = field[low[1] : high[1], low[0] : high[0]]
        for axis, value in enumerate(wanted):
            patch[..., axis] += blend * (value - patch[..., axis])
        return low, high

    def _rasterise(
        self, corners: FloatArray, area: FloatArray, size: topology.IndexArray
    ) -> npt.NDArray[np.int16]:
        """The nearest triangle at each cell of (width, height), row by row [H*W], -1 for none.

        A cell belongs to a triangle whose edges its middle oversteps by no more than OVERLAP, so
        that what is hidden or too thin leaves no gap. All rows of all triangles are cut at once.
        """
        ways = corners[:, [1, 2, 0]] - corners
        lengths = np.hypot(ways[..., 0], ways[..., 1])
        height = np.where(self._two_sided, np.abs(area), area) / (lengths.max(1) + 1e-9)
        drawn = np.flatnonzero(height > MIN_HEIGHT)
        corners, ways = corners[drawn], ways[drawn] * np.sign(area[drawn])[:, None, None]
        low = np.clip(np.ceil(corners.min(1) - OVERLAP), 0, size).astype(np.int32)
        high = np.clip(np.floor(corners.max(1) + OVERLAP).astype(np.int32) + 1, low, size)
        rows = high[:, 1] - low[:, 1]
        of, y = np.repeat(np.arange(len(rows)), rows), _numbered(rows, low[:, 1])
        start, end = low[of, 0].astype(float), high[of, 0].astype(float)
        # Inside is where right * y - down * x + offset >= 0 for every edge.
        right, down = ways[..., 0], np.where(np.abs(ways[..., 1]) < 1e-9, 1e-9, ways[..., 1])
        offset = down * corners[..., 0] - right * corners[..., 1] + OVERLAP * lengths[drawn]
        slope, zero, left = right / down, offset / down, down < 0
        for edge in range(3):
            x, begins = slope[of, edge] * y + zero[of, edge], left[of, edge]
            np.maximum(start, np.ceil(x), out=start, where=begins)
            np.minimum(end, np.floor(x) + 1, out=end, where=~begins)
        counts = np.maximum(end - start, 0).astype(np.int32)
        ids = np.full(size[0] * size[1], -1, np.int16)
        # Later ones, which are nearer, win.
        cells = _numbered(counts, y * np.int32(size[0]) + start.astype(np.int32))
        ids[cells] = np.repeat(drawn[of].astype(np.int16), counts)
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
