"""Which vertices of a mesh are lips and upper face.

The lists that published evaluations use lie in licensed files (FLAME's masks; the lists for BIWI)
and are not part of this project. Two ways to have them:

- a file of the user's: `.npy`, `.txt` (numbers between spaces, commas or lines), or one of FLAME's
  `FLAME_masks.pkl` with the names of its masks, as `FLAME_masks.pkl:forehead+eye_region`;
- of the 478-vertex face, `of_face`: its own named groups.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.errors import ArtefactError, CheckpointError, InputError
from mdth.face import topology
from mdth.files import pickle as model_pickle

IndexArray = npt.NDArray[np.intp]

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
