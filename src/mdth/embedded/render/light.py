"""What a portrait says about the light in its mouth."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.face import geometry, topology

# How bright teeth are, relative to the skin.
TOOTH_LEVEL = 0.55
# The lightest levels of a face in dim light and in enough, of skin however dark.
DIM, LIT = 40.0, 100.0
# The hue of teeth and of eye whites, and how much of how whites differ from it teeth share: 39
# people's smiles and 38 portraits under lights of all kinds.
HUE, WHITES_HUE, WHITES_SHARE = np.array([1.063, 0.987, 0.95]), np.array([1.059, 0.975, 0.966]), 0.3
# The inside of a mouth, relative to its lips.
FLESH = np.array([0.85, 0.62, 0.62])


@dataclass(frozen=True)
class Light:
    """Colours of this portrait, RGB 0..255; slope: relative change of light per eye distance."""

    skin: FloatArray
    tooth: FloatArray
    flesh: FloatArray
    dark: FloatArray
    slope: float

    def toothlike(self, colours: FloatArray) -> npt.NDArray[np.bool_]:
        """Which colours, RGB 0..255 [...,3], are bright and less red than flesh: [...]."""
        flesh = self.flesh[0] / max(self.flesh[1], 1)
        bright = colours.mean(-1) > TOOTH_LEVEL * self.skin.mean()
        return np.asarray(bright & (colours[..., 0] < (1 + flesh) / 2 * colours[..., 1]))


def measure_light(image: Frame, mesh: FloatArray) -> Light:
    """What a portrait's own skin, lips and eye whites say about the light in its mouth."""
    left, right = cheeks(image, mesh)
    skin = (left + right) / 2
    lips = _patch(image, mesh, (17, 84, 314, 0, 37, 267), 0.015)
    level = float(skin.mean())
    white = _eye_white(image, mesh)
    lit = np.clip((_lightest(image, mesh) - DIM) / (LIT - DIM), 0, 1)
    # The whites name the light's colour; how bright teeth may be is bounded by the skin's level.
    bright = np.clip(white.mean(), max(1.3 * level, 175 * lit), max(1.5 * level, 205 * lit))
    tint = np.maximum(HUE + WHITES_SHARE * (white / white.mean() - WHITES_HUE), 0.7)
    slope = float(np.clip((right.mean() - left.mean()) / (level + 1) / 1.1, -0.5, 0.5))
    flesh = lips * FLESH
    return Light(skin, np.minimum(bright * tint, 250), flesh, flesh * 0.16 + [6, 2, 2], slope)


def _lightest(image: Frame, mesh: FloatArray) -> float:
    """The level of the lightest vertices of a face: of skin that is dark they shine."""
    x, y = np.clip(np.round(mesh[:, :2].T).astype(int), 0, [[image.shape[1] - 1], [len(image) - 1]])
    return float(np.quantile(image[y, x].mean(-1), 0.98))


def cheeks(image: Frame, mesh: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Colours of the left and right cheek, RGB [3] each."""
    left, right = (_patch(image, mesh, side, 0.04) for side in ((205, 50), (425, 280)))
    return left, right


def _patch(image: Frame, mesh: FloatArray, vertices: tuple[int, ...], size: float) -> FloatArray:
    reach = max(1, round(size * float(geometry.eye_distance(mesh))))
    colours = []
    for x, y in np.round(mesh[list(vertices), :2]).astype(int):
        part = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
        if part.size:
            colours.append(np.median(part.reshape(-1, 3), axis=0))
    return np.mean(colours, axis=0) if colours else np.array([128.0, 100.0, 90.0])


def _eye_white(image: Frame, mesh: FloatArray) -> FloatArray:
    """Median colour of the brightest third of the eyes outside the irises, RGB [3]."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for (eye, *_), iris in zip(topology.EYES, topology.IRISES, strict=True):
        cv2.fillPoly(mask, [np.round(mesh[eye, :2]).astype(np.int32)], 255)
        radius = np.linalg.norm(mesh[iris[1:], :2] - mesh[iris[0], :2], axis=1).mean()
        cv2.circle(mask, np.round(mesh[iris[0], :2]).astype(int).tolist(), round(radius), 0, -1)
    pixels = image[mask > 0].astype(float)
    if len(pixels) < 6:
        return np.array([200.0, 195.0, 188.0])
    return brightest_third(pixels) + 1.0


def brightest_third(pixels: FloatArray) -> FloatArray:
    """Median colour of the brightest third of pixels [N,3], RGB [3]."""
    level = pixels.mean(1)
    return np.asarray(np.median(pixels[level >= np.quantile(level, 0.67)], axis=0))
