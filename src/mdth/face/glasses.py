"""Whether a face wears glasses: the directions of edges around the eyes, weighed.

The weights (`weights/glasses.npz`, card beside it) are made by `training.glasses`.
"""

from functools import cache
from pathlib import Path

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology

# The patch around the eyes: this many px per eye distance, its size, and its middle.
UNIT, SIZE, MIDDLE = 120, (200, 160), (100, 80)
# Edges are counted by direction in square cells; the rows of cells that glasses can reach.
CELL, DIRECTIONS, ROWS = 10, 8, slice(2, 14)
# No block of cells counts for more than this, and flat skin for little.
MOST, FLAT = 0.5, 4.0
WEIGHTS = Path(__file__).parents[1] / "weights" / "glasses.npz"


def likelihood(picture: Frame, mesh: FloatArray) -> float:
    """How likely the face `mesh` [478,3] px of an RGB picture wears glasses, 0..1."""
    return likely(features(patch(picture, mesh)[0]), WEIGHTS)


def likely(found: FloatArray, regression: Path) -> float:
    """How likely features [N] are what a logistic regression's file tells apart, 0..1."""
    weights, bias = _weights(regression)
    score = float(found @ weights + bias)
    return float(1 / (1 + np.exp(-score)))


@cache
def _weights(regression: Path) -> tuple[FloatArray, float]:
    with np.load(regression, allow_pickle=False) as file:
        return file["weights"].astype(np.float64), float(file["bias"])


def patch(
    picture: Frame, mesh: FloatArray, *, unit: float = UNIT, middle: FloatArray | None = None
) -> tuple[Frame, FloatArray]:
    """The face upright at a fixed size, RGB [160,200,3], and the mesh [478,2] in it.

    unit: px in the patch per eye distance; middle: x, y px of its middle, that of the eyes if None.
    """
    shrink = min(1.0, unit / float(geometry.eye_distance(mesh)))
    if shrink < 1:
        picture = np.asarray(
            cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8
        )
    places = np.asarray(mesh[:, :2], np.float64) * shrink
    left, right = (places[v] for v in topology.OUTER_EYE_CORNERS)
    along = (right - left) / np.linalg.norm(right - left)
    scale = unit / float(np.linalg.norm(right - left))
    turn = scale * np.array([along, [-along[1], along[0]]])
    centre = (left + right) / 2 if middle is None else shrink * np.asarray(middle, np.float64)
    shift = np.array(MIDDLE) - turn @ centre
    matrix = np.column_stack([turn, shift])
    upright = cv2.warpAffine(picture, matrix, SIZE, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(upright, np.uint8), places @ turn.T + shift


def features(eyes: Frame, *, rows: slice = ROWS) -> FloatArray:
    """Histograms of edge directions of a patch and these rows of its cells, [1920].

    Dalal, Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(eyes, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    x, y = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.hypot(x, y)
    direction = (np.arctan2(y, x) % np.pi) / np.pi * DIRECTIONS
    first = direction.astype(int) % DIRECTIONS
    share = direction % 1
    columns, rows_of_cells = SIZE[0] // CELL, SIZE[1] // CELL
    down, along = np.indices(grey.shape) // CELL
    cell, cells = down * columns + along, columns * rows_of_cells
    counts = np.zeros(DIRECTIONS * cells)
    for number, part in ((first, 1 - share), ((first + 1) % DIRECTIONS, share)):
        places = (number * cells + cell).ravel()
        counts += np.bincount(places, (strength * part).ravel(), len(counts))
    counts = counts.reshape(DIRECTIONS, rows_of_cells, columns) / CELL**2
    block = cv2.boxFilter(np.square(counts).sum(0), -1, (3, 3))
    weighed: FloatArray = np.minimum(counts / np.sqrt(block + FLAT), MOST)
    return weighed[:, rows].ravel()
