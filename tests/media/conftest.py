from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(params=["zero", "text", "folder", "missing", "noise"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What is no media at all, under the name of one."""
    path = tmp_path / f"{request.param}.wav"
    if request.param == "zero":
        path.touch()
    if request.param == "text":
        path.write_text("This is a letter and not a sound.\n" * 50)
    if request.param == "folder":
        path.mkdir()
    if request.param == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    return path
