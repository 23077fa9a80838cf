"""Portrait, speech and head -> driving meshes."""

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.motion import eyes, mouth
from mdth.embedded.motion.cheeks import move_cheeks
from mdth.face import geometry
from mdth.motion.head import REST, HeadState
from mdth.options import MotionOptions


def animated(
    face: FloatArray, rest: FloatArray, head: HeadState, *, glasses: bool = False
) -> FloatArray:
    """A speaking face [478,3] with the head's cheeks, brows, gaze and lids; face frame.

    rest: the same face, silent. With glasses the brows rest and blinks move the lids alone.
    """
    face = face + move_cheeks(face, rest, head.cheeks)
    if not glasses:
        face = face + eyes.move_brows(head.brows)
    moved = eyes.move_gaze(face, head.gaze_deg, head.closed)
    moved += eyes.move_lids(face + moved, head.closed)
    if glasses:
        moved[eyes.UNDER_GLASSES] = 0
    return face + moved


class Driver:
    """Turns speech offsets and head states into meshes of one portrait.

    options: how much the mouth opens and widens (default: as spoken). neutral: [478,3] px, the
    portrait's mesh with its mouth shut and its smile relaxed. The brows of a person with glasses
    rest, and blinks move the lids alone: glasses stay as they are.
    """

    def __init__(self, portrait: Portrait, options: MotionOptions | None = None) -> None:
        self._follow = mouth.followed(options or MotionOptions())
        self._glasses = portrait.glasses > 0.5
        meshes: FloatArray = np.asarray(portrait.mesh, np.float64)[None]
        pose = geometry.head_pose(meshes)
        self._scale = float(pose.scale[0])
        self._rotation = pose.rotation[0]
        self._origin = pose.translation[0]
        own = geometry.to_face(meshes, pose)[0]
        smiling, relaxed = mouth.neutral_face(own, relax=0.0), mouth.neutral_face(own)
        self._face = relaxed + move_cheeks(relaxed, smiling, REST.cheeks)
        self._smile = smiling - self._face
        self.neutral = self._place(self._face, np.eye(3), np.zeros(3))

    def mesh(self, offsets: FloatArray, head: HeadState) -> npt.NDArray[np.float32]:
        """Driving mesh [478,3] px for speech offsets [478,3] (face frame, eye distances).

        The speech moves mouth, jaw and cheeks; eyes, brows, pose and the smile are the head's.
        """
        rest = self._face + head.smile * self._smile
        face: FloatArray = mouth.touch_lips(rest + self._follow * offsets)
        face = animated(face, rest, head, glasses=self._glasses)
        return self._place(face, head.rotation, head.translation)

    def _place(
        self, face: FloatArray, rotation: FloatArray, translation: FloatArray
    ) -> npt.NDArray[np.float32]:
        """Face frame -> picture, turned about the neck in front of the portrait's own pose."""
        own: FloatArray = face @ self._rotation.T
        neck = geometry.NECK @ self._rotation.T
        turned: FloatArray = (own - neck) @ rotation.T + neck
        turned[:, :2] += translation[:2]
        nearer = geometry.VIEW_DISTANCE / (geometry.VIEW_DISTANCE + translation[2])
        placed = self._origin + self._scale * nearer * turned
        return np.asarray(placed, np.float32)
