"""Made-up people: faces whose mouths do what is planted."""

from collections.abc import Sequence

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import topology
from training.measures import predicted
from training.people import Clip, People

_UPPER, _LOWER = topology.LIP_MID_PAIR
COMPONENTS = 8


def neutral_face() -> FloatArray:
    """The canonical face [478,3] in its eye distances, its lips shut, its eyes with irises."""
    face = np.zeros((topology.VERTEX_COUNT, 3))
    face[: len(topology.CANONICAL)] = topology.CANONICAL
    face[topology.IRIS_LEFT], face[topology.IRIS_RIGHT] = face[[33, 263]]
    face[_LOWER] = face[_UPPER]
    left, right = topology.OUTER_EYE_CORNERS
    return np.asarray(face / np.linalg.norm(face[left] - face[right]))


def planted_basis() -> FloatArray:
    """Basis [8,478,3]: the measures, each alone, and two beside them."""
    basis = np.zeros((COMPONENTS, topology.VERTEX_COUNT, 3))
    basis[0, _LOWER, 1] = 1.0
    basis[1, topology.MOUTH_CORNERS, 0] = -0.5, 0.5
    basis[2, [_UPPER, _LOWER], 1] = -1.0
    basis[3, [61, 291], 1] = -1.0
    basis[4, [0, 17, _UPPER, _LOWER], 2] = -1.0
    basis[5, 152, 1] = 1.0
    basis[6, 200], basis[7, 205] = 1.0, 1.0
    return basis


def clip(name: str, person: str, rows: FloatArray, use: str = "train", trust: float = 1.0) -> Clip:
    """A clip of coefficients [T,8] at 25 a second, with some noise as its sound."""
    sound = np.random.default_rng(len(name)).normal(0, 3000, len(rows) * 640).astype(np.int16)
    measured = predicted(rows, planted_basis(), neutral_face())
    rows, marks = rows.astype(np.float32), np.zeros(0)
    return Clip(name, person, use, sound, rows, 25.0, measured, neutral_face(), marks, trust)


def people(clips: Sequence[Clip] | None = None) -> People:
    """A set; unless told, ten clips whose chins, and a component beside, go half with openings."""
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 0.01, (10, 75, COMPONENTS))
    rows[..., 0] = np.abs(rng.normal(0.05, 0.03, (10, 75)))
    rows[:, 0, 0] = 0.0
    rows[..., [5, 6]] += 0.5 * rows[..., :1]
    uses = ["train"] * 9 + ["held"]
    made = [clip(f"c{i}", "s1", r, use) for i, (r, use) in enumerate(zip(rows, uses, strict=True))]
    return People(list(clips or made), planted_basis())
