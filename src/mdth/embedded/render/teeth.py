"""Drawn teeth and tongue, as pictures in the face frame, unlit.

Sizes are those of adult teeth (central incisor 8.5 x 10.5 mm; outer eye corners 90 mm apart), seen
from the front, so that the rows narrow to the sides where the arch turns away.
"""

import numpy as np
import numpy.typing as npt

from mdth.face.smoothing import smoothstep

Texture = npt.NDArray[np.float32]

# Width and height of the teeth from the middle outwards, eye distances, foreshortened by the arch.
UPPER_TEETH = ((0.092, 0.116), (0.070, 0.102), (0.066, 0.112), (0.046, 0.092), (0.034, 0.082))
LOWER_TEETH = ((0.056, 0.072), (0.060, 0.072), (0.060, 0.076), (0.046, 0.064), (0.034, 0.060))
HALF_WIDTH = 0.36
HEIGHT = 0.2


def tooth_row(
    sizes: tuple[tuple[float, float], ...],
    per_eye: float,
    *,
    bend: float,
    between: float = 0.38,
    fade: float = 0.0,
) -> Texture:
    """One row as [H,W,4]: brightness, redness (gum 1), relief, cover, each 0..1.

    y runs from the biting edge (0) to the gum; per_eye: px per eye distance. bend lifts the row's
    ends, eye distances at x = HALF_WIDTH. between: how much darker it is between two teeth. fade:
    how much darker at the gum, where the lip keeps the light out.
    """
    # Pixel centres, x about the middle, y from the biting edge.
    x = (np.arange(int(2 * HALF_WIDTH * per_eye)) + 0.5) / per_eye - HALF_WIDTH
    y = (np.arange(int(HEIGHT * per_eye)) + 0.5) / per_eye
    soft = 1.2 / per_eye
    bright = np.zeros((len(y), len(x)))
    cover = np.zeros_like(bright)
    gum = np.zeros_like(bright)
    rise = bend * np.square(x / HALF_WIDTH)
    left = 0.0
    for width, height in sizes:
        across = (np.abs(x) - left - width / 2) / (width / 2)
        # Biting edges are round at the corners, more at the outer one.
        corner = 0.16 * width * np.abs(across) ** 4
        above = y[:, None] - (rise + corner)[None]
        middle = smoothstep((1 - np.abs(across)) * width / 2 / soft + 0.5)
        inside = (1 - between * (1 - middle))[None]
        tooth = inside * smoothstep(above / soft + 0.5)
        neck = smoothstep((above - height * (1 - 0.12 * across**2)[None]) / (2 * soft) + 0.5)
        belly = 1 - 0.22 * across**2
        lengthwise = 0.86 + 0.14 * smoothstep(above / (0.35 * height))
        near = (np.abs(across) <= 1.25)[None]
        bright = np.where(near, np.maximum(bright, tooth * belly[None] * lengthwise), bright)
        gum = np.where(near, np.maximum(gum, neck * tooth), gum)
        cover = np.maximum(cover, tooth * near)
        left += width
    back = 1 - 0.65 * smoothstep((np.abs(x) / left - 0.25) / 0.85)
    cover *= smoothstep((left - np.abs(x)) / 0.03)[None]
    gaps = smoothstep(y / 0.02)[:, None] * (np.abs(x) < left)[None]
    cover = np.maximum(cover, 0.9 * gaps * smoothstep((y[:, None] - rise[None]) / 0.03))
    bright *= 1 - fade * smoothstep(y / 0.08)[:, None]
    return np.stack([bright * back, gum, bright, cover], -1).astype(np.float32)


def tongue(per_eye: float) -> Texture:
    """The tongue as [H,W,2]: brightness and cover; its tip at the top middle, y downwards."""
    half, height = 0.25, 0.3
    width, rows = int(2 * half * per_eye), int(height * per_eye)
    x = ((np.arange(width) + 0.5) / per_eye - half) / half
    y = (np.arange(rows) + 0.5) / per_eye / height
    dome = 0.12 + 0.55 * x**2
    depth = y[:, None] - dome[None]
    cover = smoothstep(depth / 0.22) * smoothstep((1 - np.abs(x)) / 0.3)[None]
    groove = 1 - 0.18 * np.exp(-np.square(x / 0.1))
    bright = (0.55 + 0.45 * smoothstep(depth / 0.5)) * groove[None] * (1 - 0.3 * x**2)[None]
    return np.stack([bright, cover], -1).astype(np.float32)
