"""What the fuzzing starts from is read: every kind of file that people have."""

from pathlib import Path

import fuzz_seeds as seeds
import numpy as np

from mdth.artefacts import Motion, Portrait
from mdth.media.audio import read_blocks
from mdth.media.image import read_image
from mdth.media.video import read_frames
from mdth.seed.artefacts import SeedClip, SeedStill


def test_every_sound_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in seeds.sounds():
        path.write_bytes(content)
        sound = np.concatenate(list(read_blocks(path)))
        assert 0.25 < len(sound) / 16_000 < 0.6
        assert 0.1 < np.abs(sound).max() < 0.6


def test_every_clip_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in seeds.clips():
        path.write_bytes(content)
        assert {frame.shape for frame in read_frames(path)} == {(48, 64, 3)}


def test_every_picture_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content in seeds.pictures():
        path.write_bytes(content)
        assert read_image(path).shape in ((30, 40, 3), (40, 30, 3))


def test_every_artefact_is_loaded(tmp_path: Path) -> None:
    for name, content in seeds.artefacts().items():
        (tmp_path / name).write_bytes(content)
    for kind in (Portrait, Motion, SeedStill, SeedClip):
        kind.load(tmp_path)
