"""The same frames give the same mp4, whatever machine encodes them."""

import os
from pathlib import Path

import numpy as np
import pytest

from mdth.media.writer import VideoWriter


def encoded(path: Path, cores: set[int]) -> bytes:
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        noise = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
        with VideoWriter(path, width=128, height=128, fps=25, sound=None) as writer:
            for number in range(40):
                writer.write(np.roll(noise, number, axis=1))
    finally:
        os.sched_setaffinity(0, mine)
    return path.read_bytes()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system counts no cores")
def test_the_number_of_cores_does_not_matter(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("one core only")
    assert encoded(tmp_path / "a.mp4", cores) == encoded(tmp_path / "b.mp4", {min(cores)})
