"""What is behind the person: the picture's background, carried on under the outline.

Colours under the person are smooth guesses; the strip that a turning head uncovers is made of
pieces of the background beside it.
"""

import cv2
import numpy as np

from mdth.embedded.render.motion import Grid
from mdth.embedded.render.texture import Mask, carried_on
from mdth.face.smoothing import smoothstep

# How far under the outline texture goes on, eye distances; it fades out from half of it.
STRIP = 0.6
# Guesses go on from so much beside it.
RIM = 0.05
# It is made lighter or darker by so many levels at most.
MOST_STEP = 40.0
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


def guess(picture: Grid, background: Mask, unit: float) -> Grid:
    """A picture [H,W,3] whose background [H,W] is carried on smoothly to where it is hidden.

    background: where it is surely seen. unit: px per eye distance.
    """
    if not background.any() or background.all():
        return picture.copy()
    away = cv2.distanceTransform(background.astype(np.uint8), cv2.DIST_L2, 5)
    # Beyond a narrow gap there may be something else.
    rim = background & (away < max(RIM * unit, 2))
    return np.where(background[..., None], picture, fill(picture, rim.astype(np.float32)))


def plate(picture: Grid, background: Mask, unit: float) -> Grid:
    """The background behind a person, float32 [H,W,3]: a `guess`, near the outline textured."""
    smooth = guess(picture, background, unit)
    texture = carried_on(smooth, background, unit, deep=STRIP)
    # As much lighter or darker as it is at the outline.
    texture += guess(np.clip(picture - texture, -MOST_STEP, MOST_STEP), background, unit)
    depth = cv2.distanceTransform((~background).astype(np.uint8), cv2.DIST_L2, 5)
    share = 1 - smoothstep(2 * depth / (STRIP * unit) - 1)
    strip = smooth + share[..., None] * (texture - smooth)
    return np.where(background[..., None], picture, strip).astype(np.float32)
