"""ARKit's 52 weights of a live avatar as they are shown: JSON lines, and Live Link's packets.

Nothing is drawn, which leaves most of a core free. Needs no extra.
"""

import json
import struct
from typing import NamedTuple, Unpack, cast

import numpy as np

from mdth import engines
from mdth.artefacts import FloatArray
from mdth.embedded.engine import Embedded
from mdth.embedded.session import EmbeddedAvatar
from mdth.engine import Avatar, Session
from mdth.errors import InputError, ours
from mdth.face import geometry
from mdth.live_session import FPS, LiveFrame, LiveSession
from mdth.mesh import arkit
from mdth.options import Choices, Options

PORT = 11111  # of Unreal's Live Link
_VERSION = 6
# In a packet left comes before right here too; a CSV has it the other way round.
_SWAPPED = {"JawRight": "JawLeft", "JawLeft": "JawRight"}
_SWAPPED |= {"MouthRight": "MouthLeft", "MouthLeft": "MouthRight"}
_ORDER = [arkit.SHAPES.index(_SWAPPED.get(name, name)) for name in arkit.SHAPES]
_NAMES = [name[0].lower() + name[1:] for name in arkit.SHAPES]


class Face(NamedTuple):
    """weights: [52] 0..1, 0 at rest, in the order of `arkit.SHAPES`.

    head: yaw, pitch and roll in radians: to the person's left, down, and to their right shoulder.
    """

    weights: FloatArray
    head: FloatArray
    time_s: float


class Weights:
    """Frames of such a live session -> what its face does."""

    def __init__(self, neutral: FloatArray) -> None:
        self._rest = geometry.head_pose(neutral[None]).rotation[0]
        self._neutral = self._of(neutral)[0]

    def _of(self, mesh: FloatArray) -> tuple[FloatArray, FloatArray]:
        pose = geometry.head_pose(mesh[None])
        face = geometry.to_face(mesh[None], pose)
        return arkit.weights(face)[0], pose.rotation[0] @ self._rest.T

    def __call__(self, frame: LiveFrame) -> Face:
        """Of a frame whose picture is a mesh [478,3] px."""
        weights, turned = self._of(np.asarray(frame.picture, np.float64))
        head = np.deg2rad(geometry.euler_deg(turned)) * [1, 1, -1]
        return Face(arkit.beyond_rest(weights, self._neutral), head, frame.time_s)


@ours
def live_weights(
    avatar: Avatar, *, pace: bool = False, **choices: Unpack[Choices]
) -> tuple[LiveSession, Weights]:
    """As `mdth.live`, but its pictures are meshes; and what makes weights of its frames.

    Raises InputError for an avatar that is no picture's.
    """
    options = Options.of(**{"fps": FPS, **choices})
    engine = engines.of(avatar, options)
    if not isinstance(engine, Embedded) or not isinstance(avatar, EmbeddedAvatar):
        raise InputError("weights are those of a picture's avatar of the engine embedded")
    session = engine.open_drive(avatar, options)
    return LiveSession(cast(Session, session), pace=pace), Weights(session.neutral)


def json_line(face: Face, state: str) -> str:
    """time_s, state, head [3] and weights by their names, on one line."""
    weights = dict(zip(_NAMES, np.round(face.weights.astype(float), 4).tolist(), strict=True))
    head = np.round(face.head, 4).tolist()
    said = {"time_s": round(face.time_s, 4), "state": state, "head": head, "weights": weights}
    return json.dumps(said) + "\n"


def packet(face: Face, *, fps: int, subject: str = "mdth") -> bytes:
    """A datagram as the app Live Link Face sends it: big-endian, 61 numbers, of which 9 angles."""
    name = subject.encode()
    told = struct.pack(">B", _VERSION)
    told += struct.pack(f">i{len(name)}s", len(name), name) * 2  # the device and the subject
    told += struct.pack(">ifii", round(face.time_s * fps), 0.0, fps, 1)
    numbers = [*face.weights[_ORDER], *face.head, *[0.0] * 6]
    return told + struct.pack(f">B{len(numbers)}f", len(numbers), *numbers)
