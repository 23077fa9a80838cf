"""The shipped mouth network: conditions -> colours inside the lips and at their rim.

Fine detail is raised, which an average of possible mouths lacks. How much, and whose teeth are
shown, was chosen by `training.mouth_measure` on the clips for choosing, and by looking at stills.
"""

from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.render import lower_teeth, upper_teeth
from mdth.embedded.render.conditions import CHANNELS
from mdth.embedded.render.lips import Layer
from mdth.embedded.render.tone import SKIN, Tone, brightness
from mdth.errors import CheckpointError
from mdth.face.smoothing import smoothstep
from mdth.files import networks

if TYPE_CHECKING:
    import onnxruntime

NAME = "mouth"
# Of a plane of conditions, log2 picture px a px, halved: where a portrait counts as soft, as sharp.
SOFT, SHARP = -0.5, 0.0
# How much the detail is raised on soft and sharp portraits; only what is brighter than around it,
# since dark flecks between teeth are what an eye finds first.
RAISED = (0.0, 1.0)
# How much of the teeth's hue is the portrait's guess, beside skin of so many levels: on dark skin
# the network's is green or brown, on light skin it is the real one (lips and tongue throw light).
TINT_SKIN, TINT = (100.0, 160.0), (0.8, 0.2)
# Teeth beside darker skin are as light as beside skin of so many levels, but of what is lighter
# than the third only by a share: smiles beside skin of 80 to 120 levels show teeth of 171 to 183,
# beside 140 to 180 levels of 188 to 192. Teeth guessed to be darker than the last are in dim light.
SKIN_LEVEL, POWER, BRIGHT, SHARE, LIT_TOOTH = 160.0, 1.2, 90.0, 0.5, 140.0
# Detail is what a blur of so many px takes away.
DETAIL_PX = 2.0


class MouthNetwork:
    """A mouth network on one CPU thread; `paint` may be called from several threads at once."""

    def __init__(self, session: "onnxruntime.InferenceSession") -> None:
        self._session = session

    def paint(self, planes: Layer, tone: Tone) -> Layer:
        """Conditions [14,h,w] (see `conditions`) -> colours RGB float32 0..255 [3,h,w]."""
        return finished(self.relative(planes), planes, tone)

    def relative(self, planes: Layer) -> Layer:
        """The network alone: colours relative to the skin, about -1..1 [3,h,w]."""
        (inside,) = self._session.run(None, {"conditions": planes[None]})
        return np.asarray(inside[0], np.float32)


@cache
def shipped() -> MouthNetwork:
    """The network in `weights`. Raises CheckpointError: missing or damaged."""
    session, _ = networks.load(NAME)
    channels = session.get_inputs()[0].shape[1]
    if channels != CHANNELS:
        raise CheckpointError(
            f"{NAME}.onnx takes {channels} planes, not {CHANNELS}; install mdth again"
        )
    return MouthNetwork(session)


def finished(painted: Layer, planes: Layer, tone: Tone) -> Layer:
    """Colours RGB 0..255 [3,h,w] of what was painted, relative to the skin, from conditions."""
    raised = float(np.interp(planes[10, 0, 0], (SOFT, SHARP), RAISED))
    # Only what is well inside of the lips, and by what is there.
    inside = planes[3]
    blurred = np.stack([_blurred(plane) for plane in painted * inside]) / (_blurred(inside) + 1e-3)
    detail = np.maximum(2 * inside - 1, 0) * np.maximum(painted - blurred, 0)
    tooth = tone.absolute(planes[11:14, 0, 0])
    colours = _lit(painted + raised * detail, tone, tooth, inside)
    colours = _tooth_coloured(colours, tooth, tone, inside)
    upper = upper_teeth.shape(colours, tone.absolute(planes[4:7]), planes, tooth)
    lower_teeth.shape(colours, painted, planes, upper)
    return colours


def _lit(painted: Layer, tone: Tone, tooth: Layer, inside: Layer) -> Layer:
    """Colours RGB 0..255 [3,h,w]; teeth [3] are as light beside dark skin as beside light skin."""
    colours, skin = tone.absolute(painted), _skin(tone)
    lit = min(1.0, float(tooth.mean()) / LIT_TOOTH)
    darker = float(SKIN_LEVEL / skin.mean()) * lit * lit
    if darker <= 1:
        return colours
    as_light = Tone.of(skin * darker**POWER).absolute(painted)
    level = brightness(as_light)
    more = np.minimum(level, BRIGHT + SHARE * (level - BRIGHT)) - brightness(colours)
    # No steeper, or dim teeth beside lighter ones are pegs.
    relative, red = brightness(painted), (painted[0] + 1) / (painted[1] + 1.01)
    share = smoothstep((relative + 0.7) / 0.8) * smoothstep((1.25 - red) / 0.35)
    share *= inside * np.maximum(more, 0) / np.maximum(level, 1)
    return np.asarray(colours + share * as_light, np.float32)


def _tooth_coloured(colours: Layer, tooth: Layer, tone: Tone, inside: Layer) -> Layer:
    """What is bright and not red takes the hue of teeth [3]."""
    tint = np.interp(_skin(tone).mean(), TINT_SKIN, TINT).astype(np.float32)
    level = brightness(colours) / tooth.mean()
    red = colours[0] / np.maximum(colours[1], 1)
    share = tint * smoothstep((level - 0.25) / 0.35) * smoothstep((1.6 - red) / 0.4)
    colours += share * inside * (level * tooth[:, None, None] - colours)
    return colours


def _skin(tone: Tone) -> FloatArray:
    """The colour of skin, RGB [3]."""
    return tone.absolute(np.full(3, 2 * SKIN - 1, np.float32))


def _blurred(x: Layer) -> Layer:
    return np.asarray(cv2.GaussianBlur(x, (0, 0), DETAIL_PX), np.float32)
