"""Mouths for training that no still shows: lips opened as in clips or by rule."""

from collections.abc import Iterator
from typing import NamedTuple, Self

import numpy as np

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render.cavity import Cavity
from mdth.face import geometry
from training.sheet_shapes import Shape

# How much further apart the lips of the second of two near openings are, eye distances.
FURTHER = 0.012
# Shapes by rule: from, to.
DROP, LIFT, SPREAD = (0.02, 0.2), (0.0, 0.03), (-0.08, 0.05)
# Clips' own shapes are shown from this to that much of themselves.
AMOUNT = (0.5, 1.3)


class Opening(NamedTuple):
    """Offsets [478,3] of a face, face frame, eye distances, and how far they part the lips."""

    offsets: FloatArray
    gap: float

    @classmethod
    def random(cls, random: np.random.Generator, faces: FloatArray) -> Self:
        """Like a clip's frame, or by rule; faces [2,478,3] px: a spoken one and one at rest."""
        if random.random() < 0.5:
            shape = Shape(*(float(random.uniform(*ends)) for ends in (DROP, LIFT, SPREAD)))
            return cls(shape.offsets(), shape.drop + shape.lift)
        own = geometry.to_face(faces, geometry.head_pose(faces))
        own = own / geometry.eye_distance(own)[:, None, None]
        amount = float(random.uniform(*AMOUNT))
        gap = float(geometry.lip_opening(own[0]) - geometry.lip_opening(own[1]))
        return cls((amount * (own[0] - own[1])).astype(np.float32), max(amount * gap, FURTHER))

    def pair(self) -> Iterator[FloatArray]:
        """The offsets, and a little more of them."""
        yield self.offsets
        yield self.offsets * (1 + FURTHER / self.gap)


def teeth_shown(portrait: Portrait) -> bool:
    """Whether what a portrait shows between its lips is bright enough to be teeth."""
    drawn = Cavity(portrait, show_own=False).light.tooth.mean()
    own = Cavity(portrait).light
    return bool(own.tooth.mean() > 0.75 * drawn and own.tooth.mean() > 1.1 * own.skin.mean())
