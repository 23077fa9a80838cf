import numpy as np
import pytest

from mdth.artefacts import MeshSequence
from mdth.embedded.motion.rest import resting_face
from mdth.face import topology


@pytest.fixture(scope="session")
def rest() -> np.ndarray:
    return resting_face()


@pytest.fixture(scope="session")
def opening(rest: np.ndarray) -> MeshSequence:
    """Two seconds at 25 fps: the lower face goes down and up again, the brows as noise."""
    low = np.clip((rest[:, 1] - 0.72) / 0.1, 0, 1)
    low[topology.LIPS_INNER[:11]] = 0
    low[topology.LIPS_INNER[11:]] = 0.8
    down = np.sin(np.linspace(0, np.pi, 51))[:, None] * low * 0.2
    offsets = np.zeros((51, 478, 3), np.float32)
    offsets[..., 1] = down
    noise = np.random.default_rng(0).normal(0, 0.01, (51, len(topology.BROW_LEFT)))
    offsets[:, topology.BROW_LEFT, 1] += noise
    return MeshSequence(offsets, 25.0)
