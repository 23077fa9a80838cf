"""The inside of the opened mouth: cavity, tongue, teeth, drawn and lit from the portrait.

The upper teeth belong to the skull and the lower ones with the tongue to the jaw, so neither floats
with the lips. A portrait that shows its own upper teeth keeps them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import Portrait
from mdth.bfv2v import teeth
from mdth.bfv2v.motion import Rigid, smoothstep
from mdth.face import geometry, topology

FloatArray = npt.NDArray[np.floating]
Layer = npt.NDArray[np.float32]

# Chin vertices that follow the jaw bone but not the lips.
JAW = (18, 200, 199, 175, 152, 148, 377)
# Biting edges from the line of the closed lips, eye distances, down positive.
UPPER_EDGE, LOWER_EDGE, TONGUE_TIP = 0.035, 0.034, 0.17
# Lips and lids nearer than this begin to close, px.
CLOSED_PX = 1.5
# Own teeth are kept when the portrait's inner lips are at least this far apart, eye distances.
OWN_TEETH_GAP = 0.05


def lip_outline(mesh: FloatArray) -> FloatArray:
    """The inner lips as a smooth closed line [N,2] px, from the mesh's 20 points."""
    ring = mesh[topology.LIPS_INNER, :2]
    upper = _smooth(ring[:11])
    lower = _smooth(np.concatenate([ring[10:], ring[:1]]))
    return np.concatenate([upper, lower[1:-1]])


def _smooth(points: FloatArray, steps: int = 4) -> FloatArray:
    """Catmull-Rom through open points [N,2]."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    u = (np.arange(steps) / steps)[:, None, None]
    line = 0.5 * (
        2 * p1
        + (p2 - p0) * u
        + (2 * p0 - 5 * p1 + 4 * p2 - p3) * u**2
        + (3 * p1 - p0 - 3 * p2 + p3) * u**3
    )
    return np.concatenate([line.transpose(1, 0, 2).reshape(-1, 2), points[-1:]])


def cover(outline: FloatArray, size: tuple[int, int], soft_px: float) -> Layer:
    """How much of each pixel of (width, height) lies inside a closed line [N,2] px, 0..1.

    The line runs from its left corner over the top and back. OpenCV draws a line even where top and
    bottom touch, so the cover fades with the gap below about a pixel, to nothing where they meet.
    """
    mask = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(mask, (0, 0), soft_px).astype(np.float32) / 255
    turn = int(np.argmax(outline[:, 0]))
    top, bottom = outline[: turn + 1], np.concatenate([outline[turn:], outline[:1]])[::-1]
    columns = np.arange(size[0], dtype=float)
    gap: FloatArray = _heights(columns, bottom) - _heights(columns, top)
    return np.asarray(blurred * smoothstep(gap / CLOSED_PX)[None], np.float32)


def _heights(columns: FloatArray, line: FloatArray) -> FloatArray:
    """Where a line [N,2] px from left to right crosses each column."""
    heights: FloatArray = np.interp(columns, np.maximum.accumulate(line[:, 0]), line[:, 1])
    return heights


@dataclass(frozen=True)
class Light:
    """Colours of this portrait, RGB 0..255; slope: relative change of light per eye distance."""

    tooth: FloatArray
    flesh: FloatArray
    dark: FloatArray
    slope: float


def measure_light(portrait: Portrait) -> Light:
    """What the portrait's own skin, lips and eye whites say about the light in its mouth."""
    image, mesh = portrait.image, portrait.mesh

    def patch(vertices: tuple[int, ...], size: float) -> FloatArray:
        reach = max(1, round(size * float(geometry.eye_distance(mesh))))
        colours = []
        for x, y in np.round(mesh[list(vertices), :2]).astype(int):
            part = image[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
            if part.size:
                colours.append(np.median(part.reshape(-1, 3), axis=0))
        return np.mean(colours, axis=0) if colours else np.array([128.0, 100.0, 90.0])

    left, right = patch((205, 50), 0.04), patch((425, 280), 0.04)
    skin = (left + right) / 2
    lips = patch((17, 84, 314, 0, 37, 267), 0.015)
    level = float(skin.mean())
    white = _eye_white(portrait)
    # The whites name the light's colour; how bright teeth may be is bounded by the skin's level.
    bright = np.clip(white.mean(), max(1.0 * level, 105), max(1.25 * level, 165))
    tint = np.clip(white / white.mean(), 0.9, 1.1) * np.array([1.03, 1.0, 0.94])
    slope = float(np.clip((right.mean() - left.mean()) / (level + 1) / 1.1, -0.5, 0.5))
    flesh = lips * np.array([0.85, 0.62, 0.62])
    return Light(np.minimum(bright * tint, 245), flesh, flesh * 0.16 + [6, 2, 2], slope)


def _eye_white(portrait: Portrait) -> FloatArray:
    """Median colour of the brightest third of the eyes outside the irises, RGB [3]."""
    mesh = portrait.mesh
    mask = np.zeros(portrait.image.shape[:2], np.uint8)
    for eye, iris in (
        (topology.EYE_LEFT, topology.IRIS_LEFT),
        (topology.EYE_RIGHT, topology.IRIS_RIGHT),
    ):
        cv2.fillPoly(mask, [np.round(mesh[eye, :2]).astype(np.int32)], 255)
        radius = np.linalg.norm(mesh[iris[1:], :2] - mesh[iris[0], :2], axis=1).mean()
        cv2.circle(mask, np.round(mesh[iris[0], :2]).astype(int).tolist(), round(radius), 0, -1)
    pixels = portrait.image[mask > 0].astype(float)
    if len(pixels) < 6:
        return np.array([200.0, 195.0, 188.0])
    level = pixels.mean(1)
    white: FloatArray = np.median(pixels[level >= np.quantile(level, 0.67)], axis=0) + 1.0
    return white


class MouthPainter:
    """Paints the inside of one portrait's mouth into its frames."""

    def __init__(self, portrait: Portrait) -> None:
        mesh = portrait.mesh.astype(np.float64)
        self._mesh = mesh
        self._image = portrait.image
        self._eye = float(geometry.eye_distance(mesh))
        self._light = measure_light(portrait)
        self._scale = float(np.clip(1.5 * self._eye, 60, 480))
        self._upper = teeth.tooth_row(teeth.UPPER_TEETH, self._scale, bend=0.02)[::-1].copy()
        self._lower = teeth.tooth_row(teeth.LOWER_TEETH, self._scale, bend=0.015)
        self._tongue = teeth.tongue(self._scale)
        left, right = (mesh[v] for v in topology.MOUTH_CORNERS)
        upper, lower = (mesh[v] for v in topology.LIP_MID_PAIR)
        self.own_teeth = bool(np.linalg.norm(lower - upper) > OWN_TEETH_GAP * self._eye)
        eyes = mesh[topology.OUTER_EYE_CORNERS[1], :2] - mesh[topology.OUTER_EYE_CORNERS[0], :2]
        self._along = eyes / np.linalg.norm(eyes)
        self._down = np.array([-self._along[1], self._along[0]])
        middle = (left + right) / 2
        # The line of the closed lips at the middle of the mouth, a little behind the lips.
        self._stomion = upper + 0.25 * (lower - upper)
        self._stomion[:2] += self._along * ((middle - self._stomion)[:2] @ self._along) * 0.5
        # A jaw that is open in the portrait holds its teeth that much lower.
        self._jaw_rest = self._down * max(0.0, float((lower - self._stomion)[:2] @ self._down))
        self._own_mask = self._own_teeth_mask() if self.own_teeth else np.zeros((1, 1), np.float32)

    def _own_teeth_mask(self) -> Layer:
        """Where the portrait shows teeth: bright and pale inside its own inner lips, 0..1."""
        height, width = self._image.shape[:2]
        inside = cover(lip_outline(self._mesh), (width, height), max(0.6, 0.008 * self._eye))
        return np.asarray(smoothstep((inside - 0.35) / 0.5), np.float32)

    def paint(self, frame: npt.NDArray[np.uint8], driving: FloatArray, rigid: Rigid) -> None:
        """Draw the inside over `frame` (RGB uint8 [H,W,3], changed in place) where lips part."""
        outline = lip_outline(driving)
        margin = 0.1 * self._eye + 2
        height, width = frame.shape[:2]
        low = np.maximum(np.floor(outline.min(0) - margin).astype(int), 0)
        high = np.minimum(np.ceil(outline.max(0) + margin).astype(int), [width, height])
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        if min(size) < 4:
            return
        mask = cover(outline - low, size, max(0.7, 0.008 * self._eye))
        if mask.max() < 0.02:
            return
        inside = self._inside(driving, rigid, low, size)
        inside *= self._shade(mask)[..., None]
        part = frame[low[1] : high[1], low[0] : high[0]]
        mixed = part + mask[..., None] * (inside - part)
        part[:] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)

    def _shade(self, mask: Layer) -> Layer:
        """Lips throw shadow: darker at the rim, most under the upper lip, [h,w] factors."""
        reach = max(1.0, 0.035 * self._eye)
        deep = cv2.GaussianBlur(mask, (0, 0), reach)
        drop = np.array([[1, 0, 0], [0, 1, 0.03 * self._eye]], np.float32)
        below = cv2.warpAffine(deep, drop, (mask.shape[1], mask.shape[0]))
        lit = 0.5 * deep + 0.5 * below
        return np.asarray(0.42 + 0.58 * smoothstep(lit / 0.85), np.float32)

    def _inside(
        self, driving: FloatArray, rigid: Rigid, low: FloatArray, size: tuple[int, int]
    ) -> Layer:
        """Colours behind the lips over a rectangle, RGB float32 [h,w,3]."""
        light = self._light
        skull = rigid.plane(self._stomion)
        jaw = skull.copy()
        drop = driving[list(JAW), :2] - rigid.apply(self._mesh[list(JAW)])[:, :2]
        jaw[:, 2] += drop.mean(0) + skull[:, :2] @ self._jaw_rest
        colours = np.empty((size[1], size[0], 3), np.float32)
        colours[:] = light.dark
        place = (low, size)
        bright, alpha = np.moveaxis(self._lay(self._tongue, jaw, -TONGUE_TIP, place), -1, 0)
        _blend(colours, bright[..., None] * light.flesh * 0.62, alpha)
        lower = self._lay(self._lower, jaw, -LOWER_EDGE, place)
        _blend(colours, self._tooth_colours(lower) * 0.7, lower[..., 3] * 0.9)
        top = UPPER_EDGE - teeth.HEIGHT
        upper = self._lay(self._upper, skull, top, place)
        if self.own_teeth:
            self._lay_own_teeth(colours, skull, place)
        else:
            _blend(colours, self._tooth_colours(upper), upper[..., 3])
        x = np.arange(size[0]) + low[0] - (skull[:, :2] @ self._stomion[:2] + skull[:, 2])[0]
        colours *= np.clip(1 + light.slope * x / self._eye, 0.6, 1.3)[None, :, None]
        return colours

    def _tooth_colours(self, row: Layer) -> FloatArray:
        gum = row[..., 1:2]
        return row[..., :1] * self._light.tooth * (1 - gum) + gum * self._light.flesh * 0.8

    def _lay(
        self,
        texture: Layer,
        motion: FloatArray,
        top: float,
        place: tuple[FloatArray, tuple[int, int]],
    ) -> Layer:
        """A face-frame picture as it falls on a rectangle of the frame.

        Its top edge lies `top` eye distances below the lip line, then `motion` [2,3] px moves it.
        """
        low, size = place
        step = self._eye / self._scale
        axes = np.stack([self._along * step, self._down * step], 1)
        corner = (
            self._stomion[:2]
            - self._along * texture.shape[1] / 2 * step
            + self._down * top * self._eye
        )
        corner = corner + axes @ np.array([0.5, 0.5])
        matrix = np.concatenate(
            [motion[:, :2] @ axes, (motion[:, :2] @ corner + motion[:, 2] - low)[:, None]], 1
        )
        return np.asarray(cv2.warpAffine(texture, matrix, size, flags=cv2.INTER_LINEAR))

    def _lay_own_teeth(
        self, colours: Layer, skull: FloatArray, place: tuple[FloatArray, tuple[int, int]]
    ) -> None:
        """The portrait's own upper teeth, where the skull has taken them."""
        low, size = place
        matrix = skull.copy()
        matrix[:, 2] -= low
        own = np.asarray(cv2.warpAffine(self._image, matrix, size, flags=cv2.INTER_CUBIC), float)
        alpha = np.asarray(cv2.warpAffine(self._own_mask, matrix, size), float)
        _blend(colours, own, alpha)


def _blend(under: Layer, over: FloatArray, alpha: FloatArray) -> None:
    under += np.asarray(alpha, np.float32)[..., None] * (over.astype(np.float32) - under)
