"""The eyeball behind the lids: it turns with the gaze and is covered, not squashed, by a blink."""

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render.lids import clear
from mdth.embedded.render.lips import cover, filled, lay
from mdth.embedded.render.motion import Grid, Rigid, box, sample
from mdth.face import geometry, topology

Pair = tuple[FloatArray, FloatArray]

# Below this change of the lids or irises, px, the warped picture is already right.
STILL_PX = 0.05
RINGS = ((topology.EYE_LEFT, topology.IRIS_LEFT), (topology.EYE_RIGHT, topology.IRIS_RIGHT))
# Steps between shut lids are evened out over this much of the softness of an open edge.
STEPS = 0.4
# Points over the top of an eye's ring, corner to corner; facing points of both lids.
TOP = 9
_ABOVE, _BELOW = np.arange(1, 8), np.arange(15, 8, -1)


class EyePainter:
    """Draws one portrait's eyeballs into its frames."""

    def __init__(self, image: Frame, mesh: FloatArray) -> None:
        self._image, self._mesh = image, mesh
        unit = float(geometry.eye_distance(self._mesh))
        self._soft = max(0.6, 0.006 * unit)
        self._lashes = [
            self._lash_line(ring[:TOP], max(1, round(0.01 * unit))) for ring, _ in RINGS
        ]

    def _lash_line(self, edge: topology.IndexArray, reach: int) -> FloatArray:
        """The darkest colour across the upper lid's edge at each of its points, RGB [9,3]."""
        colours = []
        height, width = self._image.shape[:2]
        for x, y in np.round(self._mesh[edge, :2]).astype(int):
            column = np.clip(np.arange(y - reach, y + reach + 1), 0, height - 1)
            pixels = self._image[column, np.clip(x, 0, width - 1)].astype(float)
            colours.append(pixels[pixels.sum(1).argmin()])
        return np.array(colours)

    def paint(self, frame: Frame, driving: FloatArray, rigid: Rigid) -> None:
        """Draw both eyes over `frame` (RGB uint8 [H,W,3], changed in place) between the lids."""
        for eye, ((ring, iris), lashes) in enumerate(zip(RINGS, self._lashes, strict=True)):
            both = np.concatenate([ring, iris])
            resting = rigid.apply(self._mesh[both])[:, :2]
            moved = driving[both, :2]
            if np.abs(moved - resting).max() > STILL_PX:
                gaze = (moved[len(ring) :] - resting[len(ring) :]).mean(0)
                lids = (moved[: len(ring)], resting[: len(ring)])
                open_px = [float(lid[_BELOW, 1].sum() - lid[_ABOVE, 1].sum()) for lid in lids]
                clear(frame, driving, shut=1 - open_px[0] / max(open_px[1], 1e-3), eye=eye)
                back = rigid.plane(self._mesh[ring].mean(0))
                self._paint_one(frame, lids, lashes, motion=(back, gaze))

    def _paint_one(self, frame: Frame, lids: Pair, lashes: FloatArray, *, motion: Pair) -> None:
        """Draw one eyeball; lids: in the frame, at rest. motion: the skull's affine, the gaze."""
        moved, resting = lids
        low, high = box(moved, (frame.shape[1], frame.shape[0]), room=(3, 4))
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) < 3:
            return
        columns, rows = (np.arange(*ends, dtype=float) for ends in zip(low, high, strict=True))
        eyeball = sample(self._image, _source(columns, rows, lids, motion), cv2.INTER_CUBIC)
        line = np.stack([np.interp(columns, moved[:TOP, 0], colour) for colour in lashes.T], -1)
        part = frame[low[1] : high[1], low[0] : high[0]]
        seen = cover(moved - low, size, self._soft)
        lay(part, eyeball, seen, line, 1.0)
        # Lids that meet do so without steps: each pixel of the seam is one lid's or the other's.
        wider = filled(moved - low, size, self._soft, more_px=max(1, round(self._soft)))
        closed = 1 - seen.open
        shut = np.maximum(seen.inside, wider * closed) * closed
        smooth = cv2.GaussianBlur(part, (0, 0), max(0.7, STEPS * self._soft))
        cv2.blendLinear(smooth, part, shut, 1 - shut, part)


def _source(columns: FloatArray, rows: FloatArray, lids: Pair, motion: Pair) -> Grid:
    """Where in the portrait the eyeball at columns [w] and rows [h] is seen, [h,w,2] px."""
    moved, resting = lids
    back, gaze = motion
    # Eyes opened wider than the portrait's are stretched: there is nothing behind its lids.
    heights = [float(lid[:, 1].max() - lid[:, 1].min()) for lid in lids]
    widened = heights[0] / max(heights[1], 1e-3)
    if widened > 1:
        rows = resting[:, 1].mean() + (rows - moved[:, 1].mean()) / widened
    # The gaze moves the middle of the eye; its corners rest.
    half = max(float(np.ptp(resting[:, 0])) / 2, 1e-3)
    turned = np.maximum(1 - np.square((columns - resting[:, 0].mean()) / half), 0)
    inverse = np.linalg.inv(back[:, :2])
    top = np.stack([columns, np.zeros(len(columns))], 1) - turned[:, None] * gaze - back[:, 2]
    return np.asarray(top @ inverse.T + np.outer(rows, inverse[:, 1])[:, None], np.float32)
