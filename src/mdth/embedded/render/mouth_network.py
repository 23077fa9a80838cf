"""The shipped mouth network, where there is one: conditions -> colours inside the lips.

It learnt from many frames of soft video and from few sharp stills. On a sharp portrait half of its
change of the drawing is taken, and everywhere the fine detail is raised, which an average of
possible mouths lacks. Both were chosen by `training.mouth_measure`, on the very people that it
measures, and by looking at stills.
"""

from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mdth.embedded.render.conditions import CHANNELS
from mdth.embedded.render.lips import Layer
from mdth.embedded.render.tone import Tone
from mdth.errors import CheckpointError
from mdth.files import networks

if TYPE_CHECKING:
    import onnxruntime

NAME = "mouth"
# Of a plane of conditions, log2 picture px a px, halved: where a portrait counts as soft, as sharp.
SOFT, SHARP = -0.5, 0.0
# The share of the network's change, and how much the detail is raised, on soft and sharp portraits.
SHARES = (1.0, 0.5)
RAISED = (0.5, 0.9)
# Detail is what a blur of so many px takes away.
DETAIL_PX = 2.0


class MouthNetwork:
    """A mouth network on one CPU thread; `paint` may be called from several threads at once."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session = session

    def paint(self, planes: Layer, tone: Tone) -> Layer:
        """Conditions [14,h,w] (see `conditions`) -> colours RGB float32 0..255 [h,w,3]."""
        made = finished(self.relative(planes), planes)
        return np.asarray(tone.absolute(made), np.float32)

    def relative(self, planes: Layer) -> Layer:
        """The network alone: colours relative to the skin, about -1..1 [h,w,3]."""
        (inside,) = self._session.run(None, {"conditions": planes[None]})
        return np.asarray(inside[0].transpose(1, 2, 0), np.float32)


@cache
def shipped() -> MouthNetwork | None:
    """The network in `weights`; None where none is shipped. Raises CheckpointError: damaged."""
    if not (networks.WEIGHTS / f"{NAME}.onnx").is_file():
        return None
    session, _ = networks.load(NAME)
    channels = session.get_inputs()[0].shape[1]
    if channels != CHANNELS:
        raise CheckpointError(
            f"{NAME}.onnx takes {channels} planes, not {CHANNELS}; install mdth again"
        )
    return MouthNetwork(session)


def finished(painted: Layer, planes: Layer) -> Layer:
    """Colours [h,w,3] relative to the skin, by the conditions [14,h,w] they were painted from."""
    sharp = float(np.clip((planes[10, 0, 0] - SOFT) / (SHARP - SOFT), 0, 1))
    drawn = planes[4:7].transpose(1, 2, 0)
    share, raised = (float(np.interp(sharp, (0, 1), ends)) for ends in (SHARES, RAISED))
    mixed = drawn + share * (painted - drawn)
    # Outside of the lips the network has learnt nothing: the blur must not bring that in.
    inside = np.ascontiguousarray(planes[3])
    weight = _blurred(inside)[..., None] + 1e-3
    detail = mixed - _blurred(mixed * inside[..., None]) / weight
    return np.asarray(mixed + raised * detail, np.float32)


def _blurred(x: Layer) -> Layer:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), DETAIL_PX), np.float32)
