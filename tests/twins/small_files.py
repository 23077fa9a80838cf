"""Small files that a twin can be made of."""

from pathlib import Path

import numpy as np
from made_media import make_wav
from PIL import Image

from mdth.media.writer import VideoWriter


def small_sound(path: Path, seed: int) -> Path:
    """Half a second of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_wav(path, np.random.default_rng(seed).uniform(-0.25, 0.25, 8000))


def small_picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (48, 48, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def small_clip(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, width=32, height=32, fps=25, sound=None) as writer:
        for level in (0, 90, 180):
            writer.write(np.full((32, 32, 3), level, np.uint8))
    return path
