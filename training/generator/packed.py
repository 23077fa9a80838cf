"""Crops of clips with their landmarks in one file, read with numpy and Pillow alone."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import Frame


class Packed(NamedTuple):
    """What the file holds of N frames of C clips.

    jpeg: uint8 bytes of all frames. ends: [N], where each frame's end. clip: [N], its clip's
    number. value: float32 [N,68,3]. U: float32 [N,4,4]. names: [C].
    """

    jpeg: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]
    clip: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    U: npt.NDArray[np.float32]
    names: npt.NDArray[np.str_]

    def save(self, path: Path) -> None:
        """Write the file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, **self._asdict())

    @classmethod
    def load(cls, path: Path) -> "Packed":
        """Read what `save` wrote."""
        with np.load(path) as found:
            return cls(*(found[name] for name in cls._fields))

    def frame(self, index: int) -> Frame:
        """RGB uint8 [256,256,3]."""
        start = self.ends[index - 1] if index else 0
        content = self.jpeg[start : self.ends[index]].tobytes()
        return np.asarray(PillowImage.open(io.BytesIO(content)).convert("RGB"))
