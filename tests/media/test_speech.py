import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from made_media import make_wav

from mdth.artefacts import Speech
from mdth.errors import SpeechTooShort, StorageError
from mdth.media.speech import prepare_speech


def _wav(path: Path, seconds: float, *, level: float = 0.1, rate_hz: int = 16_000) -> Path:
    noise = level * np.random.default_rng(0).uniform(-1, 1, round(seconds * rate_hz))
    return make_wav(path, noise, rate_hz=rate_hz)


def test_what_is_prepared_is_what_is_loaded(tmp_path: Path) -> None:
    path = _wav(tmp_path / "My Voice.WAV", 2.5, rate_hz=44_100)
    speech = prepare_speech(path, tmp_path / "audio")
    assert speech.duration_s == pytest.approx(2.5, abs=1e-4)
    assert speech.samples.dtype == np.float32
    assert speech.original.read_bytes() == path.read_bytes()
    loaded = Speech.load(tmp_path / "audio")
    assert isinstance(loaded.samples, np.memmap)
    np.testing.assert_array_equal(loaded.samples, speech.samples)
    assert loaded.original == tmp_path / "audio" / "original.wav"
    assert sorted(f.name for f in (tmp_path / "audio").iterdir()) == ["original.wav", "speech.npy"]


def test_silence_is_a_speech(tmp_path: Path) -> None:
    speech = prepare_speech(_wav(tmp_path / "a.wav", 1.0, level=0), tmp_path / "audio")
    assert not speech.samples.any()
    assert len(speech.samples) == 16_000


def test_the_shortest_speech(tmp_path: Path) -> None:
    prepare_speech(_wav(tmp_path / "a.wav", 0.3), tmp_path / "audio")
    with pytest.raises(SpeechTooShort, match=r"b\.wav.*0\.29 s"):
        prepare_speech(_wav(tmp_path / "b.wav", 0.29), tmp_path / "short")
    assert list((tmp_path / "short").iterdir()) == []


def test_memory_does_not_grow_with_the_speech(tmp_path: Path) -> None:
    path = _wav(tmp_path / "a.wav", 60.0)
    prepare_speech(_wav(tmp_path / "b.wav", 1.0), tmp_path / "warm")
    tracemalloc.start()
    speech = prepare_speech(path, tmp_path / "audio")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(speech.samples) == 60 * 16_000  # 3.8 MB
    assert peak < 2_000_000


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        prepare_speech(_wav(tmp_path / "a.wav", 1.0), tmp_path / "file" / "audio")
