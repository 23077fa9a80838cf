"""What is heard in a window -> coefficients of the face's offsets: the shipped decoder."""

from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import LiveScheme, WindowScheme
from mdth.errors import CheckpointError
from mdth.face import topology
from mdth.files import networks

Scheme = WindowScheme | LiveScheme


class Decoder:
    """The network `faceformer`, or `faceformer_live`, with the scheme it was trained for.

    scheme: how a sound is cut. basis: float32 [K, 478, 3], the offsets (face frame, eye distances)
    of one unit of each coefficient.
    """

    def __init__(self, folder: Path = networks.WEIGHTS, *, live: bool = False) -> None:
        """Load the network and its card. Raises CheckpointError."""
        name = "faceformer_live" if live else "faceformer"
        self._session, card = networks.load(name, folder)
        try:
            kind = LiveScheme if live else WindowScheme
            self.scheme: Scheme = kind(**card["config"]["window_scheme"])
            heard = np.zeros((1, self.scheme.frames, card["config"]["inputs"]), np.float32)
            (basis,) = self._session.run(["basis"], {"heard": heard})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / name}.json: not this program's model card ({error}); install mdth again"
            ) from error
        self.basis: FloatArray = basis.reshape(-1, topology.VERTEX_COUNT, 3)

    def coefficients(self, heard: FloatArray) -> FloatArray:
        """Coefficients float32 [T,K] of what is heard in one window, [T,368]."""
        (found,) = self._session.run(["coefficients"], {"heard": heard[None]})
        return np.asarray(found[0])
