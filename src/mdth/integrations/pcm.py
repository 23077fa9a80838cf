"""Sound as other programs have it: 16-bit PCM."""

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray

Pcm = npt.NDArray[np.int16]


def of_sound(sound: FloatArray) -> Pcm:
    """Of float [n], full scale 1."""
    return np.asarray(np.round(np.clip(sound, -1, 1) * 32767), np.int16)


def mono(data: bytes | bytearray | memoryview, channels: int) -> Pcm:
    """The mean of interleaved channels."""
    pcm = np.frombuffer(data, np.int16).reshape(-1, channels)
    return pcm.mean(axis=1).astype(np.int16) if channels > 1 else pcm[:, 0]
