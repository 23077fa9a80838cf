"""Checkpoints and pictures for the generator's tests."""

from pathlib import Path

import generator_reference
import numpy as np
import pytest

from torch_threads import one_thread  # noqa: F401


@pytest.fixture(scope="session")
def reference() -> generator_reference.Reference:
    pytest.importorskip("torch")
    return generator_reference.read()


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small stand-ins in the published layout: checkpoint, head pose, YAML, eye PCA."""
    pytest.importorskip("torch")
    from tests.support import generator_made_up as made_up

    return made_up.write(tmp_path_factory.mktemp("checkpoints"), small=True)


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A source: RGB uint8 [256,256,3]."""
    from tests.support import generator_made_up as made_up

    return made_up.picture(256)
