"""How far predicted meshes are from true ones, as the field's published evaluations compute it.

Meshes are [T,V,3] in any unit of length u; sets of vertices are indices. Where two sequences differ
in length, the frames both have are compared.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray

IndexArray = npt.NDArray[np.intp]

QUIET_DB = 40.0
"""Silence: so far below the loudest frame of the same sound."""


def lip_vertex_error(predicted: FloatArray, true: FloatArray, lips: IndexArray) -> float:
    """LVE, u squared: of each frame the largest squared distance of a lip vertex; their mean.

    As in MeshTalk (Richard et al., ICCV 2021) and FaceFormer; torchmetrics' LipVertexError.
    """
    return float(_squared(predicted, true, lips).max(axis=1).mean())


def mean_vertex_error(predicted: FloatArray, true: FloatArray) -> float:
    """MVE, u: the mean distance of a vertex from where it should be."""
    return float(np.sqrt(_squared(predicted, true, np.arange(true.shape[1]))).mean())


def dynamics(meshes: FloatArray, neutral: FloatArray, vertices: IndexArray) -> FloatArray:
    """How much each vertex [n] moves, u squared.

    The standard deviation over time of its squared distance from the neutral face [V,3].
    """
    squared = np.square(meshes[:, vertices] - neutral[vertices]).sum(axis=-1)
    moved: FloatArray = squared.std(axis=0)
    return moved


def face_dynamics_deviation(
    predicted: FloatArray, true: FloatArray, *, neutral: FloatArray, upper: IndexArray
) -> tuple[float, float]:
    """FDD of the upper face, u squared: signed, and absolute.

    CodeTalker (Xing et al., CVPR 2023): the true dynamics less the predicted, mean over vertices;
    above 0 the prediction moves too little. Absolute: the mean of the differences without sign, in
    which too much in one place does not make up for too little in another.
    """
    frames = min(len(predicted), len(true))
    difference = dynamics(true[:frames], neutral, upper) - dynamics(
        predicted[:frames], neutral, upper
    )
    return float(difference.mean()), float(np.abs(difference).mean())


def diversity(predictions: list[FloatArray]) -> float:
    """How different predictions of one sound are, u.

    The mean distance of a vertex between two of them, over all pairs; 0 for fewer than two.
    """
    pairs = [
        mean_vertex_error(one, other)
        for place, one in enumerate(predictions)
        for other in predictions[place + 1 :]
    ]
    return float(np.mean(pairs)) if pairs else 0.0


def roughness(meshes: FloatArray, fps: float) -> tuple[float, float]:
    """Mean acceleration, u/s^2, and jitter, u/s^3, of a vertex: second and third differences."""
    found = []
    for order in (2, 3):
        change = np.diff(meshes.astype(np.float64), n=order, axis=0) * fps**order
        found.append(float(np.linalg.norm(change, axis=-1).mean()) if len(change) else 0.0)
    return found[0], found[1]


def lip_gaps(meshes: FloatArray, pairs: IndexArray) -> FloatArray:
    """The mean distance [T], u, of facing vertices [P,2] of the upper and the lower lip."""
    apart = np.linalg.norm(meshes[:, pairs[:, 0]] - meshes[:, pairs[:, 1]], axis=-1)
    gaps: FloatArray = apart.mean(axis=1)
    return gaps


def silent_frames(sound: FloatArray, rate_hz: int, *, frames: int, fps: float) -> npt.NDArray[Any]:
    """Which frames [T] are silent: QUIET_DB under the loudest, for 0.1 s on either side."""
    edges = np.round(np.arange(frames + 1) / fps * rate_hz).astype(int)
    power = [float(np.square(sound[a:b]).mean()) if b > a else 0.0 for a, b in pairwise(edges)]
    loud = np.array(power) > max(power) * 10 ** (-QUIET_DB / 10)
    reach = max(1, round(0.1 * fps))
    silent: npt.NDArray[Any] = ~np.convolve(loud, np.ones(2 * reach + 1), "same").astype(bool)
    return silent


def speed(meshes: FloatArray, fps: float, vertices: IndexArray) -> FloatArray:
    """The mean speed [T], u/s, of some vertices to the next frame; the last one's twice."""
    steps = np.linalg.norm(np.diff(meshes[:, vertices], axis=0), axis=-1).mean(axis=1) * fps
    found: FloatArray = np.append(steps, steps[-1:])
    return found


def _squared(predicted: FloatArray, true: FloatArray, vertices: IndexArray) -> FloatArray:
    """Squared distances [T,n]."""
    frames = min(len(predicted), len(true))
    difference = predicted[:frames, vertices].astype(np.float64) - true[:frames, vertices]
    squared: FloatArray = np.square(difference).sum(axis=-1)
    return squared
