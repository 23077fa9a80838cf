"""The person cut out of a portrait: colours without background, cover, and what is behind."""

from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.render import background
from mdth.embedded.render.motion import Grid
from mdth.face import geometry
from mdth.face.smoothing import smoothstep

Image = npt.NDArray[np.uint8]
Region = tuple[int, int, int, int]

# Beside the mask's outline, inwards and outwards, colours decide what is hair and what is not,
# eye distances.
INNER, OUTER = 0.05, 0.14
# The mask is cut by colours and edges in a picture with so many px per eye distance. What is kept
# begins where it has the second, what is cut off where it has the third; so much more is all of it.
CUT, OWN, OTHER, RISE = 80.0, 0.1, 0.3, 0.4
# Fewer pixels that surely are the person's or the background's say nothing about their colours.
FEWEST = 50
# Colours vary by at least this, of 255, and are judged over this, eye distances.
NOISE = 12.0
NEARBY = 0.15
# Less of the person than this in a pixel is nothing; where there is less than the second, it is
# the background's colours that are freed of the person's.
LEAST, MUCH = 0.04, 0.6
# Nearer to the mask than this, relative to OUTER, halos and shades of the outline are the person's.
CLOSE = 0.17
# Odds are evened out over this, eye distances.
EVEN = 0.03
# No colour is further off than this (squared, relative to what it varies by).
UNLIKE = 25.0
# The logarithm of the odds that grows towards OUTER, and that which is certainty.
FARTHER, SURELY = 20.0, 4.0
# How much of a head that the upper edge cuts is made up, eye distances, and how soft its outline
# is, relative to it.
ABOVE, SOFT = 0.7, 0.02


@dataclass(frozen=True)
class Layers:
    """One portrait in two layers over a region x0 y0 x1 y1 px of its picture.

    behind: the background, RGB uint8 [h,w,3]. person: RGBA uint8 [above+h,w,4], what the person
    adds to each pixel, and how much of it the person hides; it has `above` more rows at the top,
    where the picture cuts the head. Laid together as they are, both are the picture.
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
        image = portrait.image[y0:y1, x0:x1]
        picture = image.astype(np.float32)
        mask = _cut(image, np.asarray(portrait.person, np.float32)[y0:y1, x0:x1], unit)
        surely = np.asarray(_grown(mask > 0.9, -INNER * unit), np.float32)
        nothing = ~_grown(mask > LEAST, OUTER * unit)
        guess = background.guess(picture, nothing, unit)
        near = background.fill(picture, surely)
        spread = [
            _variance(picture, where, unit) + NOISE**2
            for where in (surely, np.asarray(mask <= LEAST, np.float32))
        ]
        far = _outside(mask, unit)
        trust = _trust(picture, far, near=near, behind=guess, spread=spread, unit=unit)
        # Once more, from what is background close beside the outline, also in a narrow gap.
        seen = nothing | ~_grown(trust < 1, 1)
        guess = background.plate(picture, seen, unit)
        cover = _cover(picture, mask, near=near, behind=guess, surely=surely, spread=spread)
        cover = np.asarray(cover * (1 - trust) * ~nothing, np.float32)
        behind = _bytes(_freed(picture, cover, far, near=near, guess=guess))
        person = _lifted(image, behind, cover)
        above = round(ABOVE * unit) if y0 == 0 and (cover[0] > 0.3).any() else 0
        if above:
            person = np.concatenate([_crown(person, above), person])
        return cls(region, person, behind, above)

    @property
    def origin(self) -> tuple[int, int]:
        """Of `person` in the picture, x y px."""
        return self.region[0], self.region[1] - self.above


def _cut(image: Image, mask: Grid, unit: float) -> Grid:
    """The mask [h,w], an outline that is soft and a little off, made to fit the picture's.

    Rother, Kolmogorov, Blake, "GrabCut", SIGGRAPH 2004, on the square roots of light.
    """
    person, nothing = _grown(mask > 0.9, -INNER * unit), ~_grown(mask > LEAST, OUTER * unit)
    if min(person.sum(), nothing.sum()) < FEWEST:
        return mask
    shrink = min(1.0, CUT / unit)
    size = tuple(max(1, round(length * shrink)) for length in mask.shape[::-1])
    small, share, own, other = (
        cv2.resize(np.asarray(part, np.float32), size, interpolation=cv2.INTER_AREA)
        for part in (image, mask, person, nothing)
    )
    marks = np.where(share > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    marks[own > 0.99] = cv2.GC_FGD
    marks[other > 0.99] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    light, colours = _bytes(np.sqrt(255 * small)), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.grabCut(light, marks, (0, 0, 0, 0), *colours, 2, cv2.GC_INIT_WITH_MASK)
    # The marks of what belongs to the person are odd. Half a pixel more, since edges are soft.
    kept = cv2.resize((marks % 2).astype(np.float32), mask.shape[::-1])
    kept = np.minimum(2 * kept, 1)
    return np.asarray(smoothstep((mask - OTHER + (OTHER - OWN) * kept) / RISE), np.float32)


def _freed(picture: Grid, cover: Grid, far: FloatArray, *, near: Grid, guess: Grid) -> Grid:
    """The background [h,w,3]: the picture less the person's colours where these are little."""
    alpha = cover[..., None]
    freed = np.clip((picture - alpha * near) / np.maximum(1 - alpha, 0.1), 0, 255)
    share = smoothstep((MUCH - alpha) / MUCH) * smoothstep(far / CLOSE)[..., None]
    return np.asarray(guess + share * (freed - guess), np.float32)


def _lifted(picture: Image, behind: Image, cover: Grid) -> Image:
    """What has to lie over the background to give the picture, RGBA [h,w,4] premultiplied.

    It covers more where no colour would do otherwise.
    """
    exact = picture.astype(np.float32)
    darker = (exact + 1) / np.maximum(behind, 1)
    brighter = (256 - exact) / np.maximum(255.0 - behind, 1)
    least = 1 - np.minimum(darker.min(-1), brighter.min(-1))
    hidden = _bytes(255 * np.maximum(cover, least))
    own = cv2.subtract(picture, _shining_through(behind, hidden))
    return np.dstack([own, hidden])


def _crown(person: Image, rows: int) -> Image:
    """The rows above a head that the picture's upper edge cuts, RGBA [rows,w,4]: a cap.

    What is in it mirrors the rows below the edge, no further off than a sixth of the cap.
    """
    height = np.arange(rows, 0, -1)[:, None]
    deep = max(2, min(rows, len(person) - 1) // 3)
    reach = deep / 2
    mirrored = person[np.round(-reach * np.expm1(-height[:, 0] / reach)).astype(int)]
    cover = np.zeros(mirrored.shape[:2], np.float32)
    for start, end in _runs(person[0, :, 3] > 76):
        below = _run_around(person[deep, :, 3] > 76, (start + end) // 2)
        half, wide = (end - start) / 2, (below[1] - below[0]) / 2
        # Of an ellipse the middles lie on a line, and the square of the half width is quadratic.
        slope = max((wide**2 - half**2) / deep + deep, 0.0)
        lean = (start + end - sum(below)) / 2 / deep if wide else 0.0
        beside = np.arange(cover.shape[1]) - (start + end - 1) / 2 - lean * height
        inside = half**2 - slope * height - np.square(height) - np.square(beside)
        inside /= 2 * np.hypot(beside, slope / 2 + height)
        cover = np.maximum(cover, np.clip(inside / (SOFT * rows) + 0.5, 0, 1))
    return _bytes(cover[..., None] * mirrored)


def _runs(line: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last-but-one places of the runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], line, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _run_around(line: npt.NDArray[np.bool_], place: int) -> tuple[int, int]:
    """The run of True that holds a place; empty where there is none."""
    return next((run for run in _runs(line) if run[0] <= place < run[1]), (place, place))


def lay(person: Image, behind: Image) -> Image:
    """The person, RGBA uint8 [h,w,4] premultiplied, over what is behind, RGB uint8 [h,w,3]."""
    back = _shining_through(behind, np.asarray(cv2.extractChannel(person, 3), np.uint8))
    return np.asarray(cv2.add(cv2.cvtColor(person, cv2.COLOR_RGBA2RGB), back), np.uint8)


def _shining_through(behind: Image, hidden: Image) -> Image:
    """What is seen of a background [h,w,3] of which so much is hidden, [h,w] of 255."""
    rest = cv2.cvtColor(cv2.bitwise_not(hidden), cv2.COLOR_GRAY2RGB)
    return np.asarray(cv2.multiply(behind, rest, scale=1 / 255), np.uint8)


def _grown(mask: npt.NDArray[np.bool_], by_px: float) -> npt.NDArray[np.bool_]:
    """The mask grown, or shrunk where `by_px` is negative."""
    rest = ~mask if by_px > 0 else mask
    distance = cv2.distanceTransform(rest.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance <= by_px if by_px > 0 else distance > -by_px)


def _cover(
    picture: Grid, mask: Grid, *, near: Grid, behind: Grid, surely: Grid, spread: list[FloatArray]
) -> Grid:
    """The mask [H,W], made exact where the colours of person and background differ.

    A pixel's place between the two colours says how much of it is the person; that is worth the
    more, the less each of them varies nearby.
    """
    length = _length(near - behind)
    mixed = _mixture(picture, near, behind)
    sure = length / (length + 4 * sum(spread))
    cover = np.maximum(mask + sure * (mixed - mask), surely)
    return np.asarray(smoothstep((cover - LEAST) / (1 - 2 * LEAST)), np.float32)


def _mixture(picture: Grid, near: Grid, behind: Grid) -> FloatArray:
    """How far each colour lies on the way from the background's to the person's, 0..1 [H,W]."""
    way = near - behind
    length = np.maximum(_length(way), 1)
    return np.asarray(np.clip(np.einsum("hwc,hwc->hw", picture - behind, way) / length, 0, 1))


def _trust(
    picture: Grid,
    far: FloatArray,
    *,
    near: Grid,
    behind: Grid,
    spread: list[FloatArray],
    unit: float,
) -> FloatArray:
    """How sure it is that what is seen beside the person is background, 0..1 [H,W].

    The odds of two normal distributions: the person's colours nearby and the background's. Those
    of the place beside the mask come first, which may be a little too small.
    """
    own, other = (
        np.minimum(_length(picture - colours) / varies, UNLIKE) + 3 * np.log(varies)
        for colours, varies in zip((near, behind), spread, strict=True)
    )
    odds = background.blur((own - other) / 2, EVEN * unit) + FARTHER * far
    return np.asarray(smoothstep(odds / SURELY) * smoothstep(far / CLOSE))


def _outside(mask: Grid, unit: float) -> FloatArray:
    """How far each pixel is from the mask, 1 at OUTER [H,W]."""
    away = cv2.distanceTransform(np.asarray(mask <= LEAST, np.uint8), cv2.DIST_L2, 5)
    return np.asarray(away, float) / (OUTER * unit)


def _variance(picture: Grid, where: FloatArray, unit: float) -> FloatArray:
    """How much colours vary around each pixel, of those pixels that count [H,W]."""
    weight = where.astype(np.float32)
    size = max(1.0, NEARBY * unit)

    total = np.maximum(background.blur(weight, size), 1e-3)
    first = background.blur(picture * weight[..., None], size) / total[..., None]
    second = background.blur(_length(picture) * weight, size) / total
    return np.asarray(np.maximum(second - _length(first), 0))


def _length(colours: FloatArray) -> FloatArray:
    """Squared length of each colour [H,W]; much faster than a sum over so short an axis."""
    return np.asarray(np.einsum("hwc,hwc->hw", colours, colours))


def _bytes(colours: Grid) -> Image:
    return np.asarray(np.clip(colours + 0.5, 0, 255), np.uint8)
