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


def lips_rest(portrait_mesh: FloatArray, driving: FloatArray) -> bool:
    """Whether the lips of a driving mesh [478,3] px part as far as the portrait's."""
    gaps = [geometry.lip_opening(m) / geometry.eye_distance(m) for m in (portrait_mesh, driving)]
    return bool(abs(gaps[0] - gaps[1]) < SAME)


def unfold(
    field: Grid, driving: FloatArray, *, origin: FloatArray, cell: int, lips_too: bool = False
) -> Grid:
    """The field [H,W,2] px, changed in place: no folds but lids and, unless `lips_too`, lips.

    Its cells are `cell` px wide; origin: x, y px of its corner. driving: [478,3] px.
    """
    area = _area(field, cell)
    folding = np.maximum(_folding(area), np.clip((area - SQUEEZED) / (MOST - SQUEEZED), 0, 1))
    if not folding.any():
        return field
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
    ways = cv2.split(field)
    (xx, xy), (yx, yy) = ([np.diff(way, axis=axis) for way in ways] for axis in (1, 0))
    spanned = (cell + xx[:-1]) * (cell + yy[:, :-1]) - xy[:-1] * yx[:, :-1]
    area = np.ones(field.shape[:2], np.float32)
    np.divide(spanned, np.float32(cell**2), out=area[:-1, :-1])
    return area
