"""From speech over FaceFormer and FLAME to the 478-vertex face."""

import dataclasses
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from flame_spoken import spoken  # noqa: E402

from mdth.embedded.motion.landmarks import flame_to_face  # noqa: E402
from mdth.embedded.speech.flame import FlameFace  # noqa: E402
from mdth.errors import CheckpointError, SpeechTooShort  # noqa: E402
from mdth.faceformer import flame_speech, predictor  # noqa: E402
from mdth.faceformer.config import VOCASET  # noqa: E402
from mdth.faceformer.export import FaceFormer, FlameSpeech  # noqa: E402
from mdth.faceformer.files import SUBJECT  # noqa: E402
from mdth.faceformer.flame_speech import Head  # noqa: E402
from mdth.flame.model import Embedding, Flame  # noqa: E402
from tests.support import faceformer_made_up as made_up  # noqa: E402
from tests.support import flame_made_up  # noqa: E402
from tests.support.commands import Command  # noqa: E402
from tests.support.raising import raises  # noqa: E402

SOUND = np.random.default_rng(0).normal(0, 0.1, 16_000 + 900).astype(np.float32)


@pytest.fixture(scope="module")
def head(flame: Flame, embedding: Embedding) -> Head:
    return Head(flame, embedding, flame.template * 1.01, np.full(15, 0.05), np.full(3, 0.1))


@pytest.fixture(scope="module")
def faceformer() -> FaceFormer:
    """Random weights, a tiny encoder, FLAME's number of vertices."""
    network = made_up.network(dataclasses.replace(VOCASET, encoder=made_up.SMALL_ENCODER))
    network.vertice_map_r.weight.mul_(1e-3)
    network.vertice_map_r.bias.zero_()
    return FaceFormer(network)


@pytest.fixture(scope="module")
def speech(faceformer: FaceFormer, head: Head) -> FlameSpeech:
    return FlameSpeech(faceformer, head)


@pytest.fixture(scope="module")
def face(speech: FlameSpeech) -> FlameFace:
    return FlameFace(speech)


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_frame_for_each_of_the_video(face: FlameFace, fps: int) -> None:
    frames = list(spoken(face, [SOUND], fps))
    assert len(frames) == round(len(SOUND) / 16_000 * fps)
    assert all(frame.shape == (478, 3) and frame.dtype == np.float32 for frame in frames)
    moved = np.abs(np.diff(frames, axis=0)).max(axis=(1, 2))
    assert moved[: len(moved) // 2].max() > 0, "something is said"


def test_blocks_change_nothing(face: FlameFace) -> None:
    whole = list(spoken(face, [SOUND], 25))
    np.testing.assert_array_equal(whole, list(spoken(face, np.array_split(SOUND, 7), 25)))


def test_sounds_that_are_heard_at_once(speech: FlameSpeech) -> None:
    """Two sounds in turns: each gets what it gets alone, when it has ended."""
    sounds = SOUND, SOUND[::-1][:9_000]
    begun = [speech.open(25), speech.open(30)]
    for parts in zip(*(np.array_split(sound, 5) for sound in sounds), strict=True):
        for one, part in zip(begun, parts, strict=True):
            assert list(one.feed(part)) == []
    for one, sound, fps in zip(begun, sounds, (25, 30), strict=True):
        np.testing.assert_array_equal(list(one.finish()), list(spoken(speech, [sound], fps)))
        one.close()


@pytest.mark.parametrize("fps", [5, 7, 12])
def test_few_frames_a_second_are_no_more_than_there_are(speech: FlameSpeech, fps: int) -> None:
    for samples in (4_900, 8_600, 12_000):
        found = list(spoken(speech, [SOUND[:samples]], fps))
        assert len(found) == max(1, round(samples / 16_000 * fps))


def test_rates_are_the_same_curve(face: FlameFace) -> None:
    """Every second frame at 60 is FaceFormer's own at 30, the others lie halfway between."""
    slow = np.array(list(spoken(face, [SOUND], 30)))
    fast = np.array(list(spoken(face, [SOUND], 60)))[: 2 * len(slow) - 4]
    np.testing.assert_allclose(fast[::2], slow[: len(fast[::2])], atol=1e-6)
    between = (slow[: len(fast[1::2])] + slow[1 : len(fast[1::2]) + 1]) / 2
    np.testing.assert_allclose(fast[1::2], between, atol=1e-6)


def test_long_sound_is_heard_in_windows_with_all_of_its_statistics(
    speech: FlameSpeech, faceformer: FaceFormer, head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file, as it is longer than what is held."""
    monkeypatch.setattr(predictor, "WHOLE_CLIP_S", 0.5)
    monkeypatch.setattr(flame_speech, "WHOLE_CLIP_S", 0.5)
    monkeypatch.setattr(flame_speech, "PIECE_BYTES", 4 * 3_001)
    meshes = faceformer.vertices(SOUND, head.template.astype(np.float32), SUBJECT, whole_clip_s=0.5)
    found = np.array(list(spoken(speech, np.array_split(SOUND, 9), faceformer.fps)))
    expected = head.landmarks(meshes) - head.landmarks(head.template[None])
    np.testing.assert_allclose(found[: len(meshes)], expected, rtol=0, atol=1e-6)


def test_too_short(face: FlameFace) -> None:
    raises(SpeechTooShort, None, list, itertools.islice(spoken(face, [SOUND[:2000]], 25), 1))


def test_a_template_of_another_model(head: Head) -> None:
    with pytest.raises(CheckpointError, match="vertices"):
        FlameSpeech(None, head._replace(template=np.zeros((7, 3))))  # type: ignore[arg-type]


def test_the_seeds_folder_from_the_command_line(
    mdth: Command,
    twin_home: Path,
    flame_folder: Path,
    flame: Flame,
    faceformer: FaceFormer,
    short_path: Path,
) -> None:
    """All files in their places but the 380 MB of FaceFormer, which a tiny one stands for."""
    common = twin_home / "home/warping-common/th"
    embedded = (common / "checkpoints").resolve()
    (common / "checkpoints").unlink()
    files = common / "checkpoints/faceformer"
    files.mkdir(parents=True)
    (common / "checkpoints/face_landmarker.task").symlink_to(embedded / "face_landmarker.task")
    (common / "flame").symlink_to(flame_folder)
    flame_made_up.write_ply(files / f"{SUBJECT}.ply", flame.template)
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
    raises(CheckpointError, "generic_model", FlameSpeech.load, tmp_path)


def test_landmarks_are_the_faces_parts(speech: FlameSpeech, face: FlameFace, head: Head) -> None:
    """The same motion at FLAME's own points, in metres; more frames than a chunk."""
    marks = np.stack(list(spoken(speech, [SOUND], 60)))
    faces = np.stack(list(spoken(face, [SOUND], 60)))
    assert marks.shape == (len(faces), 51, 3) and len(faces) > 32
    neutral = head.landmarks(head.template[None])[0]
    np.testing.assert_allclose(flame_to_face(marks, neutral), faces, atol=1e-6)
    raises(SpeechTooShort, None, next, spoken(speech, [SOUND[:2000]], 30))
