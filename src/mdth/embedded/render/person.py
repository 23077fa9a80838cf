"""The person cut out of a portrait: colours without background, cover, and what is behind."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render import background
from mdth.embedded.render.hinge import BODY_BELOW_CHIN, CHIN
from mdth.embedded.render.motion import Grid
from mdth.face import geometry
from mdth.face.smoothing import smoothstep

Image = npt.NDArray[np.uint8]
Region = tuple[int, int, int, int]

# Beside the mask's outline, inwards and outwards, colours decide what is hair and what is not,
# eye distances.
INNER, OUTER = 0.05, 0.14
# Colours closer than this (of 255), or than twice what they vary by nearby, decide nothing.
NOISE = 12.0
NEARBY = 0.15
NOT_NEARER = 0.25
# A background that varies by this much, of 255, begins to hide what is left of hair, and hides it.
BUSY = (15.0, 40.0)
# Less of the person than this in a pixel is nothing.
LEAST = 0.04
# Above the resting body the layers part over this, eye distances.
REST_FADE = 0.3
# How much of a head that the upper edge cuts is made up, eye distances.
ABOVE = 0.7


@dataclass(frozen=True)
class Layers:
    """One portrait in two layers over a region x0 y0 x1 y1 px of its picture.

    behind: the background, RGB uint8 [h,w,3]. person: RGBA uint8 [above+h,w,4], the person's own
    colours times how much of each pixel is the person, and that; it has `above` more rows at the
    top, where the picture cuts the head.
    """

    region: Region
    person: Image
    behind: Image
    above: int

    @classmethod
    def of(cls, portrait: Portrait, region: Region) -> Self:
        """Cut a portrait whose mask is known."""
        x0, y0, x1, y1 = region
        unit = float(geometry.eye_distance(portrait.mesh))
        picture = portrait.image[y0:y1, x0:x1].astype(np.float32)
        mask = np.asarray(portrait.person, np.float32)[y0:y1, x0:x1]
        surely = np.asarray(_grown(mask > 0.9, -INNER * unit), np.float32)
        nothing = ~_grown(mask > LEAST, OUTER * unit)
        behind = background.plate(picture, nothing, unit)
        near = background.fill(picture, surely)
        trust = _trust(picture, mask, near=near, behind=behind, surely=surely, unit=unit)
        cover = _cover(picture, mask, near=near, behind=behind, surely=surely, unit=unit)
        cover = np.asarray(cover * (1 - trust) * ~nothing, np.float32)
        colours = _own_colours(picture, cover, near, behind)
        behind = behind + (trust * (1 - cover))[..., None] * (picture - behind)
        rests = _resting_rows(portrait, region)[:, None]
        cover = np.asarray(cover + rests * (1 - cover), np.float32)
        colours = np.asarray(colours + rests[..., None] * (picture - colours), np.float32)
        person = _bytes(np.concatenate([colours, 255 * cover[..., None]], -1))
        above = round(ABOVE * unit) if y0 == 0 and (cover[0] > 0.3).any() else 0
        if above:
            person = np.concatenate([_crown(person, above), person])
        return cls(region, _premultiplied(person), _bytes(behind), above)

    @property
    def origin(self) -> tuple[int, int]:
        """Of `person` in the picture, x y px."""
        return self.region[0], self.region[1] - self.above

    def resting(self) -> Image:
        """Both laid together as they are in the portrait, RGB uint8 [h,w,3]."""
        return lay(self.person[self.above :], self.behind)


def _resting_rows(portrait: Portrait, region: Region) -> FloatArray:
    """1 for the rows where nothing ever moves, and the picture stays in one piece [h]."""
    unit = float(geometry.eye_distance(portrait.mesh))
    below_chin = (np.arange(region[1], region[3]) - float(portrait.mesh[CHIN, 1])) / unit
    return smoothstep((below_chin - BODY_BELOW_CHIN) / REST_FADE + 1)


def _crown(person: Image, rows: int) -> Image:
    """The rows above a head that the picture's upper edge cuts, RGBA [rows,w,4], rounded off."""
    width = person.shape[1]
    added = np.repeat(person[:1], rows, axis=0)
    added[..., 3] = 0
    height = np.arange(rows, 0, -1)
    for start, end in _runs(person[0, :, 3] > 76):
        deep = min(rows, person.shape[0] - 1)
        below = _run_around(person[deep, :, 3] > 76, (start + end) // 2)
        half, wide = (end - start) / 2, (below[1] - below[0]) / 2
        # An ellipse: the square of its half width falls ever faster towards the top.
        slope = max((wide**2 - half**2) / deep - deep, 0.0)
        halves = np.sqrt(np.maximum(half**2 - slope * height - np.square(height), 0))
        middle = (start + end - 1) / 2
        inside = halves[:, None] - np.abs(np.arange(width) - middle)
        crown = np.clip(255 * (inside / 2 + 0.5), 0, 255) * (halves > 0)[:, None]
        added[..., 3] = np.maximum(added[..., 3], crown.astype(np.uint8))
    return added


def _runs(line: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last-but-one places of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _run_around(line: npt.NDArray[np.bool_], place: int) -> tuple[int, int]:
    """The run of True that holds a place; empty where there is none."""
    return next((run for run in _runs(line) if run[0] <= place < run[1]), (place, place))


def lay(person: Image, behind: Image) -> Image:
    """The person, RGBA uint8 [h,w,4] premultiplied, over what is behind, RGB uint8 [h,w,3]."""
    rest = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(person, 3)), cv2.COLOR_GRAY2RGB)
    back = cv2.multiply(behind, rest, scale=1 / 255)
    return np.asarray(cv2.add(cv2.cvtColor(person, cv2.COLOR_RGBA2RGB), back), np.uint8)


def _premultiplied(person: Image) -> Image:
    """Colours times cover, RGBA uint8 [h,w,4]."""
    cover = cv2.cvtColor(cv2.extractChannel(person, 3), cv2.COLOR_GRAY2RGB)
    colours = cv2.multiply(person[..., :3], cover, scale=1 / 255)
    return np.dstack([colours, person[..., 3:]])


def _grown(mask: npt.NDArray[np.bool_], by_px: float) -> npt.NDArray[np.bool_]:
    """The mask grown, or shrunk where `by_px` is negative."""
    rest = ~mask if by_px > 0 else mask
    distance = cv2.distanceTransform(rest.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance <= by_px if by_px > 0 else distance > -by_px)


def _cover(
    picture: Grid, mask: Grid, *, near: Grid, behind: Grid, surely: Grid, unit: float
) -> Grid:
    """The mask [H,W], made exact where the colours of person and background differ.

    A pixel's place between the two colours says how much of it is the person; that is worth the
    more, the less each of them varies nearby.
    """
    length = _length(near - behind)
    mixed = _mixture(picture, near, behind)
    spread = _variance(picture, surely, unit) + _variance(
        picture, (mask <= LEAST).astype(np.float32), unit
    )
    sure = length / (length + 4 * spread + 3 * NOISE**2)
    cover = mask + sure * (mixed - mask)
    cover = np.maximum(cover, surely)
    return np.asarray(smoothstep((cover - LEAST) / (1 - 2 * LEAST)), np.float32)


def _mixture(picture: Grid, near: Grid, behind: Grid) -> FloatArray:
    """How far each colour lies on the way from the background's to the person's, 0..1 [H,W]."""
    way = near - behind
    length = np.maximum(_length(way), 1)
    return np.asarray(np.clip(np.einsum("hwc,hwc->hw", picture - behind, way) / length, 0, 1))


def _trust(
    picture: Grid, mask: Grid, *, near: Grid, behind: Grid, surely: Grid, unit: float
) -> FloatArray:
    """How sure it is that what is seen beside the person is background, 0..1 [H,W].

    Far from the mask it is, where the colour is neither the person's nearby nor a mixture, and
    where the background is so busy that a stray hair is not seen.
    """
    outside = cv2.distanceTransform(np.asarray(mask <= LEAST, np.uint8), cv2.DIST_L2, 5)
    mixed = _mixture(picture, near, behind)[..., None]
    off = np.asarray(picture - behind - mixed * (near - behind), np.float32)
    unlike = _length(off)
    usual = 4 * _variance(picture, surely, unit) + 9 * NOISE**2
    by_colour = smoothstep(np.asarray(unlike / usual - 1, float))
    busy = np.sqrt(_variance(picture, (outside > 0).astype(np.float32), unit))
    by_texture = smoothstep((busy - BUSY[0]) / (BUSY[1] - BUSY[0]))
    # The mask may be this much too small; nothing so near is trusted.
    far = np.asarray(outside, float) / (OUTER * unit)
    clear = smoothstep(far / NOT_NEARER - 1)
    return np.asarray(np.maximum(smoothstep(far), clear * np.maximum(by_colour, by_texture)))


def _variance(picture: Grid, where: FloatArray, unit: float) -> FloatArray:
    """How much colours vary around each pixel, of those pixels that count [H,W]."""
    weight = where.astype(np.float32)
    size = max(1.0, NEARBY * unit)

    total = np.maximum(background.blur(weight, size), 1e-3)
    first = background.blur(picture * weight[..., None], size) / total[..., None]
    second = background.blur(_length(picture) * weight, size) / total
    return np.asarray(np.maximum(second - _length(first), 0))


def _own_colours(picture: Grid, cover: Grid, near: Grid, behind: Grid) -> Grid:
    """The person's colours with the background taken out, carried on where there is little."""
    alpha = cover[..., None]
    freed = (picture - (1 - alpha) * behind) / np.maximum(alpha, 0.1)
    share = smoothstep((alpha - 0.1) / 0.4)
    return np.asarray(np.clip(near + share * (freed - near), 0, 255), np.float32)


def _length(colours: FloatArray) -> FloatArray:
    """Squared length of each colour [H,W]; much faster than a sum over so short an axis."""
    return np.asarray(np.einsum("hwc,hwc->hw", colours, colours))


def _bytes(colours: Grid) -> Image:
    return np.asarray(np.clip(colours + 0.5, 0, 255), np.uint8)
