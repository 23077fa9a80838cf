"""Cheeks: what the head says of them, and how they answer to the mouth."""

from functools import cache

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.motion.mouth import SPEECH_WEIGHTS
from mdth.embedded.motion.spread import spread
from mdth.face import topology
from mdth.motion.bank import CHEEKS, bank, mouth_shape


@cache
def _skin() -> FloatArray:
    """[478,C] from the cheeks: eyes, nose, lips and the outline rest."""
    nose = np.flatnonzero(np.abs(topology.CANONICAL[:, 0]) < 0.12)
    rest = [topology.UPPER_FACE, topology.LIPS_OUTER, topology.FACE_OVAL, nose]
    return spread(CHEEKS, np.concatenate(rest))


def move_cheeks(face: FloatArray, neutral: FloatArray, offsets: FloatArray) -> FloatArray:
    """Offsets [478,3] for offsets [C,3] of `CHEEKS` and a mouth that moved from `neutral`.

    Where the speech moves the skin itself, it is left to it.
    """
    answer = bank().cheeks @ (mouth_shape(face) - mouth_shape(neutral))
    return np.asarray(_skin() @ (offsets + answer * (1 - SPEECH_WEIGHTS[CHEEKS, None])))
