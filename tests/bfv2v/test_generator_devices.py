"""A clip over several workers: the same bytes in the same order, and no worker left behind."""

import dataclasses
import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator_reference import render, walk  # noqa: E402

from mdth.bfv2v import devices  # noqa: E402
from mdth.bfv2v.landmarks import Landmarks  # noqa: E402
from mdth.bfv2v.predictor import AHEAD  # noqa: E402
from mdth.errors import CheckpointError, DeviceError  # noqa: E402
from tests.support import generator_made_up as made_up  # noqa: E402

BATCH, COUNT = 2, 15
TINY = dataclasses.replace(
    made_up.SMALL,
    frame_size=32,
    dense_motion=dataclasses.replace(made_up.SMALL.dense_motion, num_blocks=2),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> devices.Files:
    """A generator of pictures of 32 px: most of a worker's time is its start."""
    folder = tmp_path_factory.mktemp("tiny")
    files = devices.Files(folder / "tiny.tar", folder / "tiny.yaml")
    torch.save({"generator": made_up.generator(TINY).state_dict()}, files.checkpoint)
    made_up.write_config(files.config, TINY, made_up.SMALL_HEADPOSE)
    return files


@pytest.fixture(scope="module")
def source() -> devices.Source:
    return devices.Source(made_up.picture(32), walk(1, seed=5)[0])


def test_the_same_frames_on_two_few_under_way_and_a_lost_worker_told(
    files: devices.Files, source: devices.Source
) -> None:
    one = list(render(files, source, walk(COUNT), devices=["cpu"], batch=BATCH))
    assert len({frame.tobytes() for frame in one}) == COUNT, "every frame is its own"
    taken = 0

    def endless() -> Iterator[Landmarks]:
        nonlocal taken
        for landmarks in itertools.cycle(walk(COUNT)):
            taken += 1
            yield landmarks

    with devices.Renderers(files, ["cpu"] * 2, batch=BATCH) as renderers:
        for count in (COUNT, 1, 0):
            found = list(renderers.frames(source, walk(COUNT)[:count]))
            assert len(found) == count
            np.testing.assert_array_equal(found, one[:count])
        # An endless clip: the workers get no more than they may hold.
        frames = renderers.frames(source, endless())
        for given in range(1, 10):
            np.testing.assert_array_equal(next(frames), one[given - 1])
            assert taken <= given + (2 * AHEAD + 1) * BATCH
        os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        with pytest.raises(DeviceError, match="ended .code -9"):
            list(itertools.islice(frames, 100))
    assert not multiprocessing.active_children()


def told(files: devices.Files, device: str) -> BaseException:
    """What comes of a worker that cannot begin."""
    worker = devices.Worker(files, device, 1)
    try:
        with pytest.raises((CheckpointError, DeviceError)) as raised:
            worker.wait_until_ready()
        return raised.value
    finally:
        worker.stop()


def test_a_worker_tells_what_goes_wrong(small_files: list[Path], tmp_path: Path) -> None:
    damaged = tmp_path / "cut.tar"
    damaged.write_bytes(small_files[0].read_bytes()[:1000])
    error = told(devices.Files(damaged, small_files[2]), "cpu")
    assert isinstance(error, CheckpointError) and "cut.tar: no readable" in str(error)
    error = told(devices.Files(small_files[0], small_files[2]), "cuda:77")
    assert isinstance(error, DeviceError) and "cuda:77: " in str(error)
