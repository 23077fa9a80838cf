"""Outlines of lips and lids, and how what lies between them is laid into a frame."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render.motion import box
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep

Layer = npt.NDArray[np.float32]

# Lips and lids nearer than this begin to close, px.
CLOSED_PX = 1.5
# Lips so far apart show what is behind them, and so far beyond the tracked line; room around them.
# All in eye distances.
PARTED, BEYOND, ROOM = 0.02, 0.012, 0.2


def lip_outline(mesh: FloatArray) -> FloatArray:
    """The inner lips as a smooth closed line [N,2] px, from the mesh's 20 points."""
    return np.asarray(_rounding() @ mesh[topology.LIPS_INNER, :2])


@cache
def _rounding() -> FloatArray:
    """[N,20] from the inner lips' points to their outline."""
    ring = np.eye(len(topology.LIPS_INNER))
    upper = _smooth(ring[:11])
    lower = _smooth(np.concatenate([ring[10:], ring[:1]]))
    return np.concatenate([upper, lower[1:-1]])


def _smooth(points: FloatArray, steps: int = 4) -> FloatArray:
    """Catmull-Rom through open points [N,K]."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    u = (np.arange(steps) / steps)[:, None, None]
    line = 0.5 * (
        2 * p1
        + (p2 - p0) * u
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2
        + (3 * p1 - p0 - 3 * p2 + p3) * u**3
    )
    line = line.transpose(1, 0, 2).reshape(-1, points.shape[1])
    return np.concatenate([line, points[-1:]])


class Cover(NamedTuple):
    """A filled outline: how much of each pixel lies inside [h,w], and how open each column is [w].

    OpenCV draws a line even where top and bottom touch; `open` falls to 0 there.
    """

    inside: Layer
    open: Layer


def filled(
    outline: FloatArray, size: tuple[int, int], soft_px: float, *, more_px: int = 0
) -> Layer:
    """How much of each pixel lies inside a closed line [N,2] px, 0..1 [h,w]; size (width, height).

    more_px: how far above and below the line, too.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if more_px:
        cv2.dilate(mask, np.ones((2 * more_px + 1, 1), np.uint8), mask)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft_px) * np.float32(1 / 255))


def cover(
    outline: FloatArray,
    size: tuple[int, int],
    soft_px: float,
    closed_px: float = CLOSED_PX,
    *,
    line_px: int = 0,
) -> Cover:
    """Fill a closed line [N,2] px on (width, height); it runs from its left corner over the top.

    Columns begin to close where top and bottom are nearer than `closed_px`; what is closed reaches
    `line_px` over the outline, above and below.
    """
    inside = filled(outline, size, soft_px)
    turn = int(np.argmax(outline[:, 0]))
    top, bottom = outline[: turn + 1], np.concatenate([outline[turn:], outline[:1]])[::-1]
    columns = np.arange(size[0], dtype=float)
    gap: FloatArray = heights(columns, bottom) - heights(columns, top)
    opened = smoothstep(gap / max(closed_px, CLOSED_PX)).astype(np.float32)
    if line_px:
        line = filled(outline, size, soft_px, more_px=line_px)
        inside = np.maximum(inside, line * (1 - opened))
    return Cover(inside, opened)


def lay(part: Frame, layer: FloatArray, filled: Cover, line: FloatArray, seam: float) -> None:
    """Lay colours [h,w,3] into a part of a frame (uint8 [h,w,3], changed in place).

    Where the outline closes, the colours give way to those of the closed `line` ([3] or [w,3]).
    `seam` 0..1 says how much of that line to draw: 1 where the portrait's own edges are apart, so
    that the warp would show what lies between them, 0 where the portrait shows its closed line.
    """
    opened = filled.open[None, :, None]
    colours = layer * opened + line * (1 - opened)
    alpha = filled.inside[..., None] * (opened + (1 - opened) * seam)
    part[:] = np.clip(part + alpha * (colours - part) + 0.5, 0, 255).astype(np.uint8)


def heights(columns: FloatArray, line: FloatArray) -> FloatArray:
    """Where a line [N,2] px from left to right crosses each column."""
    return np.asarray(np.interp(columns, np.maximum.accumulate(line[:, 0]), line[:, 1]))


def without_inside(image: Frame, mesh: FloatArray) -> Frame:
    """A picture [H,W,3] whose parted lips go on where one looks between them.

    The tracked line lies a little within: dark corners and rims of teeth beyond it would stay
    beside lips that shut. What lies there is painted over from what is around it.
    """
    unit = float(geometry.eye_distance(mesh))
    if geometry.lip_opening(mesh) < PARTED * unit:
        return image
    outline = lip_outline(mesh)
    room = ROOM * unit
    low, high = box(outline, (image.shape[1], image.shape[0]), room=(room, room))
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    inside = filled(outline - low, part.shape[1::-1], 0.7) > 0.3
    side = 2 * max(1, round(BEYOND * unit)) + 1
    ring = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    image = image.copy()
    image[low[1] : high[1], low[0] : high[0]] = cv2.inpaint(
        part, cv2.dilate(inside.astype(np.uint8), ring), 3, cv2.INPAINT_TELEA
    )
    return image
