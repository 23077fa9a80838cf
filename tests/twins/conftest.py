"""A small twin in a store, and runs of its tasks that end where a test wants."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_files import small_clip, small_picture, small_sound
from task_runs import Runs, task_process


@pytest.fixture(scope="session")
def small_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's `raw` with a twin `t`: a sound, a picture and a clip."""
    raw = tmp_path_factory.mktemp("small") / "raw"
    small_sound(raw / "t/audio/1.wav", 1)
    small_picture(raw / "t/image/1.png", 1)
    small_clip(raw / "t/video/1.mp4")
    return raw


@pytest.fixture(scope="session")
def runs(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """`runs(store, home, ("preprocess", {}), stop=7)`."""
    yield from task_process(checkpoints, tmp_path_factory)


@pytest.fixture
def place(small_raw: Path, checkpoints: Path) -> Iterator[Path]:
    """A folder with a store that has the twin's input, and a home that has the models.

    In memory where there is room: thousands of files are renamed and deleted.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        shutil.copytree(small_raw, folder / "store/raw")
        common = folder / "home/warping-common/th"
        common.mkdir(parents=True)
        (common / "checkpoints").symlink_to(checkpoints)
        yield folder
