"""What heads did in tracked talk, in steps of 40 ms: the segments that generated motion is made of.

Made by `training.motion_bank`; its card, `weights/motion.json`, says from whose clips.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Self

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import CheckpointError
from mdth.face import topology

WEIGHTS = Path(__file__).parents[1] / "weights" / "motion.npz"
# Yaw, pitch, roll (degrees), the neck's way (eye distances), then brows and cheeks (components).
HEAD, NECK, FACE = slice(0, 3), slice(3, 6), slice(6, None)

_X, _Y = np.abs(topology.CANONICAL[:, 0]), topology.CANONICAL[:, 1]
# The skin between eyes and mouth.
CHEEKS = np.setdiff1d(
    np.flatnonzero((_Y > 0.15) & (_Y < 0.45) & (_X > 0.2) & (_X < 0.6)),
    np.union1d(topology.LIPS_OUTER, topology.UPPER_FACE),
)
MOVED = np.concatenate([topology.BROWS, CHEEKS])


@dataclass(frozen=True)
class Bank:
    """N steps of many clips, each clip about its own mean.

    motion: [N,D], channels as above. left: [N], how many steps of the same clip follow.
    basis: [D-6,20+C,3], what a component does to `MOVED`, face frame, eye distances. mirror: [D],
    each channel's sign in a mirror. cheeks: [C,3,4], how the cheeks follow the mouth, see
    `mouth_shape`. looks: [L,3], where eyes looked from their usual aim, degrees to the viewer's
    right and down, and for how many seconds.
    """

    motion: FloatArray
    left: FloatArray
    basis: FloatArray
    mirror: FloatArray
    cheeks: FloatArray
    looks: FloatArray

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Self:
        """Raises CheckpointError."""
        try:
            with np.load(path, allow_pickle=False) as file:
                parts = {entry.name: file[entry.name] for entry in fields(cls)}
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path}: no usable weights; install mdth again") from error
        return cls(**{name: np.asarray(part, np.float64) for name, part in parts.items()})


@cache
def bank() -> Bank:
    """The shipped one, each step also in the mirror. Raises CheckpointError."""
    one = Bank.load()
    return Bank(
        np.concatenate([one.motion, one.motion * one.mirror]),
        np.concatenate([one.left, one.left]),
        one.basis,
        one.mirror,
        one.cheeks,
        one.looks,
    )


def mouth_shape(face: FloatArray) -> FloatArray:
    """What cheeks answer to, [...,478,3] -> [...,4]: both corners outwards and up, and the chin.

    The left corner's and the right one's way out, their height, in the face frame.
    """
    left, right = (face[..., corner, :] for corner in (61, 291))
    return np.stack([left[..., 0], right[..., 0], left[..., 1], right[..., 1]], axis=-1)
