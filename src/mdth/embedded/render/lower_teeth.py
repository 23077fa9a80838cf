"""What a network's lower teeth lack: it paints the mean of many rows, a band without teeth.

The band is found in the picture that was painted, and lit as one drawn row of teeth would be: gaps,
round edges, sides that turn away, and above the edge the shade that a mean of edges fills with
haze. A factor of what is painted, so that its own light, and mouths without a band, stay.
"""

from functools import cache

import cv2
import numpy as np

from mdth.embedded.render import teeth
from mdth.embedded.render.conditions import WIDTH
from mdth.embedded.render.lips import Layer
from mdth.embedded.render.tone import brightness, split
from mdth.face.smoothing import smoothstep

# The row's picture, px an eye distance; how much darker gaps are; how much the row's ends lie above
# its middle, eye distances at `teeth.HALF_WIDTH`: 18 people's rows in talk for training.
PER_EYE, BETWEEN, RISE = 240, 0.3, 0.08
# How bright the row is beside what is painted, so that it is 0.9 times as bright as the upper one
# (in ten people's talk 0.7 to 1.1 times), and the hue of what is darker.
LEVEL, HUE = 1.04, np.array([0.85, 1.05, 1.1], np.float32)
# Above the edge it is darker by so much at most, over so far, eye distances.
SHADE, REACH = 0.4, 0.05
# By how much a band is brighter than what is above it, relative to the skin: none, and surely one.
CONTRAST = (0.06, 0.3)
# The room below the upper teeth in which none shows, and all of it, eye distances.
ROOM = (0.03, 0.08)
# It is looked for below the upper teeth and beside the middle, and lit below their edge, eye
# distances.
BELOW, ASIDE, ABOVE = 0.035, 0.12, 0.02


def shape(colours: Layer, painted: Layer, planes: Layer, upper: Layer) -> None:
    """Make a row of teeth of the band in `colours` [3,h,w], changed in place.

    painted: the same [3,h,w] as the network said, -1..1, from conditions [14,h,w]. upper: how much
    of each pixel is the upper row, [h,w].
    """
    edge, amount = _band(brightness(painted), planes)
    if not amount:
        return
    first = int(np.searchsorted(planes[8, :, 0], 3 * ABOVE))
    inside, x = planes[3, first:], planes[7, first:] / 3
    height, width = x.shape
    down = (np.arange(first, first + height, dtype=np.float32) - edge)[:, None] * (WIDTH / width)
    down = down + RISE / teeth.HALF_WIDTH**2 * x * x
    place = [v * np.float32(PER_EYE) - np.float32(0.5) for v in (x + teeth.HALF_WIDTH, down)]
    bright, cover = split(cv2.remap(_row(), place[0], place[1], cv2.INTER_LINEAR))
    shade = 1 - SHADE * smoothstep(1 + down / REACH)
    darker = shade + cover * (LEVEL * bright - shade) - 1
    darker *= amount * inside * (1 - upper[first:])
    colours[:, first:] *= 1 + darker * HUE[:, None, None]


@cache
def _row() -> Layer:
    """The lower row's brightness and cover, [H,W,2], its edge at the top."""
    row = teeth.tooth_row(teeth.LOWER_TEETH, PER_EYE, bend=0.0, between=BETWEEN, fade=0.3)
    return np.ascontiguousarray(row[..., [0, 3]])


def _band(level: Layer, planes: Layer) -> tuple[float, float]:
    """The row of pixels where a band begins in the middle of a mouth, and how surely it is one.

    The mean of where it gets brighter downwards, so that it moves without steps.
    """
    middle = np.abs(planes[7, 0]) < 3 * ASIDE
    seen = (planes[3][:, middle] > 0.9) & (planes[8, :, :1] > 3 * BELOW)
    count = seen.sum(1)
    rows = np.flatnonzero(count > 0.4 * middle.sum())
    room = len(rows) * WIDTH / planes.shape[2]
    if room < ROOM[0]:
        return 0.0, 0.0
    profile = (level[:, middle] * seen).sum(1)[rows] / count[rows]
    third = len(rows) // 3
    top = third + int(profile[third:].argmax())
    bottom = int(profile[: top + 1].argmin())
    rises = np.square(np.maximum(np.diff(profile[bottom : top + 1]), 0))
    if not rises.any():
        return 0.0, 0.0
    sure = np.interp(profile[top] - profile[bottom], CONTRAST, (0, 1)) * np.interp(
        room, ROOM, (0, 1)
    )
    return float(np.average(rows[bottom:top] + 0.5, weights=rises)), float(smoothstep(sure))
