"""Where each pixel of a frame comes from in the portrait, and the frame made from it.

The face follows its triangles, what is around it the field of `surround`; the outermost rings of
triangles blend from one to the other, so that no seam can appear.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render.motion import Grid, Rigid, box, sample
from mdth.embedded.render.person import Layers, lay
from mdth.embedded.render.surround import Surround
from mdth.embedded.render.triangles import FaceTriangles
from mdth.embedded.render.unfold import lips_rest, may_fold, unfold
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
        places = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        self._places = np.stack(places, -1).astype(np.float32)
        height, width = portrait.image.shape[:2]
        inside = x0, y0, min(x1, width), min(y1, height)
        self.layers = Layers.of(portrait, inside) if self._surround.known else None
        if self.layers:
            self._places -= np.array(self.layers.origin, np.float32)

    def field(self, driving: FloatArray, rigid: Rigid) -> Field:
        """The map for a driving mesh [478,3] px, over the part of the picture that moves."""
        coarse = self._surround.field(driving, rigid)
        step = self._surround.step
        first, last = self._moving(coarse, driving)
        coarse = coarse[first[1] : last[1], first[0] : last[0]]
        origin = (np.array(self._surround.region[:2]) + first * step).astype(float)
        width, height = ((last - first) * step).tolist()
        cell = self._cell
        shift = _resize(coarse.copy(), (width // cell, height // cell))
        drawn = self._triangles.draw(shift, driving, rigid, origin=origin, cell=cell)
        where = may_fold(coarse, step, step // cell, drawn)
        resting = lips_rest(self._mesh, driving)
        shift = unfold(shift, driving, origin=origin, cell=cell, where=where, lips_too=resting)
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
        moves = (np.abs(coarse) > STILL_PX).any(-1) & self._surround.near
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
        x0, y0 = field.origin
        x1, y1 = min(x0 + field.shift.shape[1], width), min(y0 + field.shift.shape[0], height)
        shift = field.shift[: y1 - y0, : x1 - x0]
        left, top = x0 - self._surround.region[0], y0 - self._surround.region[1]
        places = self._places[top : top + y1 - y0, left : left + x1 - x0] + shift
        frame = self._image.copy()
        layers = self.layers
        picture = self._image if layers is None else layers.person
        warped = sample(picture, places, cv2.INTER_LINEAR)
        # In the face linear sampling is seen to soften; around it cubic costs three times as much.
        low, high = box(driving[:, :2] - field.origin, (x1 - x0, y1 - y0))
        face = np.s_[low[1] : high[1], low[0] : high[0]]
        if places[face].size:
            warped[face] = sample(picture, places[face], cv2.INTER_CUBIC)
        if layers is not None:
            warped = lay(warped, layers.behind[top : top + y1 - y0, left : left + x1 - x0])
        frame[y0:y1, x0:x1] = warped
        return frame


def _resize(field: Grid, size: tuple[int, int]) -> Grid:
    """A field on other cells, linearly between their centres; size is (width, height)."""
    if (field.shape[1], field.shape[0]) == size:
        return field
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)
