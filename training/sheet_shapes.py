"""What a face does in each column of the contact sheet: mouth shapes, lids and head, by rule.

The shapes are ours, about as far as people move in clear speech (the lips of GRID talker s1 are
0.15 to 0.18 eye distances apart at the widest of a sentence), and the same for every portrait.
"""

from dataclasses import dataclass

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.motion.landmarks import LANDMARKS, flame_to_face
from mdth.face import geometry, topology
from mdth.motion.head import REST, HeadState

# Outer and inner lips among the 51 landmarks of `retarget.landmarks`; which lie on the lower lip.
_LIPS = slice(31, 51)
_BELOW = np.isin(np.arange(51), [*range(38, 43), *range(48, 51)])


@dataclass(frozen=True)
class Shape:
    """A mouth, eye distances away from the shut one: how far the middle of each lip goes.

    drop: lower lip and jaw down. lift: upper lip up. spread: corners outwards. raised: corners up.
    forward: lips towards the viewer.
    """

    drop: float = 0.0
    lift: float = 0.0
    spread: float = 0.0
    raised: float = 0.0
    forward: float = 0.0

    def offsets(self) -> FloatArray:
        """Offsets [478,3] of the face, face frame, eye distances."""
        marks = topology.CANONICAL[LANDMARKS]
        lips = marks[_LIPS]
        half = float(np.abs(lips[:, 0]).max())
        across = lips[:, 0] / half
        middle = 1 - np.square(across)
        moved = np.zeros((len(LANDMARKS), 3))
        moved[_LIPS, 0] = self.spread * across
        vertical = np.where(_BELOW[_LIPS], self.drop, -self.lift) * middle
        moved[_LIPS, 1] = vertical - self.raised * np.square(across)
        moved[_LIPS, 2] = -self.forward * (0.4 + 0.6 * middle)
        offsets: FloatArray = flame_to_face(moved[None], marks)[0]
        return offsets


def _head(yaw: float = 0.0, pitch: float = 0.0) -> HeadState:
    return REST._replace(rotation=geometry.rotation_from_euler_deg(yaw, pitch, 0.0))


SHUT = Shape()
TALKING = Shape(drop=0.06, lift=0.012)
COLUMNS: dict[str, tuple[Shape, HeadState]] = {
    "closed": (SHUT, REST),
    "p/b/m": (Shape(drop=-0.008, spread=-0.012, forward=0.01), REST),
    "ah": (Shape(drop=0.17, lift=0.018, spread=-0.01), REST),
    "ee": (Shape(drop=0.055, lift=0.022, spread=0.045, raised=0.012), REST),
    "oo": (Shape(drop=0.06, lift=0.012, spread=-0.085, forward=0.06), REST),
    "f/v": (Shape(drop=0.002, lift=0.03, spread=0.01), REST),
    "th": (Shape(drop=0.042, lift=0.014, spread=0.01), REST),
    "smile": (Shape(drop=0.03, lift=0.028, spread=0.06, raised=0.03), REST),
    "blink": (SHUT, REST._replace(closed=np.ones(2))),
    "left": (TALKING, _head(yaw=-8.0)._replace(gaze_deg=np.array([-8.0, 0.0]))),
    "right": (TALKING, _head(yaw=8.0)._replace(gaze_deg=np.array([8.0, 0.0]))),
    "up": (TALKING, _head(pitch=-8.0)._replace(gaze_deg=np.array([0.0, -6.0]))),
}
