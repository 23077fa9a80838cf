"""From speech over FaceFormer and FLAME to the 478-vertex face."""

import dataclasses
import itertools
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mdth.embedded.motion.landmarks import flame_to_face
from mdth.errors import CheckpointError, SpeechTooShort
from mdth.faceformer.flame_speech import SUBJECT, FlameSpeech, Head
from mdth.flame.model import Embedding, Flame
from mdth.flame.ply import read_vertices

if TYPE_CHECKING:
    from mdth.faceformer.predictor import FaceFormer

SOUND = np.random.default_rng(0).normal(0, 0.1, 16_000 + 900).astype(np.float32)


@pytest.fixture(scope="module")
def head(flame: Flame, embedding: Embedding) -> Head:
    return Head(flame, embedding, flame.template * 1.01, np.full(15, 0.05), np.full(3, 0.1))


@pytest.fixture(scope="module")
def faceformer() -> "FaceFormer":
    """Random weights, a tiny encoder, FLAME's number of vertices."""
    pytest.importorskip("torch")
    from mdth.faceformer.config import VOCASET
    from mdth.faceformer.predictor import FaceFormer
    from tests.support import faceformer_made_up as made_up

    network = made_up.network(dataclasses.replace(VOCASET, encoder=made_up.SMALL_ENCODER))
    network.vertice_map_r.weight.mul_(1e-3)
    network.vertice_map_r.bias.zero_()
    return FaceFormer(network)


@pytest.fixture(scope="module")
def speech(faceformer: "FaceFormer", head: Head) -> FlameSpeech:
    return FlameSpeech(faceformer, head)


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_frame_for_each_of_the_video(speech: FlameSpeech, fps: int) -> None:
    frames = list(speech.stream([SOUND], fps))
    assert len(frames) == round(len(SOUND) / 16_000 * fps)
    assert all(frame.shape == (478, 3) and frame.dtype == np.float32 for frame in frames)
    moved = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2))
    assert moved[: len(moved) // 2].max() > 0, "something is said"


def test_blocks_change_nothing(speech: FlameSpeech) -> None:
    whole = list(speech.stream([SOUND], 25))
    cut = list(speech.stream(np.array_split(SOUND, 7), 25))
    np.testing.assert_array_equal(whole, cut)


def test_rates_are_the_same_curve(speech: FlameSpeech) -> None:
    """Every second frame at 60 is FaceFormer's own at 30, the others lie halfway between."""
    slow = np.array(list(speech.stream([SOUND], 30)))
    fast = np.array(list(speech.stream([SOUND], 60)))[: 2 * len(slow) - 4]
    np.testing.assert_allclose(fast[::2], slow[: len(fast[::2])], atol=1e-6)
    between = (slow[: len(fast[1::2])] + slow[1 : len(fast[1::2]) + 1]) / 2
    np.testing.assert_allclose(fast[1::2], between, atol=1e-6)


def test_long_sound_is_heard_in_windows_with_all_of_its_statistics(
    speech: FlameSpeech, faceformer: "FaceFormer", head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mdth.faceformer import predictor

    monkeypatch.setattr(predictor, "WHOLE_CLIP_S", 0.5)
    template = head.template.astype(np.float32)
    expected = faceformer.vertices(SOUND, template, SUBJECT, whole_clip_s=0.5)
    found = list(speech._meshes(iter(np.array_split(SOUND, 9))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_too_short(speech: FlameSpeech) -> None:
    with pytest.raises(SpeechTooShort):
        list(itertools.islice(speech.stream([SOUND[:2000]], 25), 1))


def test_a_template_of_another_model(head: Head) -> None:
    with pytest.raises(CheckpointError, match="vertices"):
        FlameSpeech(None, head._replace(template=np.zeros((7, 3))))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply(kind: str, tmp_path: Path) -> None:
    vertices = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    header = (
        f"ply\nformat {kind} 1.0\ncomment made\nelement vertex 4\nproperty float x\n"
        "property float y\nproperty float z\nproperty uchar red\n"
        "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    )
    order = ">" if "big" in kind else "<"
    rows = [(*vertex.tolist(), 7) for vertex in vertices]
    if kind == "ascii":
        body = "".join(" ".join(map(str, row)) + "\n" for row in rows).encode() + b"3 0 1 2\n"
    else:
        body = b"".join(struct.pack(f"{order}fffB", *row) for row in rows)
        body += struct.pack(f"{order}B3i", 3, 0, 1, 2)
    path = tmp_path / "template.ply"
    path.write_bytes(header.encode() + body)
    np.testing.assert_allclose(read_vertices(path), vertices, rtol=1e-6)
    path.write_bytes((header.encode() + body)[: len(header) + 20])
    with pytest.raises(CheckpointError, match="ply"):
        read_vertices(path)


def write_ply(path: Path, vertices: np.ndarray) -> None:
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
    header += "property float x\nproperty float y\nproperty float z\nend_header\n"
    path.write_bytes(header.encode() + vertices.astype("<f4").tobytes())


def test_the_seeds_folder_from_the_command_line(
    mdth: Callable[..., Any],
    twin_home: Path,
    flame_folder: Path,
    flame: Flame,
    faceformer: "FaceFormer",
    short_path: Path,
) -> None:
    """All files in their places but the 380 MB of FaceFormer, which a tiny one stands for."""
    import torch

    common = twin_home / "home/warping-common/th"
    embedded = (common / "checkpoints").resolve()
    (common / "checkpoints").unlink()
    files = common / "checkpoints/faceformer"
    files.mkdir(parents=True)
    (common / "checkpoints/face_landmarker.task").symlink_to(embedded / "face_landmarker.task")
    (common / "flame").symlink_to(flame_folder)
    write_ply(files / f"{SUBJECT}.ply", flame.template)
    placed = {"pose": np.full(15, 0.02), "trans": np.zeros(3)}
    (files / "params.npy").write_bytes(pickle.dumps(placed, 2))
    torch.save(faceformer.network.state_dict(), files / "vocaset.pth")
    faceformer.config.save(files / "vocaset.json")
    out = twin_home / "anim.npz"
    ended = mdth("mesh", short_path, "-o", out, "--engine-mesh", "flame", "--fps", 25)
    assert ended.code == 0, ended.err
    with np.load(out) as file:
        assert file["vertices"].shape == (82, 478, 3)
        assert np.ptp(file["vertices"], axis=0).max() > 1e-5


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="generic_model"):
        FlameSpeech.load(tmp_path)


def test_landmarks_are_what_the_face_is_made_of(speech: FlameSpeech, head: Head) -> None:
    """The same motion at FLAME's own points, in metres; more frames than a chunk."""
    marks = np.stack(list(speech.landmarks([SOUND], 60)))
    faces = np.stack(list(speech.stream([SOUND], 60)))
    assert marks.shape == (len(faces), 51, 3) and len(faces) > 32
    neutral = head.landmarks(head.template[None])[0]
    np.testing.assert_allclose(flame_to_face(marks, neutral), faces, atol=1e-6)
    with pytest.raises(SpeechTooShort):
        next(speech.landmarks([SOUND[:2000]], 30))
