"""BIWI's meshes drive the 478-vertex face once its owner says which vertices are landmarks."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from flame_spoken import spoken  # noqa: E402

from mdth.embedded.motion.landmarks import LANDMARKS  # noqa: E402
from mdth.errors import CheckpointError  # noqa: E402
from mdth.face import topology  # noqa: E402
from mdth.faceformer import flame_speech  # noqa: E402
from mdth.faceformer.config import BIWI  # noqa: E402
from mdth.faceformer.files import biwi_files  # noqa: E402
from mdth.faceformer.flame_speech import load_biwi_speech  # noqa: E402
from tests.support import faceformer_made_up as made_up  # noqa: E402
from tests.support.raising import raises  # noqa: E402

SOUND = np.random.default_rng(0).normal(0, 0.1, 16_900).astype(np.float32)


@pytest.fixture
def common(tmp_path: Path) -> Path:
    """A head whose mesh is our own face, turned and in millimetres, its vertices shuffled."""
    folder = tmp_path / "checkpoints/faceformer"
    folder.mkdir(parents=True)
    order = np.random.default_rng(1).permutation(468)
    template = 90 * (topology.CANONICAL * [1, -1, -1])[order]
    marks = np.argsort(order)[LANDMARKS]
    network = made_up.network(
        dataclasses.replace(BIWI, encoder=made_up.SMALL_ENCODER, vertices=468)
    )
    torch.save(network.state_dict(), folder / "biwi.pth")
    network.config.save(folder / "biwi.json")
    templates = {"F2": template[:3].reshape(-1), "M3": template.reshape(-1)}
    (folder / "biwi_templates.pkl").write_bytes(pickle.dumps(templates, 2))
    (folder / "biwi_landmarks.txt").write_text("\n".join(map(str, marks.tolist())))
    return tmp_path


def test_a_frame_for_each_of_the_video(common: Path) -> None:
    from mdth.embedded.speech import flame

    frames = list(spoken(flame.load("biwi", common), [SOUND], 25))
    assert len(frames) == 26
    assert all(frame.shape == (478, 3) and frame.dtype == np.float32 for frame in frames)
    assert np.ptp(frames, axis=0).max() > 0


def test_the_lips_follow_the_landmarks(common: Path) -> None:
    """A lower lip that goes down by 9 mm, a tenth of an eye distance, does so on our face."""
    from mdth.embedded.motion.landmarks import flame_to_face

    head = flame_speech.MarkedHead(
        flame_speech.read_template(biwi_files(common)[1]),
        flame_speech.read_marks(biwi_files(common)[2], 468),
    )
    neutral = head.landmarks(head.template[None])
    meshes = np.repeat(head.template[None], 2, axis=0)
    meshes[1, head.marks[[39, 40, 41, 48, 49, 50]]] += [0, -9, 0]
    offsets = flame_to_face(head.landmarks(meshes) - neutral, neutral[0])
    lower, upper = topology.LIP_MID_PAIR[1], topology.LIP_MID_PAIR[0]
    assert offsets[1, lower, 1] == pytest.approx(0.1, abs=0.005)
    assert abs(offsets[1, upper]).max() < 0.005 and abs(offsets[0]).max() < 1e-9


def test_missing_and_wrong_landmarks(common: Path) -> None:
    marks = biwi_files(common)[2]
    for text, message in (
        ("1 2 3", "3 numbers; it needs 51 from 0 to 467"),
        ("x " * 51, "not a list"),
        ("468 " * 51, "from 0 to 467"),
    ):
        marks.write_text(text)
        raises(CheckpointError, message, load_biwi_speech, common)
    marks.unlink()
    raises(CheckpointError, "landmarks 17 to 67", load_biwi_speech, common)


def test_wrong_templates(common: Path) -> None:
    templates = biwi_files(common)[1]
    templates.write_bytes(pickle.dumps({"F2": np.zeros(9)}, 2))
    raises(CheckpointError, "no template of M3", load_biwi_speech, common)
    templates.write_bytes(pickle.dumps({"M3": np.zeros((900, 3))}, 2))
    raises(CheckpointError, "900 vertices for a network of 468", load_biwi_speech, common)
