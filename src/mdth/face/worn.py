"""What a face wears: glasses, or something before its mouth: a mask, a hand, a microphone.

Directions of edges around the eyes or the mouth, weighed. The weights (`weights/glasses.npz` and
`covered.npz`, cards beside them) are made by `training.glasses` and `training.covered`.
"""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology

# A patch's size, and its middle; edges are counted by direction in square cells.
SIZE, MIDDLE = (200, 160), (100, 80)
CELL, DIRECTIONS = 10, 8
# No block of cells counts for more than this, and flat skin for little.
MOST, FLAT = 0.5, 4.0
# A mouth is covered above this likelihood: few faces turned aside reach 0.9, masks 0.99.
SURELY_COVERED = 0.95


class Sign(NamedTuple):
    """What edges around a part of a face tell.

    weights: of a logistic regression. unit: px in the patch per eye distance. around: the vertices
    in whose middle it lies. rows: those of its cells that count.
    """

    weights: Path
    unit: float
    around: list[int]
    rows: slice

    def likelihood(self, picture: Frame, mesh: FloatArray) -> float:
        """How likely the face `mesh` [478,3] px of an RGB picture shows it, 0..1."""
        weights, bias = _weights(self.weights)
        score = float(self.features(self.patch(picture, mesh)[0]) @ weights + bias)
        return float(1 / (1 + np.exp(-score)))

    def patch(self, picture: Frame, mesh: FloatArray) -> tuple[Frame, FloatArray]:
        """The part upright at a fixed size, RGB [160,200,3], and the mesh [478,2] in it."""
        middle = np.asarray(mesh[self.around, :2], np.float64).mean(0)
        return upright(picture, mesh, unit=self.unit, middle=middle)

    def features(self, patch: Frame) -> FloatArray:
        """Histograms of edge directions of a patch, [N].

        Dalal, Triggs, "Histograms of oriented gradients for human detection", CVPR 2005.
        """
        sharp = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).astype(np.float32)
        grey = cv2.GaussianBlur(sharp, (0, 0), 1.0)
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
        return weighed[:, self.rows].ravel()


_WEIGHTS = Path(__file__).parents[1] / "weights"
GLASSES = Sign(_WEIGHTS / "glasses.npz", 120, list(topology.OUTER_EYE_CORNERS), slice(2, 14))
COVERED = Sign(_WEIGHTS / "covered.npz", 170, [61, 291, 0, 17], slice(None))


@cache
def _weights(regression: Path) -> tuple[FloatArray, float]:
    with np.load(regression, allow_pickle=False) as file:
        return file["weights"].astype(np.float64), float(file["bias"])


def upright(
    picture: Frame, mesh: FloatArray, *, unit: float, middle: FloatArray
) -> tuple[Frame, FloatArray]:
    """A face upright at a fixed size, RGB [160,200,3], and the mesh [478,2] in it.

    unit: px in the patch per eye distance; middle: x, y px of its middle.
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
    shift = np.array(MIDDLE) - turn @ (shrink * np.asarray(middle, np.float64))
    matrix = np.column_stack([turn, shift])
    upright = cv2.warpAffine(picture, matrix, SIZE, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(upright, np.uint8), places @ turn.T + shift
