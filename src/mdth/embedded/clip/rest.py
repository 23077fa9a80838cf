"""A clip's faces un-spoken: each frame's mesh, steadied, and the face at rest that speaks anew.

What speech did to a frame is taken off in the face frame: the mouth is shut by the mesh, and what
is left is averaged over the frames around, the more the less they are open. So a smile that lasts
stays, and the old words go.
"""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.motion import mouth
from mdth.embedded.motion.spread import spread
from mdth.face import geometry, topology
from mdth.face.follow import Followed, Why
from mdth.face.smoothing import smoothstep
from mdth.face.track import filled

# Frames are averaged over this to get the face at rest; of one whose lips part so far (eye
# distances) half as much as of a shut one counts.
REST_S, PARTED = 0.5, 0.12
# The edge of an open mouth is soft and lies a little outside the tracked one, eye distances.
RIM, OPEN = 0.02, 0.05
# Of a thin lip no more than this share is taken for its edge.
MOST_RIM = 0.4
# Corners that go further inwards than the first leave the line of the wider mouth behind them: they
# go this much further at most, eye distances.
NARROW, NARROWEST = 0.04, 0.04
_UPPER, _LOWER = topology.LIP_PAIRS.T
# What speech is told of: lips and jaw; the skin between them and what rests is stretched.
_HANDLES = np.concatenate([topology.LIPS_INNER, topology.LIPS_OUTER, mouth.JAW])
# So many frames lead from one that is left as it is to one that is dubbed.
FADE = 4
# Frames that are worked on at once, and those around them that are looked at too.
BLOCK, BESIDE_S = 500, 2.5
# Savitzky and Golay, "Smoothing and differentiation of data by simplified least squares
# procedures", Analytical Chemistry 1964: quadratic over five frames, without a lag.
STEADY = np.array([-3, 12, 17, 12, -3]) / 35


class Face(NamedTuple):
    """One frame. mesh: [478,3] px. face: the same, face frame; rest: with its mouth shut.

    scale, rotation [3,3]: of its pose. amount: how much of it is dubbed, 0 to 1.
    """

    mesh: FloatArray
    face: FloatArray
    rest: FloatArray
    scale: float
    rotation: FloatArray
    amount: float

    def spoken(self, face: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The frame's mesh and the one whose speech is that of `face` [478,3], face frame.

        Both [478,3] px. Where lips close over what was between them, its rim goes along.
        """
        gaps, wanted = (one[_LOWER, 1] - one[_UPPER, 1] for one in (self.face, face))
        closing = np.clip(1 - wanted / np.maximum(gaps, 1e-6), 0, 1) * smoothstep(gaps / OPEN)
        thick = (self.face[topology.LIPS_OUTER] - self.face[topology.LIPS_INNER])[:, 1]
        rim = np.zeros((len(thick), 3))
        rim[1:10, 1] = rim[:10:-1, 1] = RIM * closing
        rim[:, 1] = np.sign(thick) * np.minimum(rim[:, 1], MOST_RIM * np.abs(thick))
        own = self.face + _lips() @ rim
        change = self.amount * _skin() @ (face - self.face)[_HANDLES]
        left, right = change[list(topology.MOUTH_CORNERS), 0]
        inwards = max(float(left - right) / 2, 1e-6)
        limited = NARROW + NARROWEST * np.tanh((inwards - NARROW) / NARROWEST)
        change[:, 0] *= min(1.0, limited / inwards) if inwards > NARROW else 1.0
        meshes = own - self.face, change
        moved, changed = (self.scale * way @ self.rotation.T for way in meshes)
        return self.mesh + moved, self.mesh + changed


@cache
def _lips() -> FloatArray:
    """[478,20] from the inner edges of lips; the outer ones stay."""
    still = np.concatenate([mouth.still_skin(), mouth.JAW, topology.LIPS_OUTER])
    return spread(topology.LIPS_INNER, still)


@cache
def _skin() -> FloatArray:
    """[478,H] from `_HANDLES`."""
    return spread(_HANDLES, mouth.still_skin())


class Faces:
    """The faces of a clip by number of frame; a block of them is kept."""

    def __init__(self, person: Followed, fps: float) -> None:
        self._person, self._fps = person, fps
        self.amounts = amounts(person.why == Why.USABLE, person.shot)
        self._block: tuple[int, int, list[Face]] = (0, 0, [])

    def __getitem__(self, number: int) -> Face | None:
        """None where the frame stays as it is."""
        if not self.amounts[number]:
            return None
        first, last, faces = self._block
        if not first <= number < last:
            first, last, faces = self._block = self._around(number)
        return faces[number - first]

    def _around(self, number: int) -> tuple[int, int, list[Face]]:
        """First and last frame of the block with this frame, within its shot, and its faces."""
        shots = self._person.shot
        begin, end = np.searchsorted(shots, [shots[number], shots[number] + 1]).tolist()
        first = max(begin, number // BLOCK * BLOCK)
        last = min(end, (number // BLOCK + 1) * BLOCK)
        beside = round(BESIDE_S * self._fps)
        low, high = max(begin, first - beside), min(end, last + beside)
        part = slice(low, high)
        usable = self._person.why[part] == Why.USABLE
        known = np.asarray(self._person.mesh[part], np.float64)[usable]
        mesh = filled(known, usable)
        columns = *unspoken(mesh, usable, self._fps), self.amounts[part]
        made = [Face(*row) for row in zip(*columns, strict=True)]
        return first, last, made[first - low : last - low]


def unspoken(
    mesh: FloatArray, usable: npt.NDArray[np.bool_], fps: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Frames [T,478,3] px of one shot, `fps` a second -> the first five of `Face`, each [T,...]."""
    pose = geometry.head_pose(mesh)
    face = _steadied(geometry.to_face(mesh, pose))
    shut = np.stack([mouth.neutral_face(one, relax=0.0) for one in face])
    counts = usable / (1 + np.square(geometry.lip_opening(face) / PARTED))
    width = max(1.0, REST_S * fps)
    taps = np.exp(-0.5 * np.square(np.arange(-3 * width // 1, 3 * width // 1 + 1) / width))
    weights = _convolved(counts, taps) + 1e-9
    rest = _convolved(shut * counts[:, None, None], taps) / weights[:, None, None]
    return geometry.to_picture(face, pose), face, rest, pose.scale, pose.rotation


def amounts(usable: npt.NDArray[np.bool_], shot: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """How much of each frame is dubbed [T]: 0 where it is not usable, rising beside that.

    A cut needs no fading.
    """
    found = np.zeros(len(usable), np.float32)
    for number in np.unique(shot):
        own = shot == number
        padded = np.pad(usable[own], 1, constant_values=True).astype(np.uint8)
        away = cv2.distanceTransform(padded[None], cv2.DIST_L1, 3)[0, 1:-1]
        found[own] = smoothstep(away / (FADE + 1)) if (padded == 0).any() else 1
    return found


def _steadied(track: FloatArray) -> FloatArray:
    around = len(STEADY) // 2
    padded = np.pad(track, ((around, around), (0, 0), (0, 0)), mode="edge")
    taken = np.stack([padded[k : k + len(track)] for k in range(len(STEADY))])
    return np.asarray(np.einsum("k,ktvc->tvc", STEADY, taken))


def _convolved(track: FloatArray, taps: FloatArray) -> FloatArray:
    """A track [T,...] weighed over time; beyond its ends there is nothing."""
    flat = track.reshape(len(track), -1)
    done = np.asarray(
        cv2.filter2D(flat, cv2.CV_64F, taps[:, None], borderType=cv2.BORDER_CONSTANT), float
    )
    return done.reshape(track.shape)
