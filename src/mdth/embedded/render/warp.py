"""Where each pixel of a frame comes from in the portrait, and the frame made from it.

The face follows its triangles, what is around it the field of `surround`; the outermost rings of
triangles blend from one to the other, so that no seam can appear.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.embedded.render.motion import AnyArray, Grid, Rigid, box, moved, sample
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
# A face, with so much around it, eye distances, is enlarged so many times if it then has fewer
# pixels than that.
ROOM, TIMES, MOST_PIXELS = 0.3, (5, 3), 5_000_000


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


class Enlarged(NamedTuple):
    """A picture that is larger around a face: linear samples of it are about its cubic ones.

    They take a fifth of the time. Enlarged an odd number of times it has the pixels it had; its
    first one is at `origin`, x, y px.
    """

    picture: AnyArray
    origin: tuple[int, int]
    times: int

    @classmethod
    def of(cls, picture: AnyArray, origin: tuple[int, int], mesh: FloatArray | None) -> Self:
        """Of a picture whose first pixel is at `origin`; as it is without a mesh [478,3] px."""
        if mesh is None:
            return cls(picture, origin, 1)
        room = ROOM * float(geometry.eye_distance(mesh))
        low, high = box(mesh[:, :2] - origin, picture.shape[1::-1], room=(room, room))
        part = picture[low[1] : high[1], low[0] : high[0]]
        for times in TIMES:
            if 0 < part.size * times**2 < MOST_PIXELS * part.shape[2]:
                size = times * part.shape[1], times * part.shape[0]
                large = cv2.resize(part, size, interpolation=cv2.INTER_CUBIC)
                return cls(large, (origin[0] + int(low[0]), origin[1] + int(low[1])), times)
        return cls(picture, origin, 1)

    def places(self, places: FloatArray) -> Grid:
        """Places [h,w,2] px of the portrait in this picture."""
        here = (places - np.array(self.origin)) * self.times + (self.times - 1) / 2
        return np.asarray(here, np.float32)

    def sample(self, places: Grid, shift: Grid) -> AnyArray:
        """What is at `places` of this picture, moved by a shift in px of the portrait."""
        kind = cv2.INTER_LINEAR if self.times > 1 else cv2.INTER_CUBIC
        places = np.asarray(cv2.scaleAdd(shift, self.times, places), np.float32)
        return sample(self.picture, places, kind)


class Warp:
    """Backward maps of one portrait; what does not change from frame to frame is computed once."""

    def __init__(
        self, portrait: Portrait, around: Callable[[Portrait, int], Around] = Surround
    ) -> None:
        """around: makes the field around the face, on cells of so many px."""
        mesh = portrait.mesh.astype(np.float64)
        self._mesh, self._image = mesh, portrait.image
        self._apart = [_apart(mesh, pairs) for pairs in EDGES]
        face_width = float(np.ptp(mesh[topology.FACE_OVAL, 0]))
        self._cell = max(1, round(face_width / FACE_CELLS))
        ratio = max(1, round(float(geometry.eye_distance(mesh)) / OUTER_CELLS / self._cell))
        self._surround = around(portrait, self._cell * ratio)
        self._triangles = FaceTriangles(mesh)
        x0, y0, x1, y1 = self._surround.region
        height, width = portrait.image.shape[:2]
        inside = x0, y0, min(x1, width), min(y1, height)
        self.layers = Layers.of(portrait, inside) if self._surround.known else None
        self._face = Enlarged.of(self._image, (0, 0), None)
        if self.layers:
            self._face = Enlarged.of(self.layers.person, self.layers.origin, mesh)
        places = np.meshgrid(np.arange(x0, x1), np.arange(y0, y1))
        self._places = self._face.places(np.stack(places, -1))

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
            for pairs, apart in zip(EDGES, self._apart, strict=True):
                # Edges that are apart in the portrait come near each other.
                if apart > cell / 2 and _apart(driving, pairs) < CLOSING * apart:
                    self._refine(fine, pairs, driving, rigid, origin=origin)
        return Field(fine, (int(origin[0]), int(origin[1])))

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
        far = np.abs(coarse) > STILL_PX
        moves = (far[..., 0] | far[..., 1]) & self._surround.near
        corners = (driving[:, :2] - self._surround.region[:2]) / self._surround.step
        low, high = box(corners, (columns, rows))
        x, y, wide, deep = cv2.boundingRect(moves.view(np.uint8))
        if wide:
            low = np.minimum(low, [x, y])
            high = np.maximum(high, [x + wide - 1, y + deep - 1])
        first = np.clip(low - 1, 0, [columns - 1, rows - 1])
        last = np.clip(high + 2, first + 1, [columns, rows])
        return first, last

    def apply(self, field: Field, driving: FloatArray) -> Frame:
        """The portrait's picture warped by a field, RGB uint8 [H,W,3]."""
        height, width = self._image.shape[:2]
        x0, y0 = field.origin
        x1, y1 = min(x0 + field.shift.shape[1], width), min(y0 + field.shift.shape[0], height)
        shift = field.shift[: y1 - y0, : x1 - x0]
        left, top = x0 - self._surround.region[0], y0 - self._surround.region[1]
        part = np.s_[top : top + y1 - y0, left : left + x1 - x0]
        frame, layers = self._image.copy(), self.layers
        # Nothing comes from outside the part but what is above the picture.
        if layers is None:
            warped = moved(self._image[y0:y1, x0:x1], shift)
        elif layers.above:
            higher = shift + np.array([0, layers.above], np.float32)
            warped = moved(layers.person[top : top + layers.above + y1 - y0, part[1]], higher)
        else:
            warped = moved(layers.person[part], shift)
        # In the face linear sampling is seen to soften; around it cubic costs three times as much.
        low, high = box(driving[:, :2] - field.origin, (x1 - x0, y1 - y0))
        face = np.s_[low[1] : high[1], low[0] : high[0]]
        if shift[face].size:
            warped[face] = self._face.sample(self._places[part][face], shift[face])
        frame[y0:y1, x0:x1] = warped if layers is None else lay(warped, layers.behind[part])
        return frame


def _apart(mesh: FloatArray, pairs: topology.IndexArray) -> float:
    """How far facing vertices [N,2] are from each other on average, px."""
    way = mesh[pairs[:, 0], :2] - mesh[pairs[:, 1], :2]
    return float(np.hypot(way[:, 0], way[:, 1]).mean())


def _resize(field: Grid, size: tuple[int, int]) -> Grid:
    """A field on other cells, linearly between their centres; size is (width, height)."""
    if (field.shape[1], field.shape[0]) == size:
        return field
    return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)
