"""The sound of a clip, and how the faces of people are split into components."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ
from mdth.face import topology
from mdth.media.container import open_media

COMPONENTS = 32
LIP_WEIGHT = 3.0
# Lips no further apart (eye distances) count as shut.
SHUT_GAP = 0.015
# Words of GRID that begin with shut lips, and the letter that ends with them.
CLOSED_STARTS = {"bin", "blue", "by", "place", "please", "b", "p"}
CLOSED_ENDS = {"m"}


def read_sound(clip: Path) -> npt.NDArray[np.int16]:
    """The sound of a clip, int16 [N] at 16 kHz mono, sample 0 at the time of picture 0."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
    blocks: list[av.AudioFrame] = []
    with open_media(clip) as container:
        for frame in container.decode(audio=0):
            blocks += resampler.resample(frame)
    blocks += resampler.resample(None)
    return np.concatenate([block.to_ndarray()[0] for block in blocks]).astype(np.int16)


def speech_weight(faces: FloatArray) -> FloatArray:
    """How far each vertex [478] follows speech: 0 at and above the eyes, 1 from the nose down."""
    height = faces[:, 1]
    part = np.clip((height - 0.12) / 0.2, 0, 1)
    weight: FloatArray = part * part * (3 - 2 * part)
    weight[topology.UPPER_FACE] = 0
    return weight


def principal_components(offsets: FloatArray, weight: FloatArray) -> FloatArray:
    """Basis [K,478,3] of offsets [T,478,3], orthonormal after weighting the vertices."""
    rows = (offsets * weight[:, None]).reshape(len(offsets), -1)
    _, axes = np.linalg.eigh(rows.T.astype(np.float64) @ rows.astype(np.float64))
    keep = axes.T[: -COMPONENTS - 1 : -1].reshape(COMPONENTS, -1, 3)
    basis: FloatArray = keep / np.maximum(weight, 1e-9)[:, None]
    return np.where(weight[:, None] > 0, basis, 0)


def component_weight() -> FloatArray:
    """Vertex weights [478] of the space in which the components are orthonormal: lips first."""
    weight = np.ones(topology.VERTEX_COUNT)
    weight[np.concatenate([topology.LIPS_INNER, topology.LIPS_OUTER])] = LIP_WEIGHT
    return weight


def project(offsets: FloatArray, basis: FloatArray) -> FloatArray:
    """Coefficients [T,K] of offsets [T,478,3]."""
    weight = component_weight()
    dual = basis * (weight**2)[:, None]
    found: FloatArray = np.einsum("tvi,kvi->tk", offsets, dual)
    return found
