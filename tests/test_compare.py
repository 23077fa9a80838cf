"""`mdth compare`: numbers that are known beforehand."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from mdth import compare
from mdth.media.image import read_image
from mdth.media.video import read_frames
from mdth.media.writer import VideoWriter
from tests.support.commands import Command, fails


def written(path: Path, frames: list[np.ndarray]) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=Fraction(25), sound=None) as video:
        for frame in frames:
            video.write(frame)
    return path


def test_a_face_that_moves_and_one_frame_more(
    mdth: Command, portrait_path: Path, tmp_path: Path
) -> None:
    still = read_image(portrait_path)
    moved = np.roll(still, (3, 4), (0, 1))
    grey = np.full_like(still, 99)
    old = written(tmp_path / "old.mp4", [still, still, grey])
    new = written(tmp_path / "new.mp4", [still, moved, grey, grey])
    ended = mdth("compare", old, new)
    lines = [line.split() for line in ended.out.splitlines()]
    assert ended.code == 0 and lines[0] == compare.HEADER.split()
    first, second, third, worst = (line[1:] for line in lines[1:5])
    assert float(first[0]) > 35 and float(first[1]) < 1
    assert 4.5 < float(second[1]) < 5.5, "3 px down and 4 to the right"
    assert third[1:] == ["-", "-"]
    assert worst == [second[0], *second[1:]]
    assert "no face in 1 of 3" in ended.out and "new.mp4 has 1 frames more" in ended.out
    frames = [next(read_frames(path)) for path in (old, old)]
    assert compare.psnr_db(*frames) == float("inf")
    assert round(compare.psnr_db(grey, grey + 1), 2) == 48.13, "20 log10 255"


def test_other_sizes_and_missing_files(mdth: Command, tmp_path: Path) -> None:
    small, large = (
        written(tmp_path / f"{side}.mp4", [np.zeros((side, side, 3), np.uint8)])
        for side in (64, 96)
    )
    fails(mdth("compare", small, large), "96.mp4: is 96x96, and", "64x64; give the same size")
    ended = mdth("compare", small, tmp_path / "none.mp4")
    fails(ended, "none.mp4")
    assert not ended.out
