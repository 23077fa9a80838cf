"""The network that paints the inside of the lips."""

import numpy as np

from mdth import networks
from mdth.bfv2v.lips import Layer


class MouthNetwork:
    """`mouth.onnx` of the package, one CPU thread; same input, same picture."""

    def __init__(self) -> None:
        self._session, self.card = networks.load("mouth")

    def paint(self, planes: Layer) -> Layer:
        """Conditions [15,h,w] (see `bfv2v.conditions`) -> colours RGB float32 0..255 [h,w,3]."""
        (inside,) = self._session.run(None, {"conditions": planes[None]})
        return np.asarray((inside[0].transpose(1, 2, 0) + 1) * 127.5, np.float32)
