"""Titles and names in a file are anybody's bytes, and no reason to refuse it."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from made_media import make_clip, make_sound

from mdth.media.audio import probe_sound, read_blocks
from mdth.media.video import probe_video, read_frames

WORD, NO_UTF8 = b"tag0tag1", b"t\xe9g\xff\xfe\x80\xc3("
RATE_HZ = 48_000


def _damaged(path: Path) -> Path:
    """The same with tags that are no UTF-8."""
    content = path.read_bytes()
    assert WORD in content
    path.write_bytes(content.replace(WORD, NO_UTF8))
    return path


@pytest.mark.parametrize(("suffix", "codec"), [
    (".wav", "pcm_s16le"), (".aiff", "pcm_s16be"), (".mp3", "libmp3lame"), (".flac", "flac"),
    (".m4a", "aac"), (".mkv", "aac"),
])  # fmt: skip
def test_a_sound_with_tags_that_are_no_utf8(tmp_path: Path, suffix: str, codec: str) -> None:
    silence = np.zeros(RATE_HZ, np.float32)
    told = {"codec": codec, "rate_hz": RATE_HZ, "title": WORD.decode()}
    path = _damaged(make_sound(tmp_path / f"a{suffix}", silence, **told))
    assert probe_sound(path).rate_hz == RATE_HZ
    assert sum(map(len, read_blocks(path))) == pytest.approx(16_000, abs=100)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_a_clip_with_tags_that_are_no_utf8(tmp_path: Path, suffix: str) -> None:
    grey, times = [np.full((32, 32, 3), 99, np.uint8)] * 25, [Fraction(k, 25) for k in range(25)]
    told = {"codec": "mpeg4", "clock_hz": 25, "title": WORD.decode()}
    path = _damaged(make_clip(tmp_path / f"a{suffix}", grey, times, **told))
    assert probe_video(path).fps == 25
    assert sum(1 for _ in read_frames(path)) == 25
