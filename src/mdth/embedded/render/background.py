"""What is behind the person: the picture's background, carried on a little way under the outline.

Colours under the person are smooth guesses; the strip that a turning head uncovers has the grain of
the background beside it, mirrored.
"""

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.render.motion import Grid, sample
from mdth.face.smoothing import smoothstep

# How far under the outline the background is mirrored, eye distances; it fades out from half of it.
STRIP = 0.28
# So far under it goes on what comes to it, eye distances; that fades out from half of it too.
LINES = 0.12
# What is mirrored comes from no further than this beside the outline, eye distances.
REACH = 0.13
# The places that are mirrored, and how much of them shows, are evened out.
EVEN = 0.05
# Of what is mirrored the grain is taken, finer than this, eye distances, and weaker than so many
# levels: things beside the person, mirrored, would be where nothing is.
GRAIN, MOST_GRAIN = 0.04, 8.0
# Pyramid levels lose this much of what they do not know.
MOST_GAIN = 4.0


def fill(colours: Grid, known: Grid) -> Grid:
    """Colours [H,W,3] carried smoothly to where `known` [H,W] 0..1 is 0.

    Gortler et al., "The lumigraph", SIGGRAPH 1996, section 3.4 (pull-push).
    """
    held = colours * known[..., None]
    if min(known.shape) < 4:
        total = max(float(known.sum()), 1e-6)
        return np.asarray(held + (1 - known[..., None]) * held.sum((0, 1)) / total, np.float32)
    weight = np.asarray(cv2.pyrDown(known), np.float32)
    gain = np.minimum(1 / np.maximum(weight, 1e-6), MOST_GAIN)
    coarse_known = weight * gain
    coarse = np.asarray(cv2.pyrDown(held), np.float32) / np.maximum(weight, 1e-6)[..., None]
    filled = fill(np.asarray(coarse, np.float32), np.asarray(coarse_known, np.float32))
    size = (known.shape[1], known.shape[0])
    wide = np.asarray(cv2.pyrUp(filled, dstsize=size), np.float32)
    return np.asarray(held + (1 - known[..., None]) * wide, np.float32)


def blur(values: Grid, size_px: float) -> Grid:
    """The values [H,W,...] smoothed over `size_px`; wide blurs work on a smaller picture."""
    shrink = int(max(1, size_px / 3))
    height, width = values.shape[:2]
    if shrink == 1 or min(height, width) < 4 * shrink:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), size_px), np.float32)
    small = (width // shrink, height // shrink)
    less = cv2.resize(values, small, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(less, (0, 0), size_px / shrink)
    return np.asarray(cv2.resize(smooth, (width, height)), np.float32)


def plate(picture: Grid, background: npt.NDArray[np.bool_], unit: float) -> Grid:
    """The background behind a person, float32 [H,W,3].

    picture: [H,W,3]. background: [H,W], where it is surely seen. unit: px per eye distance.
    """
    if not background.any() or background.all():
        return picture.copy()
    known = background.astype(np.float32)
    strip = fill(picture, known)
    beside, mirrored, depth = _across(background, unit)
    size = max(1.0, GRAIN * unit)
    # Lines that come to the outline go on for a little.
    share = _share(known, beside, depth / (LINES * unit), unit)
    strip += share[..., None] * (sample(picture, beside, cv2.INTER_LINEAR) - strip)
    grain = sample(picture, mirrored, cv2.INTER_LINEAR)
    grain -= blur(grain, size)
    strong = blur(np.asarray(cv2.transform(np.square(grain), np.full((1, 3), 1 / 3))), size)
    share = _share(known, mirrored, depth / (STRIP * unit), unit) / (1 + strong / MOST_GRAIN**2)
    strip += share[..., None] * grain
    return np.where(background[..., None], picture, strip).astype(np.float32)


def _share(known: Grid, places: Grid, depth: FloatArray, unit: float) -> Grid:
    """How much shows of what is at `places` [H,W,2] px, 0 from a depth of 1 [H,W]."""
    share = sample(known, places, cv2.INTER_LINEAR) * (1 - smoothstep(2 * depth - 1))
    return blur(share.astype(np.float32), max(1.0, EVEN * unit))


def _across(background: npt.NDArray[np.bool_], unit: float) -> tuple[Grid, Grid, FloatArray]:
    """Of each pixel the place on the outline, its mirror image [H,W,2] px, and depth [H,W] px."""
    hidden = np.asarray(~background, np.uint8)
    depth, labels = cv2.distanceTransformWithLabels(
        hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(background)
    nearest = np.zeros((int(labels.max()) + 1, 2), np.float32)
    nearest[labels[rows, columns]] = np.stack([columns, rows], 1)
    here = np.stack(np.meshgrid(*(np.arange(n) for n in hidden.shape[::-1])), -1)
    # Even steps along the outline, so that its bays and corners do not tear the mirror image.
    beside = blur(nearest[labels], max(1.0, EVEN * unit))
    inwards = here - beside
    reach_px = REACH * unit
    shorter = reach_px * -np.expm1(-depth / reach_px) / np.maximum(depth, 1)
    places = beside - inwards * shorter[..., None]
    return beside, np.asarray(places, np.float32), np.asarray(depth, float)
