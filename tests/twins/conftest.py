"""A small twin in a store, and runs of its tasks that end where a test wants."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_files import small_clip, small_picture, small_sound

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def small_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's `raw` with a twin `t`: a sound, a picture and a clip."""
    raw = tmp_path_factory.mktemp("small") / "raw"
    small_sound(raw / "t/audio/1.wav", 1)
    small_picture(raw / "t/image/1.png", 1)
    small_clip(raw / "t/video/1.mp4")
    return raw


class Runs:
    """Runs tasks in a process of their own, see `killed_run.py`."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, store: object, home: Path, *tasks: tuple[str, dict], **how: Any) -> dict:
        keys = {
            name: os.environ[name] for name in os.environ if name.startswith(("AWS_", "MDTH_S3"))
        }
        order = {"store": str(store), "home": str(home), "tasks": tasks, "environment": keys, **how}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that runs the tasks has ended"
        return json.loads(line)


@pytest.fixture(scope="session")
def runs(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """`runs(store, home, ("preprocess", {}), stop=7)`."""
    yield from task_process(checkpoints, tmp_path_factory)


def task_process(checkpoints: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """A process that runs tasks, until it is not needed any more."""
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    models = tmp_path_factory.mktemp("models")
    common = models / "warping-common/th"
    common.mkdir(parents=True)
    (common / "checkpoints").symlink_to(checkpoints)
    command = [sys.executable, str(HERE / "killed_run.py")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **few, "MDTH_HOME": str(models)},
    ) as process:
        yield Runs(process)
        process.stdin.close()


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
