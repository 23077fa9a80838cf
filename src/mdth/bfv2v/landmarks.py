"""What drives the generator: 68 normalised landmarks and how they lie in the picture."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SCALE = 128.0
"""Half of a picture's side, px: value times scale is in the unit U takes."""

FloatArray = npt.NDArray[np.floating]


class Landmarks(NamedTuple):
    """One face.

    value: [68,3] normalised landmarks (model space, mm) divided by scale.
    U: [4,4], maps rows [x y z 1] of normalised landmarks to pixels: (viewport @ projection @
    modelview) transposed. scale: see `SCALE`; another size of picture has another.
    """

    value: FloatArray
    U: FloatArray
    scale: float = SCALE
