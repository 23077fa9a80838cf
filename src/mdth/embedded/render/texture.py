"""A picture's texture carried on into what is not known: pieces of what is beside it, moved there.

Pritch et al., "Shift-map image editing", ICCV 2009, with belief propagation in place of graph cuts:
each pixel takes a shift under which the known pixels near it are like themselves and which its
neighbours take too, so that lines which come to the edge go on and pieces stay whole.
"""

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.render.motion import Grid

Mask = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int16]

# Shifts are chosen in a picture with so many px per eye distance.
UNIT = 20
# How far pieces are moved, eye distances, and in how many directions.
WAYS, DIRECTIONS = (0.35, 0.5, 0.7, 1.0), 16
# Known pixels so near to the edge are compared; so near, halos and hairs are not moved.
BAND, BESIDE = 0.2, 0.08
# Squared levels: no two colours are further apart; what a shift by an eye distance costs, and one
# that differs from a neighbour's; what the guess costs, which pieces are like over this, too.
UNLIKE, FAR, DISAGREE = 12000.0, 60.0, 4000.0
GUESS, SOFT = 11000.0, 0.2
NEVER, ROUNDS = 1e5, 15
# Two pieces are blended over this, eye distances.
BLEND = 0.02


def carried_on(picture: Grid, known: Mask, unit: float, *, deep: float) -> Grid:
    """A picture [H,W,3] that is texture where it is not `known` [H,W], and beside it.

    Unknown pixels are a smooth guess, which stays beyond `deep` eye distances and where there is
    nothing to be moved. unit: px per eye distance.
    """
    angles = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    around = np.stack([np.cos(angles), np.sin(angles)], 1)
    shifts = (unit * np.array(WAYS)[:, None, None] * around).reshape(-1, 2)
    small = _labels(picture, known, shifts, unit, deep=deep)
    labels = cv2.resize(small, known.shape[::-1], interpolation=cv2.INTER_NEAREST)
    soft = max(1.0, BLEND * unit)
    total, mixed = np.zeros(known.shape, np.float32), np.zeros_like(picture)
    for label in np.unique(labels[labels >= 0]):
        piece = labels == label
        here, there = _places(piece, np.round(shifts[label]).astype(int), reach=int(3 * soft))
        share = cv2.GaussianBlur(piece[here].astype(np.float32), (0, 0), soft) * known[there]
        mixed[here] += share[..., None] * picture[there]
        total[here] += share
    return mixed + (1 - total)[..., None] * picture


def _places(piece: Mask, shift: npt.NDArray[np.intp], *, reach: int) -> list[tuple[slice, slice]]:
    """The box around a piece, where it lies and, shifted by x y px, where it comes from."""
    spans = []
    for axis, way in zip((0, 1), shift[::-1], strict=True):
        at, length = np.flatnonzero(piece.any(1 - axis)), piece.shape[axis]
        first = max(0, -way, at[0] - reach)
        last = max(first, min(length, length - way, at[-1] + reach + 1))
        spans.append((slice(first, last), slice(first + way, last + way)))
    return [(rows, columns) for rows, columns in zip(*spans, strict=True)]


def _labels(picture: Grid, known: Mask, shifts: FloatArray, unit: float, *, deep: float) -> Labels:
    """Which of the shifts [n,2] px serves each pixel of a smaller picture, [h,w]; -1 for none."""
    shrink = max(1.0, unit / UNIT)
    size = tuple(max(1, round(length / shrink)) for length in known.shape[::-1])
    small, share = (
        np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.float32)
        for whole in (picture, known.astype(np.float32))
    )
    inside, outside = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) * shrink / unit
        for part in (share <= 0.999, share > 0.999)
    )
    hidden, usable = outside == 0, np.asarray(outside > BESIDE, np.float32)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), SOFT * UNIT), np.float32)
    costs = np.full((len(shifts) + 1, *share.shape), NEVER, np.float32)
    costs[-1] = GUESS
    for cost, shift in zip(costs, shifts, strict=False):
        moved, softly, fits = (_shifted(part, shift / shrink) for part in (small, soft, usable))
        unlike = np.square(np.where(hidden[..., None], small - softly, small - moved)).sum(-1)
        unlike = np.minimum(unlike * (outside < BAND), UNLIKE)
        np.copyto(cost, unlike + FAR * np.linalg.norm(shift) / unit, where=fits > 0)
    labels = _agreed(costs)
    cost = np.take_along_axis(costs, labels[None], 0)[0]
    shown = (inside < deep) & (outside < BAND) & (cost < NEVER) & (labels < len(shifts))
    return np.where(shown, labels, -1).astype(np.int16)


def _agreed(costs: FloatArray) -> npt.NDArray[np.intp]:
    """The label of each pixel [h,w] that costs [n,h,w] little and is its neighbours' too.

    Felzenszwalb, Huttenlocher, "Efficient belief propagation for early vision", IJCV 2006, sections
    2 and 3.1, each message half the one before, lest they swing.
    """
    heard = {way: np.zeros_like(costs) for way in ((1, 0), (-1, 0), (0, 1), (0, -1))}
    for _ in range(ROUNDS):
        all_heard = costs + sum(heard.values())
        # What comes from a neighbour is not told back.
        told = {(y, x): all_heard - heard[-y, -x] for y, x in heard}
        for way, values in told.items():
            values -= values.min(0)
            heard[way] += np.roll(np.minimum(values, DISAGREE), way, (1, 2))
            heard[way] /= 2
    return np.asarray(np.argmin(costs + sum(heard.values()), axis=0))


def _shifted(picture: Grid, shift: FloatArray) -> Grid:
    """What lies `shift` x y px, whole ones, further on, at each pixel; 0 beyond the edge."""
    x, y = np.round(shift)
    matrix = np.array([[1, 0, -x], [0, 1, -y]])
    moved = cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_NEAREST)
    return np.asarray(moved, np.float32)
