"""A field that never shows a place twice: where it is about to fold, it is smoothed.

A cheek or a nostril that turns out of sight is hidden in life; a picture has only one layer there,
so it is squeezed instead: over several cells, since an edge squeezed into one has steps.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.render.motion import Grid
from mdth.face import geometry, topology

# Area that is left to a cell: the smoothing sets in below the second, and is full at the first.
FULL, BEGIN = 0.08, 0.2
# Likewise of the area that is squeezed into a cell, which is smoothed once.
SQUEEZED, MOST = 1.5, 2.0
# Cells over which is smoothed, pass by pass.
WIDTHS = (1.5, 2.5, 4.0, 6.0, 9.0, 13.0)
# Lids and lips fold on purpose: what lies behind them is painted.
LIDS = (topology.LIDS_LEFT[:16], topology.LIDS_RIGHT[:16])
LIPS = topology.LIPS_OUTER
# Lips that part as far as in the portrait, within so many eye distances, are skin like any other.
SAME = 0.004
# A field whose neighbours differ by less than this share of their distance cannot fold.
GENTLE = 0.2
EVERYWHERE = slice(None), slice(None)


def lips_rest(portrait_mesh: FloatArray, driving: FloatArray) -> bool:
    """Whether the lips of a driving mesh [478,3] px part as far as the portrait's."""
    gaps = [geometry.lip_opening(m) / geometry.eye_distance(m) for m in (portrait_mesh, driving)]
    return bool(abs(gaps[0] - gaps[1]) < SAME)


def unfold(
    field: Grid,
    driving: FloatArray,
    *,
    origin: FloatArray,
    cell: int,
    where: tuple[slice, slice] = EVERYWHERE,
    lips_too: bool = False,
) -> Grid:
    """The field [H,W,2] px, changed in place: no folds but lids and, unless `lips_too`, lips.

    Its cells are `cell` px wide; origin: x, y px of its corner. driving: [478,3] px. where: the
    rows and columns that may fold.
    """
    area = _area(field[where], cell)
    found = np.maximum(_folding(area), np.clip((area - SQUEEZED) / (MOST - SQUEEZED), 0, 1))
    if not found.any():
        return field
    folding = np.zeros(field.shape[:2], np.float32)
    folding[where] = found
    kept = np.ones(field.shape[:2], np.float32)
    for hole in LIDS if lips_too else (LIPS, *LIDS):
        outline = (driving[hole, :2] - origin) / cell
        cv2.fillPoly(kept, [np.round(outline).astype(np.int32)], 0)
    folding *= kept
    for width in WIDTHS:
        left, top, wide, high = cv2.boundingRect((folding > 0).view(np.uint8))
        if not wide:
            break
        room = 3 * int(np.ceil(width)) + 1
        across = slice(max(0, left - room), left + wide + room)
        box = slice(max(0, top - room), top + high + room), across
        field[box] = _smoothed(field[box], folding[box], kept[box], width)
        folding[box] = _folding(_area(field[box], cell)) * kept[box]
    return field


def may_fold(
    coarse: Grid, step: int, ratio: int, drawn: tuple[topology.IndexArray, topology.IndexArray]
) -> tuple[slice, slice]:
    """Where a field may fold: rows and columns of its cells.

    It was made of a coarse one [H,W,2] px, whose cells are `step` px wide, by making `ratio` cells
    of each, and drawn into from a first to a last cell (x, y).
    """
    low, high = drawn[0] - 1, drawn[1] + 1
    for axis in (0, 1):
        steep = np.abs(np.diff(coarse, axis=axis)) > GENTLE * step
        x, y, wide, deep = cv2.boundingRect((steep[..., 0] | steep[..., 1]).view(np.uint8))
        if wide:
            low = np.minimum(low, [ratio * (x - 1), ratio * (y - 1)])
            high = np.maximum(high, [ratio * (x + wide + 2), ratio * (y + deep + 2)])
    (left, top), (right, bottom) = np.maximum(low, 0), high
    return slice(top, bottom), slice(left, right)


def _smoothed(field: Grid, folding: Grid, kept: Grid, width: float) -> Grid:
    """The field smoothed over `width` cells where it folds, its edge as it was."""
    size = 2 * int(np.ceil(width)) + 1
    around = cv2.dilate(folding, np.ones((size, size), np.uint8))
    share = cv2.GaussianBlur(around, (0, 0), width / 2) * kept
    smooth = cv2.GaussianBlur(field, (0, 0), width, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(field + share[..., None] * (smooth - field), np.float32)


def _folding(area: Grid) -> Grid:
    """How near each cell is to a fold, 0..1 [H,W]."""
    return np.asarray(np.clip((BEGIN - area) / (BEGIN - FULL), 0, 1), np.float32)


def _area(field: Grid, cell: int) -> Grid:
    """What each cell shows of the portrait, cells [H,W]: the area its neighbours span."""
    x, y = field[..., 0].copy(), field[..., 1].copy()
    area = np.ones(field.shape[:2], np.float32)
    here, right, below = np.s_[:-1, :-1], np.s_[:-1, 1:], np.s_[1:, :-1]
    spanned = (cell + (x[right] - x[here])) * (cell + (y[below] - y[here]))
    spanned -= (x[below] - x[here]) * (y[right] - y[here])
    np.divide(spanned, np.float32(cell**2), out=area[here])
    return area
