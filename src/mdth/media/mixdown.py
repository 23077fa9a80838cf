"""Channels -> the one that speaks, at the level it has there."""

import av
import numpy as np

from mdth.artefacts import FloatArray

# A channel under this share of the loudest one's energy is silent: the voice is not spread over it.
SILENT = 0.01
# With so much more energy in the difference of two channels than in their sum, they are opposite.
OPPOSITE = 10.0
BASS = ("LFE", "LFE2")


class Mixdown:
    """The voice in channels [C,n], block by block; what is heard by now decides.

    Two channels give their mean, or half their difference where they cancel each other. Of more,
    the centre speaks; where it is silent, the mean of those that are not.
    """

    def __init__(self, layout: str) -> None:
        names = [channel.name for channel in av.AudioLayout(layout).channels]
        self.treble = np.array([name not in BASS for name in names])
        self.centre = names.index("FC") if "FC" in names else None
        self.power = np.zeros((len(names), len(names)))

    def __call__(self, block: FloatArray) -> FloatArray:
        """The next block [C,n] as [1,n]."""
        self.power += block @ block.T
        return (self._weights().astype(block.dtype) @ block)[None]

    def _weights(self) -> FloatArray:
        energy = self.power.diagonal() * self.treble
        if len(energy) == 2:
            both, across = energy.sum(), 2 * self.power[0, 1]
            opposite = both - across > OPPOSITE * (both + across)
            return np.array([0.5, -0.5 if opposite else 0.5])
        heard = self.treble & (energy >= SILENT * energy.max())
        if self.centre is not None and heard[self.centre]:
            heard = np.arange(len(energy)) == self.centre
        return np.asarray(heard / max(1, heard.sum()))
