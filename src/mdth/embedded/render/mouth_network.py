"""The shipped mouth network, where there is one: conditions -> colours inside the lips."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdth.embedded.render.mouth_finish import finished
from mdth.embedded.render.tone import Tone
from mdth.errors import CheckpointError
from mdth.files import networks

if TYPE_CHECKING:
    import onnxruntime

NAME = "mouth"


class MouthNetwork:
    """A mouth network on one CPU thread; `paint` may be called from several threads at once."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session = session

    def paint(self, planes: npt.NDArray[np.float32], tone: Tone) -> npt.NDArray[np.float32]:
        """Conditions [14,h,w] (see `conditions`) -> colours RGB float32 0..255 [h,w,3]."""
        made = finished(self.relative(planes), planes)
        return np.asarray(tone.absolute(made), np.float32)

    def relative(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The network alone: colours relative to the skin, about -1..1 [h,w,3]."""
        (inside,) = self._session.run(None, {"conditions": planes[None]})
        return np.asarray(inside[0].transpose(1, 2, 0), np.float32)


@cache
def shipped() -> MouthNetwork | None:
    """The network in `weights`; None where none is shipped. Raises CheckpointError: damaged."""
    if not (networks.WEIGHTS / f"{NAME}.onnx").is_file():
        return None
    from mdth.embedded.render.conditions import CHANNELS

    session, _ = networks.load(NAME)
    channels = session.get_inputs()[0].shape[1]
    if channels != CHANNELS:
        raise CheckpointError(
            f"{NAME}.onnx takes {channels} planes, not {CHANNELS}; install mdth again"
        )
    return MouthNetwork(session)
