import json
from pathlib import Path

import numpy as np
import pytest

import mdth as package
from mdth.embedded.motion.rest import resting_face
from mdth.face import geometry, topology
from training.measures import MIRROR


def test_the_resting_face() -> None:
    face = resting_face()
    assert geometry.lip_opening(face) < 1e-3
    np.testing.assert_allclose(face[MIRROR] * np.array([-1, 1, 1]), face, atol=0.01)
    for iris, eye in (
        (topology.IRIS_LEFT, topology.EYE_LEFT),
        (topology.IRIS_RIGHT, topology.EYE_RIGHT),
    ):
        low, high = face[eye].min(axis=0), face[eye].max(axis=0)
        assert (low[:2] < face[iris[0], :2]).all() and (face[iris[0], :2] < high[:2]).all()


def test_a_spoken_sentence(short_path: Path, checkpoints: Path, tmp_path: Path) -> None:
    path = tmp_path / "anim.npz"
    made = package.export_mesh(short_path, path, fps=25, still=True)
    assert json.loads((tmp_path / "anim.npz.mdth.json").read_text()) == made
    assert made["frames"] == 82 and made["inputs"]["speech"]["name"] == "short.wav"
    with np.load(path, allow_pickle=False) as file:
        vertices, sound, rate_hz = file["vertices"], str(file["sound"]), int(file["rate_hz"])
    assert vertices.shape == (82, 478, 3) and sound == "short.wav" and rate_hz == 24_000
    gap = geometry.lip_opening(vertices)
    assert gap.min() < 5e-4 and 4e-3 < gap.max() < 4e-2, "shut, and open by millimetres"
    assert not np.ptp(vertices[:, topology.UPPER_FACE], axis=0).max() > 1e-6


def test_eyes_and_head_move_too(short_path: Path, checkpoints: Path, tmp_path: Path) -> None:
    """The way the video's do: blinks, and some degrees of head."""
    package.export_mesh(short_path, tmp_path / "a.npz", random_seed=3)
    with np.load(tmp_path / "a.npz") as file:
        head, neutral = file["head_rotation"], file["neutral"][None] - file["neck"]
        rest = (file["vertices"] - file["neck"] - file["head_translation"][:, None]) @ head
    assert 2 < np.abs(geometry.euler_deg(head)).max() < 15
    gaps = geometry.eye_openings(rest) / geometry.eye_openings(neutral)
    assert gaps.min() < 0.3, "eyes that shut"
    assert np.ptp(rest[:, topology.BROW_LEFT], axis=0).max() > 2e-4


def test_own_face(portrait_path: Path, short_path: Path, checkpoints: Path, tmp_path: Path) -> None:
    widths = []
    for name, portrait in (("own", portrait_path), ("canonical", None)):
        path = tmp_path / f"{name}.npz"
        package.export_mesh(short_path, path, portrait=portrait, fps=10)
        with np.load(path, allow_pickle=False) as file:
            widths.append(np.ptp(file["neutral"][:468], axis=0))
    assert widths[0] == pytest.approx(widths[1], rel=0.2)
    assert np.abs(widths[0] - widths[1]).max() > 1e-3
