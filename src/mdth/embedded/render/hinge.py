"""How much each place of a portrait goes along with the head: all of the head, none of the clothes.

Between the two the neck, and hair that hangs below the chin, go partly along.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render.motion import AnyArray, Grid
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep

Mask = npt.NDArray[np.bool_]

CHIN = 152
# All of the person above this height, below the eyes, is the head, beside the face too.
HEAD_BELOW_EYES = 0.75
HEAD_HALF_WIDTH = 2.0
# The body rests from here on below the chin, where clothes are told apart from skin and hair by
# their colour from the first height on; all in eye distances.
CLOTHES_BELOW_CHIN, BODY_BELOW_CHIN = 0.18, 1.05
# Shoulders take this much of the neck's own way, fading to nothing at that height below the chin.
SHOULDERS_FOLLOW, SHOULDERS_BELOW_CHIN = 0.3, 2.2
# Colours in bins of this many levels; clothes are what the body has this much more of.
BIN = 16
CLEARLY = 3.0


@dataclass(frozen=True)
class Hinge:
    """Weights 0..1 [h,w] at the cells of a field.

    turn: for turning about the neck, short, so that a collar rests. shift: for movements of the
    neck itself, longer, since those are larger there; shoulders follow them a little. clothes:
    bool [h,w], those that do not turn.
    """

    turn: FloatArray
    shift: FloatArray
    clothes: Mask

    @classmethod
    def of(cls, portrait: Portrait, nodes: FloatArray, step: int) -> Self:
        """The hinge of a portrait whose mask is known, at cells [h,w,2] px of width `step`."""
        mesh = portrait.mesh.astype(np.float64)
        unit = float(geometry.eye_distance(mesh))
        mask = np.asarray(portrait.person) > 0.5
        x, y = from_eyes(mesh, nodes)
        beside = (y < HEAD_BELOW_EYES) & (np.abs(x) < HEAD_HALF_WIDTH)
        head = (beside | (outside(mesh, nodes) <= 0)) & at(mask, nodes)
        below_chin = (nodes[..., 1] - mesh[CHIN, 1]) / unit
        body = below_chin > BODY_BELOW_CHIN
        clothes = _clothes(portrait, head=head, body=body & at(mask, nodes), nodes=nodes)
        to_head = _distance(head)
        far = to_head * step / unit > CLOTHES_BELOW_CHIN
        resting = clothes & far & (below_chin > 0)
        to_rest = _distance((body | resting) & ~head)
        to_body = _distance(body & ~head)
        lower = (below_chin - BODY_BELOW_CHIN) / (SHOULDERS_BELOW_CHIN - BODY_BELOW_CHIN)
        follow = SHOULDERS_FOLLOW * (1 - smoothstep(lower))
        shift = follow + (1 - follow) * _between(to_body, to_head)
        return cls(_between(to_rest, to_head), shift, resting)


def from_eyes(mesh: FloatArray, nodes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """How far right and down places [h,w,2] px lie from between the eyes, in the face's own axes.

    Both [h,w], eye distances.
    """
    left, right = (mesh[v, :2] for v in topology.OUTER_EYE_CORNERS)
    x, y = (right - left) / np.linalg.norm(right - left)
    away = (nodes - (left + right) / 2) / float(geometry.eye_distance(mesh))
    return away @ np.array([x, y]), away @ np.array([-y, x])


def outside(mesh: FloatArray, nodes: FloatArray) -> FloatArray:
    """Distance of places [h,w,2] px from the face's outline, px [h,w], negative inside."""
    outline = mesh[topology.FACE_OVAL, :2].astype(np.float32)
    inner = [[cv2.pointPolygonTest(outline, node, True) for node in row] for row in nodes.tolist()]
    return -np.array(inner)


def _clothes(portrait: Portrait, *, head: Mask, body: Mask, nodes: FloatArray) -> Mask:
    """Cells whose colour is the body's rather than that of face and hair."""
    lab = cv2.cvtColor(portrait.image, cv2.COLOR_RGB2LAB)
    colours = cv2.GaussianBlur(lab, (0, 0), 1.5)
    bins = at(colours, nodes).astype(int) // BIN
    size = (256 // BIN,) * 3
    counts = []
    for where in (head, body):
        histogram = np.zeros(size, np.float32)
        np.add.at(histogram, tuple(bins[where].T), 1)
        for axis in range(3):
            histogram = np.apply_along_axis(np.convolve, axis, histogram, [0.5, 1, 0.5], "same")
        counts.append(histogram / max(1, int(where.sum())))
    index = tuple(np.moveaxis(bins, -1, 0))
    more = counts[1][index] > CLEARLY * counts[0][index] + 1e-4
    return np.asarray(cv2.medianBlur(more.astype(np.uint8), 3) > 0)


def _between(to_rest: FloatArray, to_head: FloatArray) -> FloatArray:
    """1 on the head, 0 where all rests, smooth between."""
    # The smoothing below reaches further than it should: what rests begins so much earlier.
    to_rest = np.maximum(to_rest - 1.5, 0)
    share = smoothstep(to_rest / np.maximum(to_rest + to_head, 1e-6))
    return np.asarray(cv2.GaussianBlur(share.astype(np.float32), (0, 0), 0.7), float)


def at(picture: AnyArray, nodes: FloatArray) -> AnyArray:
    """The picture's nearest values at places [h,w,2] px."""
    height, width = picture.shape[:2]
    x = np.clip(np.round(nodes[..., 0]).astype(int), 0, width - 1)
    y = np.clip(np.round(nodes[..., 1]).astype(int), 0, height - 1)
    return np.asarray(picture[y, x])


def _distance(mask: Mask) -> Grid:
    """How far each cell is from the mask, in cells; far where the mask is empty."""
    if not mask.any():
        return np.full(mask.shape, float(max(mask.shape)), np.float32)
    outside = np.asarray(~mask, np.uint8)
    return np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32)
