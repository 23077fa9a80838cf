"""Who is seen in a clip, frame by frame: shots, one person, and where the face is of no use."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import Frame
from mdth.face.track import as_found
from mdth.face.tracker import FaceTracker


class Why(IntEnum):
    """Why a frame is left as it is; USABLE is not."""

    USABLE = 0
    NO_FACE = 1
    SMALL = 2
    PROFILE = 3
    COVERED = 4
    BLURRED = 5


@dataclass(frozen=True)
class Followed:
    """One person in a clip of T frames.

    mesh: float32 [T,478,3] px, NaN where the person is not seen; may lie on disk. shot: int32 [T],
    rising from 0. why: uint8 [T] of `Why`. people: how many are seen in the clip.
    """

    mesh: npt.NDArray[np.float32]
    shot: npt.NDArray[np.int32]
    why: npt.NDArray[np.uint8]
    people: int

    @property
    def found(self) -> npt.NDArray[np.bool_]:
        """In which frames [T] the person is seen."""
        return np.asarray(self.why != Why.NO_FACE)


def follow(
    frames: Iterable[Frame],
    model: Path,
    *,
    fps: float,
    face: int | None = None,
    point: tuple[float, float] | None = None,
) -> Followed:
    """Follow one person through RGB frames uint8 [H,W,3], which are read once and not kept.

    face: who, 1 the leftmost in the first of the frames that show the most people. point: x, y px,
    who is nearest to it when first seen. Else it is who moves the lips most. Raises NoFaceFound.
    """
    nothing = np.full((478, 3), np.nan, np.float32)
    with FaceTracker(model) as tracker:
        meshes = [next(iter(tracker.faces(frame)), nothing) for frame in frames]
    found = as_found([bool(np.isfinite(m[0, 0])) for m in meshes])
    why = np.where(found, Why.USABLE, Why.NO_FACE).astype(np.uint8)
    return Followed(np.stack(meshes), np.zeros(len(meshes), np.int32), why, 1)
