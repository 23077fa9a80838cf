"""Where each pixel of a frame comes from in the portrait, and the frame made from it.

The face follows its triangles, what is around it the field of `surround`; the outermost rings of
triangles blend from one to the other, so that no seam can appear.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render.motion import Grid, Rigid, box, sample
from mdth.embedded.render.person import Layers, lay
from mdth.embedded.render.surround import Surround
from mdth.embedded.render.triangles import FaceTriangles
from mdth.embedded.render.unfold import lips_rest, unfold
from mdth.face import geometry, topology

# Cells of the face field: about this many across the face, never finer than a pixel.
FACE_CELLS = 110
# Cells of the field around the face, per eye distance.
OUTER_CELLS = 14
# Facing edges that may close over what the portrait shows between them, and how near they are
# then, relative to their distance in the portrait.
EDGES = (topology.LIP_PAIRS, topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT)
CLOSING = 0.6
# Sampling works in 32nds of a pixel: less than this moves nothing.
STILL_PX = 1 / 64
# Frames are drawn in bands of so many px, which stay in the processor's own memory from step to
# step; where the person is in them is looked up at one place in so many, px.
BAND_PX, SPARSE = 1 << 16, 8
# How is sampled left of the face, in it and right of it: linear sampling is seen to soften a face,
# and cubic costs seven times as much.
KINDS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LINEAR)


class Field(NamedTuple):
    """A backward map over a rectangle of the picture; everything outside it rests.

    shift: [h,w,2] px, what to add to a pixel's place to get its source. origin: x, y px.
    """

    shift: Grid
    origin: tuple[int, int]


class Around(Protocol):
    """The field around a face, on cells of `step` px over a region x0 y0 x1 y1: see `Surround`."""

    step: int
    known: bool
    region: tuple[int, int, int, int]
    near: npt.NDArray[np.bool_]

    def field(self, driving: FloatArray, rigid: Rigid) -> Grid:
        """What to add to a cell's place to get its source, [H,W,2] px."""


class Warp:
    """Backward maps of one portrait; what does not change from frame to frame is computed once."""

    def __init__(
        self, portrait: Portrait, around: Callable[[Portrait, int], Around] = Surround
    ) -> None:
        """around: makes the field around the face, on cells of so many px."""
        mesh = portrait.mesh.astype(np.float64)
        self._mesh = mesh
        self._image = portrait.image
        face_width = float(np.ptp(mesh[topology.FACE_OVAL, 0]))
        self._cell = max(1, round(face_width / FACE_CELLS))
        ratio = max(1, round(float(geometry.eye_distance(mesh)) / OUTER_CELLS / self._cell))
        self._surround = around(portrait, self._cell * ratio)
        self._triangles = FaceTriangles(mesh)
        x0, y0, x1, y1 = self._surround.region
        height, width = portrait.image.shape[:2]
        inside = x0, y0, min(x1, width), min(y1, height)
        self.layers = Layers.of(portrait, inside) if self._surround.known else None
        self._picture, self._first = portrait.image, (0, 0)
        if self.layers:
            self._picture, self._first = self.layers.person, self.layers.origin
            # Grown by what lies between the places that are looked up, however squeezed.
            grown = np.ones((4 * SPARSE + 1,) * 2, np.uint8)
            some = cv2.dilate(self.layers.person[..., 3], grown)
            self._person = some[::SPARSE, ::SPARSE].copy()

    def field(self, driving: FloatArray, rigid: Rigid) -> Field:
        """The map for a driving mesh [478,3] px, over the part of the picture that moves."""
        coarse = self._surround.field(driving, rigid)
        step = self._surround.step
        first, last = self._moving(coarse, driving)
        coarse = coarse[first[1] : last[1], first[0] : last[0]]
        origin = (np.array(self._surround.region[:2]) + first * step).astype(float)
        width, height = ((last - first) * step).tolist()
        cell = self._cell
        shift = _resize(coarse, (width // cell, height // cell))
        self._triangles.draw(shift, driving, rigid, origin=origin, cell=cell)
        resting = lips_rest(self._mesh, driving)
        shift = unfold(shift, driving, origin=origin, cell=cell, lips_too=resting)
        fine = _resize(shift, (width, height))
        if cell > 1:
            for pairs in EDGES:
                if self._closes(pairs, driving):
                    self._refine(fine, pairs, driving, rigid, origin=origin)
        return Field(fine, (int(origin[0]), int(origin[1])))

    def _closes(self, pairs: topology.IndexArray, driving: FloatArray) -> bool:
        """Whether edges that are apart in the portrait come near each other."""
        apart, now = (
            float(np.linalg.norm(np.diff(mesh[pairs, :2], axis=1), axis=-1).mean())
            for mesh in (self._mesh, driving)
        )
        return apart > self._cell / 2 and now < CLOSING * apart

    def _refine(
        self,
        shift: Grid,
        pairs: topology.IndexArray,
        driving: FloatArray,
        rigid: Rigid,
        *,
        origin: FloatArray,
    ) -> None:
        """The triangles around facing edges pixel by pixel, in place.

        A cell between edges that meet would show what lies between them in the portrait.
        """
        places = driving[pairs, :2].reshape(-1, 2) - origin
        room = 2 * self._cell
        low, high = box(places, (shift.shape[1], shift.shape[0]), room=(room, room))
        part = shift[low[1] : high[1], low[0] : high[0]]
        self._triangles.draw(part, driving, rigid, origin=origin + low, cell=1)

    def _moving(
        self, coarse: Grid, driving: FloatArray
    ) -> tuple[topology.IndexArray, topology.IndexArray]:
        """First and last coarse cell (x, y) of what moves: the face, and where the field does."""
        rows, columns = coarse.shape[:2]
        moves = (np.abs(coarse).max(-1) > STILL_PX) & self._surround.near
        corners = (driving[:, :2] - self._surround.region[:2]) / self._surround.step
        x = [*np.flatnonzero(moves.any(0)), *corners[:, 0]]
        y = [*np.flatnonzero(moves.any(1)), *corners[:, 1]]
        low, high = np.array([min(x), min(y)]), np.array([max(x), max(y)])
        first = np.clip(np.floor(low).astype(int) - 1, 0, [columns - 1, rows - 1])
        last = np.clip(np.ceil(high).astype(int) + 2, first + 1, [columns, rows])
        return first, last

    def apply(self, field: Field, driving: FloatArray) -> Frame:
        """The portrait's picture warped by a field, RGB uint8 [H,W,3]."""
        height, width = self._image.shape[:2]
        (x0, y0), (left, top) = field.origin, self._surround.region[:2]
        shift = field.shift[: height - y0, : width - x0]
        rows, columns = shift.shape[:2]
        frame = self._image.copy()
        part = frame[y0 : y0 + rows, x0 : x0 + columns]
        if self.layers is not None:
            part[:] = self.layers.behind[y0 - top :, x0 - left :][:rows, :columns]
        x, y = (
            np.arange(n, dtype=np.float32) + (start - first)
            for n, start, first in zip((columns, rows), field.origin, self._first, strict=True)
        )
        low, high = (c.tolist() for c in box(driving[:, :2] - field.origin, (columns, rows)))
        bands = {*range(0, rows, max(1, BAND_PX // columns)), rows, low[1], high[1]}
        some = self._reached(shift, x, y)
        for first, last in pairwise(sorted(bands)):
            hit = np.flatnonzero(some[first // SPARSE : -(-last // SPARSE)].any(0)).tolist()
            if hit:
                start, end = max(0, SPARSE * (hit[0] - 1)), min(SPARSE * (hit[-1] + 2), columns)
                seen = np.s_[first:last, start:end]
                own_x, own_y = cv2.split(shift[seen])
                source = own_x + x[start:end], own_y + y[first:last, None]
                face = (low[0], high[0]) if low[1] <= first < high[1] else (end, end)
                cuts = (min(max(column, start), end) - start for column in face)
                self._draw(part[seen], source, (0, *cuts, end - start))
        return frame

    def _reached(self, shift: Grid, x: Grid, y: Grid) -> npt.NDArray[np.bool_]:
        """Where something of the person may be shown, one place in SPARSE each way."""
        sparse = shift[::SPARSE, ::SPARSE]
        if self.layers is None:
            return np.ones(sparse.shape[:2], bool)
        place = sparse + np.dstack(np.meshgrid(x[::SPARSE], y[::SPARSE]))
        return np.asarray(sample(self._person, place / SPARSE, cv2.INTER_NEAREST) > 0)

    def _draw(self, part: Frame, source: tuple[Grid, Grid], cuts: tuple[int, ...]) -> None:
        """Lay what is at places x, y [h,w] px over `part` (uint8 [h,w,3], changed in place).

        cuts: columns, the first, those where the face begins and ends, and the last.
        """
        warped = np.empty((*part.shape[:2], self._picture.shape[2]), np.uint8)
        for (start, end), kind in zip(pairwise(cuts), KINDS, strict=True):
            if start < end:
                x, y = (place[:, start:end] for place in source)
                into = warped[:, start:end]
                cv2.remap(self._picture, x, y, kind, into, borderMode=cv2.BORDER_REPLICATE)
        part[:] = warped if self.layers is None else lay(warped, part)


def _resize(field: Grid, size: tuple[int, int]) -> Grid:
    """A field on other cells, linearly between their centres; size is (width, height)."""
    if (field.shape[1], field.shape[0]) == size:
        return field.copy()
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)
