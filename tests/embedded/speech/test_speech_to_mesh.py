"""Speech to mesh: any chunks, in time, shut in silence, the same at any level and shift."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
from mdth.embedded.speech.windows import LiveScheme
from mdth.errors import CheckpointError
from mdth.face import geometry, topology
from mdth.media.audio import read_blocks

RATE_HZ = 16_000
DATA = Path(__file__).parents[2] / "data"
# A face that rests with shut lips: only the lips' middle and corners matter here.
NEUTRAL = np.zeros((478, 3))
NEUTRAL[topology.LIP_MID_PAIR[1], 1] = 0.003
NEUTRAL[topology.MOUTH_CORNERS[1], 0] = 0.55


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "live"])
def model(request: pytest.FixtureRequest) -> SpeechToMesh:
    from mdth.files import assets

    return SpeechToMesh(assets.path("moonshine_tiny_en_encoder.ort"), live=request.param)


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return np.concatenate(list(read_blocks(DATA / "bbaf2n.wav", rate_hz=RATE_HZ)))


def is_live(model: SpeechToMesh) -> bool:
    return isinstance(model.scheme, LiveScheme)


def opening(offsets: np.ndarray) -> np.ndarray:
    return geometry.lip_opening(offsets + NEUTRAL)


def change(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.sqrt(np.mean((first - second) ** 2)) / np.percentile(first, 95))


def pieces(sound: np.ndarray, sizes: list[int]) -> Iterator[np.ndarray]:
    at = 0
    for k in range(len(sound)):
        yield sound[at : at + sizes[k % len(sizes)]]
        at += sizes[k % len(sizes)]
        if at >= len(sound):
            return


@pytest.mark.parametrize("sizes", [[160], [1, 7, 3333], [20_000]])
def test_any_chunks_same_frames(model: SpeechToMesh, speech: np.ndarray, sizes: list[int]) -> None:
    whole = model.mesh_sequence(speech, 30).offsets
    streamed = np.stack(list(model.stream(pieces(speech, sizes), 30)))
    assert whole.dtype == np.float32 and whole.shape == (round(len(speech) / RATE_HZ * 30), 478, 3)
    assert np.abs(whole - streamed).max() < 1e-4


def test_a_frame_is_at_most_its_look_ahead_late(model: SpeechToMesh, speech: np.ndarray) -> None:
    sent = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal sent
        for at in range(0, len(speech), 16):
            sent = at + 16
            yield speech[at : at + 16]

    late = [sent / RATE_HZ - i / 30 for i, _ in enumerate(model.stream(blocks(), 30))]
    assert max(late) <= model.look_ahead_s + 16 / RATE_HZ
    assert model.look_ahead_s < (0.15 if is_live(model) else 0.5)


@pytest.mark.parametrize("count", [1, 100, 4800, 16_001])
def test_short_sounds_have_their_frames(model: SpeechToMesh, count: int) -> None:
    offsets = model.mesh_sequence(np.zeros(count, np.float32), 25).offsets
    assert len(offsets) == max(1, round(count / RATE_HZ * 25))


def test_lips_move_with_speech_and_shut_for_b(model: SpeechToMesh, speech: np.ndarray) -> None:
    gaps = opening(model.mesh_sequence(speech, 50).offsets)
    assert np.percentile(gaps, 95) > 0.08
    with (DATA / "bbaf2n.tsv").open(encoding="utf-8") as table:
        phones = [row for row in csv.DictReader(table, delimiter="\t") if row["phone"] == "B"]
    assert len(phones) == 2
    for phone in phones:
        middle_s = (float(phone["start_s"]) + float(phone["end_s"])) / 2
        near = np.abs(np.arange(len(gaps)) / 50 - middle_s) <= 0.06
        assert gaps[near].min() < 0.02


@pytest.mark.parametrize("level_db", [-120, -70, -50, -30])
def test_without_speech_the_lips_are_shut(model: SpeechToMesh, level_db: float) -> None:
    rng = np.random.default_rng(3)
    hiss = rng.standard_normal(2 * RATE_HZ).astype(np.float32) * np.float32(10 ** (level_db / 20))
    gaps = opening(model.mesh_sequence(hiss, 25).offsets)
    assert gaps.max() < 0.02
    # Without cross-fades the beginning of a hiss shows a little in one frame.
    assert np.abs(np.diff(gaps)).max() * 25 < (0.3 if is_live(model) else 0.1)


@pytest.mark.parametrize("gain", [0.1, 10.0])
def test_the_level_does_not_matter(model: SpeechToMesh, speech: np.ndarray, gain: float) -> None:
    plain = opening(model.mesh_sequence(speech, 25).offsets)
    assert change(plain, opening(model.mesh_sequence(speech * np.float32(gain), 25).offsets)) < 0.03


@pytest.mark.parametrize("shift", [97, 383])
def test_shifted_sound_shifts_the_lips(model: SpeechToMesh, speech: np.ndarray, shift: int) -> None:
    fps = RATE_HZ / shift
    plain = opening(model.mesh_sequence(speech, fps).offsets)
    moved = opening(model.mesh_sequence(np.pad(speech, (shift, 0)), fps).offsets)[1:]
    count = min(len(plain), len(moved))
    assert change(plain[:count], moved[:count]) < 0.03


def test_eyes_and_brows_stay(model: SpeechToMesh, speech: np.ndarray) -> None:
    assert np.abs(model.mesh_sequence(speech, 10).offsets[:, topology.UPPER_FACE]).max() == 0


def test_a_wrong_encoder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="fetch"):
        SpeechToMesh(tmp_path / "missing.ort")
    (tmp_path / "bad.ort").write_bytes(b"not a network" * 100)
    with pytest.raises(CheckpointError, match="fetch"):
        SpeechToMesh(tmp_path / "bad.ort")
