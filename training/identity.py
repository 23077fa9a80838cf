"""Is it still the same person? Faces as vectors of dlib's recognition network.

King, "Dlib-ml", JMLR 2009; the ResNet is the one in PyPI's `face_recognition_models` (CC0), run by
`dlib-bin`. Two pictures of one person are usually under 0.6 apart (dlib's own threshold).
"""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.errors import MissingDependency
from mdth.face import topology

log = logging.getLogger("mdth")

PACKAGES = ("dlib", "face_recognition_models")


class Recogniser:
    """Faces -> vectors. Raises MissingDependency where dlib or its models are not installed."""

    def __init__(self) -> None:
        specs = [find_spec(name) for name in PACKAGES]
        if not all(specs):
            raise MissingDependency(
                "this needs dlib and its models: "
                "pip install dlib-bin, and --no-deps face_recognition_models"
            )
        import dlib

        models = Path(str(specs[1].origin if specs[1] else "")).parent / "models"
        self._dlib: Any = dlib
        self._points = self._dlib.shape_predictor(
            str(models / "shape_predictor_5_face_landmarks.dat")
        )
        self._network = self._dlib.face_recognition_model_v1(
            str(models / "dlib_face_recognition_resnet_model_v1.dat")
        )

    @classmethod
    def found(cls) -> Self | None:
        """One, or None, which is said, where it is not installed."""
        try:
            return cls()
        except MissingDependency as error:
            log.warning("%s", error)
            return None

    def vector(self, picture: Frame, mesh: FloatArray) -> FloatArray:
        """[128] of the face whose mesh [478,3] px lies in the picture RGB uint8 [H,W,3]."""
        brows = float(mesh[topology.BROW_LEFT, 1].min())
        low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
        box = self._dlib.rectangle(*(round(float(v)) for v in (low[0], brows, high[0], high[1])))
        whole = np.ascontiguousarray(picture)
        shape = self._points(whole, box)
        return np.array(self._network.compute_face_descriptor(whole, shape))
