import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from made_media import make_wav

from mdth.errors import SpeechTooShort, StorageError
from mdth.media.speech import prepare_speech


def _wav(path: Path, seconds: float, *, level: float = 0.1, rate_hz: int = 16_000) -> Path:
    noise = level * np.random.default_rng(0).uniform(-1, 1, round(seconds * rate_hz))
    return make_wav(path, noise, rate_hz=rate_hz)


@pytest.mark.parametrize(("seconds", "level"), [(2.5, 0.1), (1.0, 0), (0.3, 0.1)])
def test_what_is_prepared_is_the_sound_itself(tmp_path: Path, seconds: float, level: float) -> None:
    path = _wav(tmp_path / "My Voice.WAV", seconds, level=level, rate_hz=44_100)
    prepare_speech(path, tmp_path / "audio")
    (kept,) = (tmp_path / "audio").iterdir()
    assert kept.name == "original.wav" and kept.read_bytes() == path.read_bytes()


def test_a_speech_too_short(tmp_path: Path) -> None:
    with pytest.raises(SpeechTooShort, match=r"b\.wav.*0\.29 s"):
        prepare_speech(_wav(tmp_path / "b.wav", 0.29), tmp_path / "short")
    assert not (tmp_path / "short").exists()


def test_memory_does_not_grow_with_the_speech(tmp_path: Path) -> None:
    path = _wav(tmp_path / "a.wav", 60.0)
    prepare_speech(_wav(tmp_path / "b.wav", 1.0), tmp_path / "warm")
    tracemalloc.start()
    prepare_speech(path, tmp_path / "audio")  # of 3.8 MB as it is heard
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        prepare_speech(_wav(tmp_path / "a.wav", 1.0), tmp_path / "file" / "audio")
