"""Which vertices of a mesh are lips and upper face.

The lists that published evaluations use lie in licensed files (FLAME's masks; the lists for BIWI)
and are not part of this project. Three ways to have them:

- a file of the user's: `.npy`, `.txt` (numbers between spaces, commas or lines), or one of FLAME's
  `FLAME_masks.pkl` with the names of its masks, as `FLAME_masks.pkl:forehead+eye_region`;
- FLAME's 51 embedded landmarks: what lies near the lips' and near the brows' and eyes' on the
  template, `by_landmarks`; not the published lists, so compare only with figures of the same kind;
- of the 478-vertex face, `of_face`: its own named groups.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.errors import ArtefactError, CheckpointError, InputError
from mdth.face import topology
from mdth.files import pickle as model_pickle

IndexArray = npt.NDArray[np.intp]

# Among the 51 landmarks: the closed lines of the lips, upper and lower inner lip, brows with eyes.
_OUTER_LIPS, _INNER_LIPS = np.arange(31, 43), np.arange(43, 51)
_FACING = np.array([[44, 50], [45, 49], [46, 48]])
_BROWS_EYES = np.concatenate([np.arange(10), np.arange(19, 31)])
_OUTER_EYE_CORNERS = (19, 28)
LIP_REACH, UPPER_REACH = 0.06, 0.25
"""How near, in eye distances, a vertex lies to the landmarks' lines or points."""
SHUT = 0.02
"""Lips no further apart, in eye distances, count as shut."""


@dataclass(frozen=True)
class Regions:
    """Sets of vertices of one mesh. lips, upper: [n]. pairs: [P,2], facing vertices of the lips.

    shut: up to this mean gap of the pairs, in units of the mesh, lips count as shut.
    source: where all this is from, for the reader of the figures.
    """

    lips: IndexArray
    upper: IndexArray
    pairs: IndexArray
    shut: float
    source: str

    def check(self, vertices: int) -> None:
        """Raises InputError if they are another mesh's."""
        for name in ("lips", "upper", "pairs"):
            chosen = getattr(self, name)
            if chosen.size and (chosen.min() < 0 or chosen.max() >= vertices):
                raise InputError(
                    f"{self.source}: {name} names vertex {chosen.max()} of a mesh of {vertices}"
                )


NO_PAIRS = np.zeros((0, 2), np.intp)


def of_face() -> Regions:
    """Those of the 478-vertex face: both outlines of the lips; lids and brows without irises."""
    irises = np.concatenate([topology.IRIS_LEFT, topology.IRIS_RIGHT])
    return Regions(
        np.unique(np.concatenate([topology.LIPS_OUTER, topology.LIPS_INNER])),
        np.setdiff1d(topology.UPPER_FACE, irises),
        topology.LIP_PAIRS,
        SHUT,
        "478-vertex face",
    )


def by_landmarks(template: FloatArray, landmarks: FloatArray) -> Regions:
    """Those near the 51 landmarks [51,3] on a template [V,3], same unit and frame."""
    unit = float(np.linalg.norm(np.subtract(*landmarks[list(_OUTER_EYE_CORNERS)])))
    lines = [_line(landmarks[_OUTER_LIPS]), _line(landmarks[_INNER_LIPS])]
    lips = np.flatnonzero(_distance(template, np.concatenate(lines)) < LIP_REACH * unit)
    near = _distance(template, landmarks[_BROWS_EYES]) < UPPER_REACH * unit
    pairs = np.array([[_nearest(template, landmarks[mark]) for mark in two] for two in _FACING])
    upper = np.flatnonzero(near)
    return Regions(lips, upper, pairs, SHUT * unit, "near the 51 landmarks")


def read_region(source: str) -> IndexArray:
    """Vertices [n] of a file; `FILE.pkl:NAME+NAME` for masks. Raises InputError, ArtefactError."""
    name, colon, masks = source.rpartition(":")
    path = Path(name if colon and name.endswith(".pkl") else source)
    try:
        if path.suffix == ".pkl":
            found = _masks(path, masks.split("+"))
        elif path.suffix == ".npy":
            found = np.load(path, allow_pickle=False)
        else:
            found = np.array(path.read_text("utf-8").replace(",", " ").split(), np.int64)
        if found.dtype.kind not in "iu" or not found.size:
            raise ValueError(f"{found.size} entries of type {found.dtype}")
    except (OSError, ValueError, EOFError, CheckpointError) as error:
        raise ArtefactError(f"{path}: no list of vertices ({error})") from error
    return np.unique(found).astype(np.intp)


def _masks(path: Path, names: list[str]) -> npt.NDArray[np.generic]:
    found = model_pickle.load(path)
    known = found if isinstance(found, dict) else {}
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(f"{path}: no mask {missing[0]!r}; there are {', '.join(map(str, known))}")
    return np.concatenate([np.asarray(known[name]).ravel() for name in names])


def _line(corners: FloatArray) -> FloatArray:
    """Points along a closed line through corners [n,3], ten a side."""
    part = np.linspace(0, 1, 10, endpoint=False)[:, None, None]
    points: FloatArray = corners * (1 - part) + np.roll(corners, -1, axis=0) * part
    return points.reshape(-1, 3)


def _distance(vertices: FloatArray, points: FloatArray) -> FloatArray:
    """How far each vertex [V] is from the nearest of some points."""
    apart: FloatArray = np.full(len(vertices), np.inf)
    for point in points:
        apart = np.minimum(apart, np.linalg.norm(vertices - point, axis=1))
    return apart


def _nearest(vertices: FloatArray, point: FloatArray) -> int:
    return int(np.linalg.norm(vertices - point, axis=1).argmin())
