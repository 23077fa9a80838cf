"""Pictures of HDR and wide-gamut clips -> BT.709, as screens and the networks expect them."""

from functools import cache

import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorTrc

from mdth.artefacts import FloatArray, Frame

# What a clip's own white is shown as: ITU-R BT.2408 puts it at 203 cd/m2, and at 75 % of HLG.
WHITE_NITS = 203.0
WHITE_HLG = 0.75
BRIGHTEST = 4.0  # of white; what is brighter is white
KNEE = 0.95  # of the picture's range; highlights are squeezed in above
INPUT_LEVELS = 4096
OUTPUT_LEVELS = 65536
_TO_BT709 = {
    ColorPrimaries.BT2020: [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ],
    ColorPrimaries.SMPTE432: [  # Display P3
        [1.224940, -0.224940, 0.0],
        [-0.042057, 1.042057, 0.0],
        [-0.019638, -0.078636, 1.098274],
    ],
}


def needs_conversion(trc: int, primaries: int) -> bool:
    """Whether a clip with such tags would look washed out as it is."""
    return primaries in _TO_BT709 or trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def to_bt709(rgb: np.ndarray, trc: int, primaries: int) -> Frame:
    """RGB uint16 [H,W,3] with a clip's transfer and primaries, as uint8 of BT.709."""
    light = _light(trc)[rgb >> 4]
    if primaries in _TO_BT709:
        light = cv2.transform(light, np.array(_TO_BT709[ColorPrimaries(primaries)], np.float32))
    # The square root gives dark tones their share of the table.
    place = np.sqrt(np.clip(light, 0, BRIGHTEST, out=light), out=light)
    place *= (OUTPUT_LEVELS - 1) / BRIGHTEST**0.5
    return np.asarray(_levels(trc)[place.astype(np.uint16)])


@cache
def _light(trc: int) -> FloatArray:
    """Signal -> linear light, white 1: SMPTE ST 2084 (PQ), ARIB STD-B67 (HLG), else BT.1886."""
    signal = np.linspace(0, 1, INPUT_LEVELS)
    if trc == ColorTrc.SMPTE2084:
        root = signal ** (1 / 78.84375)
        nits = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        light = 10_000 / WHITE_NITS * nits ** (1 / 0.1593017578125)
    elif trc == ColorTrc.ARIB_STD_B67:
        light = _hlg_light(signal) / _hlg_light(np.array(WHITE_HLG))
    else:
        light = signal**2.4
    return light.astype(np.float32)


def _hlg_light(signal: FloatArray) -> FloatArray:
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


@cache
def _levels(trc: int) -> Frame:
    """Light -> 8 bits, highlights squeezed: HLG is a camera's (BT.709), the others a screen's."""
    light = BRIGHTEST * np.linspace(0, 1, OUTPUT_LEVELS) ** 2
    if trc == ColorTrc.ARIB_STD_B67:
        signal = np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)
    else:
        signal = light ** (1 / 2.4)
    squeezed = KNEE + (1 - KNEE) * (1 - np.exp((KNEE - signal) / (1 - KNEE)))
    signal = np.where(signal > KNEE, squeezed, signal)
    return np.round(255 * signal).astype(np.uint8)
