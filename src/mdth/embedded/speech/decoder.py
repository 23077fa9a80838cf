"""What is heard in a window -> coefficients of the face's offsets: the shipped decoder."""

from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import WindowScheme
from mdth.errors import CheckpointError
from mdth.face import topology
from mdth.files import networks


class Decoder:
    """The network `faceformer` with the window scheme it was trained for.

    scheme: how a sound is cut. basis: float32 [K, 478, 3], the offsets (face frame, eye distances)
    of one unit of each coefficient.
    """

    def __init__(self, folder: Path = networks.WEIGHTS) -> None:
        """Load `faceformer.onnx` and its card. Raises CheckpointError."""
        self._session, card = networks.load("faceformer", folder)
        try:
            self.scheme = WindowScheme(**card["config"]["window_scheme"])
            heard = np.zeros((1, self.scheme.frames, card["config"]["inputs"]), np.float32)
            (basis,) = self._session.run(["basis"], {"heard": heard})
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder / 'faceformer.json'}: not this program's model card ({error}); "
                "install mdth again"
            ) from error
        self.basis: FloatArray = basis.reshape(-1, topology.VERTEX_COUNT, 3)

    def coefficients(self, heard: FloatArray) -> FloatArray:
        """Coefficients float32 [T,K] of what is heard in one window, [T,368]."""
        (found,) = self._session.run(["coefficients"], {"heard": heard[None]})
        return np.asarray(found[0])
