"""Colours relative to a portrait's own skin, so that one person's mouth is like another's."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from mdth.artefacts import FloatArray

# What skin becomes in each channel, 0..1; how far the curve may bend.
SKIN = 0.6
BEND = (0.15, 2.5)


@dataclass(frozen=True)
class Tone:
    """A curve for each channel, c / (c + bend (1 - c)) over 0..1: black and white stay.

    bend: [3]. Colours are [3] or planes [3,h,w]. It takes the light's level and cast, and most of
    the skin's colour, out of a picture, and its inverse (1 / bend) brings them back.
    """

    bend: FloatArray

    @classmethod
    def of(cls, skin: FloatArray) -> Self:
        """The tone that takes a skin colour, RGB [3] 0..255, to SKIN in every channel."""
        share = np.clip(np.asarray(skin, float) / 255, 0.02, 0.98)
        return cls(np.clip(share / (1 - share) * (1 - SKIN) / SKIN, *BEND))

    def relative(self, colours: FloatArray) -> FloatArray:
        """RGB 0..255 [3,...] -> relative to the skin, -1..1."""
        return _bent(np.clip(colours / 255, 0, 1), self.bend) * 2 - 1

    def absolute(self, values: FloatArray) -> FloatArray:
        """The inverse: -1..1 [3,...] -> RGB 0..255."""
        return _bent(np.clip((values + 1) / 2, 0, 1), 1 / self.bend) * 255


def brightness(colours: FloatArray) -> FloatArray:
    """The mean over planes of colours float32 [3,h,w], [h,w]."""
    return np.asarray((colours[0] + colours[1] + colours[2]) * np.float32(1 / 3))


def _bent(share: FloatArray, bend: FloatArray) -> FloatArray:
    k = bend.astype(share.dtype).reshape(3, *[1] * (share.ndim - 1))
    return np.asarray(share / (k + share * (1 - k)))
