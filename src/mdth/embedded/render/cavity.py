"""The drawn inside of a mouth: dark, tongue, teeth, lit from the portrait.

The upper teeth belong to the skull and the lower ones with the tongue to the jaw, so neither floats
with the lips. A portrait that shows its own upper teeth keeps them, over whatever paints the rest.
"""

import math
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render import teeth
from mdth.embedded.render.light import Light, brightest_third, measure_light
from mdth.embedded.render.lips import Layer, filled, lip_outline
from mdth.embedded.render.motion import Rigid
from mdth.embedded.render.tone import Tone
from mdth.face import geometry, topology
from mdth.face.smoothing import smoothstep

# Chin vertices that follow the jaw bone but not the lips.
JAW = (18, 200, 199, 175, 152, 148, 377)
# Biting edges and the tongue's tip from the line of the closed lips, eye distances.
UPPER_EDGE, LOWER_EDGE, TONGUE_TIP = 0.03, 0.006, 0.15
# How far the teeth go with the chin: its skin is pulled along by the lips.
JAW_SHARE = 0.8
# A camera's own softness, px of the picture: nothing drawn is sharper.
SOFT_PX = 0.8
# Width of the lips' shadow, eye distances; its share on own teeth.
SHADOW, OWN_SHADE = 0.035, 0.8
# Light on the lower row, and how much of it comes from tongue and lips.
LOWER_LIGHT, LOWER_WARM = 0.76, 0.25
# Own teeth are kept when the portrait's inner lips are at least this far apart, eye distances.
OWN_TEETH_GAP = 0.05
# The share of a mouth that has to look like teeth, and on how much of the picture, square eye
# distances: lips just parted show a strip of them.
TOOTHLIKE, TOOTH_AREA = 0.6, 0.01
# How much of the lower lip the tracked inner line takes in, eye distances.
WET = 0.018


class View(NamedTuple):
    """A rectangle to draw on: matrix [2,3] takes picture px to its px; size (width, height)."""

    matrix: FloatArray
    size: tuple[int, int]

    def of(self, motion: FloatArray) -> FloatArray:
        """The affine [2,3] that moves picture points by `motion` [2,3], then into the view."""
        turn = self.matrix[:, :2]
        return np.column_stack([turn @ motion[:, :2], turn @ motion[:, 2] + self.matrix[:, 2]])

    @property
    def scale(self) -> float:
        """View px per picture px."""
        (a, b, _), (c, d, _) = self.matrix.tolist()
        return math.sqrt(abs(a * d - b * c))


class Bones(NamedTuple):
    """How skull and jaw have moved since the portrait, affines [2,3] of picture px."""

    skull: FloatArray
    jaw: FloatArray


class Cavity:
    """Draws what is behind one portrait's lips; show_own: and keeps the teeth it shows itself.

    light: instead of the portrait's.
    """

    def __init__(
        self, portrait: Portrait, *, show_own: bool = True, light: Light | None = None
    ) -> None:
        mesh = portrait.mesh.astype(np.float64)
        self._mesh = mesh
        self._image = portrait.image
        self.eye_distance = float(geometry.eye_distance(mesh))
        self.light = light or measure_light(portrait.image, portrait.mesh)
        self._scale = float(np.clip(1.5 * self.eye_distance, 60, 480))
        left, right = (mesh[v, :2] for v in topology.OUTER_EYE_CORNERS)
        self.along = (right - left) / np.linalg.norm(right - left)
        self.down = np.array([-self.along[1], self.along[0]])
        upper, lower = (mesh[v] for v in topology.LIP_MID_PAIR)
        middle = mesh[list(topology.MOUTH_CORNERS), :2].mean(0)
        # The line of the closed lips at the middle of the mouth, px.
        self.stomion = upper + 0.25 * (lower - upper)
        aside = (middle - self.stomion[:2]) @ self.along
        self.stomion[:2] += 0.5 * aside * self.along
        # A jaw that is open in the portrait holds its teeth that much lower.
        self._jaw_rest = self.down * max(0.0, float((lower - self.stomion)[:2] @ self.down))
        # How far apart the portrait's lips are, eye distances.
        self.gap = gap = float(geometry.lip_opening(mesh)) / self.eye_distance
        self.own_teeth = show_own and gap > OWN_TEETH_GAP
        # How much of a closed mouth's line has to be drawn, because the portrait does not show it.
        self.seam = float(smoothstep(np.array((gap - 0.4 * OWN_TEETH_GAP) / (0.6 * OWN_TEETH_GAP))))
        if self.own_teeth:
            self._own_mask = self._own_teeth_mask()
            shown = self._image[self._own_mask > 0.8].astype(float)
            pixels = int(self.light.toothlike(shown).sum())
            area = pixels / self.eye_distance**2
            self.own_teeth = pixels > TOOTHLIKE * len(shown) and area > TOOTH_AREA
        if self.own_teeth:
            self.light = replace(self.light, tooth=self._own_tooth_colour(shown))

    @cached_property
    def tone(self) -> Tone:
        """Of the portrait's skin."""
        return Tone.of(self.light.skin)

    @cached_property
    def _upper(self) -> Layer:
        row = teeth.tooth_row(teeth.UPPER_TEETH, self._scale, bend=0.02)[::-1]
        return np.dstack([self._tooth_colours(row), row[..., 3]])

    @cached_property
    def _lower(self) -> Layer:
        row = teeth.tooth_row(teeth.LOWER_TEETH, self._scale, bend=0.015, between=0.24, fade=0.4)
        flesh = self.light.flesh.astype(np.float32)
        warm = (1 - LOWER_WARM) * self._tooth_colours(row) + LOWER_WARM * flesh
        return np.dstack([warm * LOWER_LIGHT, row[..., 3] * 0.9])

    @cached_property
    def _tongue(self) -> Layer:
        bright, cover = cv2.split(teeth.tongue(self._scale))
        flesh = self.light.flesh.astype(np.float32)
        return np.dstack([bright[..., None] * flesh * np.float32(0.62), cover])

    def _own_teeth_mask(self) -> Layer:
        """Where the portrait looks into its own mouth, 0..1 [H,W]."""
        height, width = self._image.shape[:2]
        soft = max(1.2, 0.012 * self.eye_distance)
        inside = filled(lip_outline(self._mesh), (width, height), soft)
        seen = np.asarray(smoothstep((inside - 0.35) / 0.5), np.float32)
        # The tracked line runs into the wet of the lower lip, which stays with the jaw.
        wet = max(1, round(WET * self.eye_distance))
        seen[:-wet] = np.minimum(seen[:-wet], seen[wet:])
        return seen

    def _own_tooth_colour(self, seen: FloatArray) -> FloatArray:
        """Colour of the brightest third of what is seen of a mouth, RGB [N,3] -> [3].

        It may be all dark or all tongue: then teeth are as bright as other faces' are at least.
        """
        tooth = self.light.tooth
        if len(seen) < 12:
            return tooth
        bright = brightest_third(seen)
        share = smoothstep((bright.mean() / tooth.mean() - 0.5) / 0.2)
        return np.asarray(tooth + share * (bright - tooth))

    def bones(self, driving: FloatArray, rigid: Rigid) -> Bones:
        """Where skull and jaw are in a driving mesh [478,3] px."""
        skull = rigid.plane(self.stomion)
        jaw = skull.copy()
        chin = driving[list(JAW), :2] - rigid.apply(self._mesh[list(JAW)])[:, :2]
        jaw[:, 2] += JAW_SHARE * chin.mean(0) + skull[:, :2] @ self._jaw_rest
        return Bones(skull, jaw)

    def draw(self, bones: Bones, mask: Layer, view: View) -> Layer:
        """Colours behind the lips, RGB float32 0..255 [3,h,w]; mask [h,w]: inside the lips.

        Without teeth of its own, see `keep_own`.
        """
        skull = view.of(bones.skull)
        colours = self._behind(bones, view)
        soft = SOFT_PX * view.scale
        if soft > 0.4:
            for plane in colours:
                cv2.GaussianBlur(plane, _kernel(soft), soft, dst=plane)
        unit = self.eye_distance * view.scale
        middle = skull @ np.append(self.stomion[:2], 1)
        x = (np.arange(view.size[0]) - middle[0]) / unit
        light = np.clip(1 + self.light.slope * x, 0.6, 1.3).astype(np.float32)
        colours *= light * _shadow(mask, unit)
        return colours

    def keep_own(self, colours: Layer, bones: Bones, mask: Layer, view: View) -> None:
        """Lay the teeth that the portrait shows itself over `colours` (changed in place)."""
        if self.own_teeth:
            skull = view.of(bones.skull)
            shown = np.asarray(cv2.warpAffine(self._own_mask, skull, view.size), np.float32)
            own = cv2.warpAffine(self._image, skull, view.size, flags=cv2.INTER_CUBIC).astype(float)
            # Its own light is in the picture; only lips that come nearer than there shade more.
            shadow = _shadow(mask, self.eye_distance * view.scale)[..., None]
            own = (own * (1 - OWN_SHADE + OWN_SHADE * shadow)).astype(np.float32)
            colours += shown[..., None] * (own - colours)

    def _behind(self, bones: Bones, view: View) -> Layer:
        """Dark, tongue and drawn teeth under even light, RGB float32 0..255 [3,h,w]."""
        colours = np.empty((3, view.size[1], view.size[0]), np.float32)
        colours[:] = self.light.dark[:, None, None]
        for texture, top, bone in (
            (self._tongue, -TONGUE_TIP, bones.jaw),
            (self._lower, -LOWER_EDGE, bones.jaw),
            (self._upper, UPPER_EDGE - teeth.HEIGHT, bones.skull),
        ):
            *laid, alpha = cv2.split(self._lay(texture, top, view.of(bone), view.size))
            for under, over in zip(colours, laid, strict=True):
                under += alpha * (over - under)
        return colours

    def _tooth_colours(self, row: Layer) -> Layer:
        tooth, gums = (c.astype(np.float32) for c in (self.light.tooth, self.light.flesh * 0.8))
        gum = row[..., 1:2]
        return np.asarray(row[..., :1] * tooth * (1 - gum) + gum * gums)

    def _lay(self, texture: Layer, top: float, motion: FloatArray, size: tuple[int, int]) -> Layer:
        """A face-frame picture in a view: `top` eye distances below the lip line, then moved."""
        step = self.eye_distance / self._scale
        axes = np.stack([self.along * step, self.down * step], 1)
        half = texture.shape[1] / 2 * step
        corner = self.stomion[:2] - self.along * half + self.down * top * self.eye_distance
        corner = corner + axes @ np.array([0.5, 0.5])
        turn = motion[:, :2]
        matrix = np.column_stack([turn @ axes, turn @ corner + motion[:, 2]])
        return np.asarray(cv2.warpAffine(texture, matrix, size, flags=cv2.INTER_LINEAR))


def _shadow(mask: Layer, unit: float) -> Layer:
    """Lips throw shadow: darker at the rim, most under the upper lip; unit: px per eye distance.

    Near lips throw a narrower one, or a smile's teeth would be grey.
    """
    gap = float((mask > 0.5).sum(0).max())
    wide = min(SHADOW * unit, 0.2 * gap)
    deep = cv2.GaussianBlur(mask, (0, 0), max(0.8, wide))
    drop = np.array([[1, 0, 0], [0, 1, 0.8 * wide]], np.float32)
    below = cv2.warpAffine(deep, drop, (mask.shape[1], mask.shape[0]))
    lit = np.asarray(0.5 * deep + 0.5 * below)
    return np.asarray(0.15 + 0.85 * smoothstep(lit / 0.95), np.float32)


def _kernel(sigma: float) -> tuple[int, int]:
    side = 2 * int(np.ceil(2.2 * sigma)) + 1
    return side, side
