"""What a network's upper teeth lack: it paints a mean of many rows, in which teeth go missing.

Light, shade and hue are the network's, evened out along the row; gaps and round edges are those of
the row that was drawn for it, where it expects one.
"""

import cv2
import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.render.conditions import WIDTH
from mdth.embedded.render.lips import Layer
from mdth.embedded.render.tone import brightness
from mdth.face.smoothing import smoothstep

# What is drawn so light, relative to teeth, no redder than that, and no lower in the skull, eye
# distances, is the row,
TOOTH, REDDEST, LOWEST = (0.25, 0.55), (1.2, 1.5), (0.04, 0.06)
# with gaps narrower than this. It is evened out over so much along and across.
GAP, ALONG, ACROSS = 0.04, 0.055, 0.008
# How much of the row is shaped, how dark gaps are beside it at most, and how light a row, relative
# to teeth, is when nothing of it is shaped, and all.
SHARE, DEEPEST, SHOWN = 0.85, 0.6, (0.25, 0.5)


def shape(colours: Layer, drawn: Layer, planes: Layer, tooth: FloatArray) -> Layer:
    """Make a row of teeth of what is painted, `colours` RGB 0..255 [3,h,w], changed in place.

    drawn: the drawn mouth, RGB 0..255 [3,h,w]. planes: the conditions [14,h,w]. tooth: colour of
    teeth [3]. Gives how much of each pixel is the row, 0..1 [h,w].
    """
    row = _row(drawn, planes, tooth)
    rows = np.flatnonzero(row.max(1) > 0.01)
    if not len(rows):
        return row
    part = slice(rows[0], rows[-1] + 1)
    cover, level, painted = row[part], brightness(drawn[:, part]), colours[:, part]
    even = np.stack([_even(plane, cover) for plane in painted])
    detail = np.maximum(level / np.maximum(_even(level, cover), 1), DEEPEST)
    share = SHARE * cover * _step(brightness(even) / tooth.mean(), *SHOWN)
    painted += share * (even * detail - painted)
    return row


def _row(drawn: Layer, planes: Layer, tooth: FloatArray) -> Layer:
    """How much of each pixel is the drawn upper row, 0..1 [h,w]."""
    red = drawn[0] / np.maximum(drawn[1], 1)
    cover = planes[3] * _step(brightness(drawn) / tooth.mean(), *TOOTH)
    cover *= (1 - _step(red, *REDDEST)) * (1 - _step(planes[8] / 3, *LOWEST))
    gap = 2 * round(GAP / WIDTH * cover.shape[1] / 2) + 1
    return np.asarray(cv2.morphologyEx(cover, cv2.MORPH_CLOSE, np.ones((1, gap), np.uint8)))


def _even(plane: Layer, cover: Layer) -> Layer:
    """The mean of what is covered around each pixel, [h,w]."""
    unit = cover.shape[1] / WIDTH
    along, across = ALONG * unit, max(0.6, ACROSS * unit)
    total, weight = (
        cv2.GaussianBlur(v, (0, 0), sigmaX=along, sigmaY=across) for v in (plane * cover, cover)
    )
    return np.asarray(total / (weight + 1e-3), np.float32)


def _step(x: Layer, low: float, high: float) -> Layer:
    """0 below low, 1 above high, smooth between."""
    return np.asarray(smoothstep((x - low) / (high - low)), np.float32)
