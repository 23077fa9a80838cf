"""A process beside the tests that runs tasks; see `killed_run.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


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
