"""Titles and names in a file are anybody's bytes, and no reason to refuse it."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mdth.media.audio import probe_sound, read_blocks
from mdth.media.video import probe_video, read_frames

WORD, NO_UTF8 = b"tag0tag1", b"t\xe9g\xff\xfe\x80\xc3("
RATE_HZ = 48_000


def _tagged(path: Path, kind: str, codec: str) -> Path:
    """A second of silence or grey whose file and stream have tags that are no UTF-8."""
    with av.open(str(path), "w") as out:
        out.metadata["title"] = WORD.decode()
        stream = out.add_stream(codec, rate=RATE_HZ if kind == "sound" else 25)
        stream.metadata.update(title=WORD.decode(), handler_name=WORD.decode())
        for frame in _silence(stream) if kind == "sound" else _grey(stream):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    content = path.read_bytes()
    assert WORD in content
    path.write_bytes(content.replace(WORD, NO_UTF8))
    return path


def _silence(stream: av.AudioStream) -> list[av.AudioFrame]:
    stream.layout = "mono"
    stream.codec_context.open()
    frame = av.AudioFrame.from_ndarray(np.zeros((1, RATE_HZ), np.float32), "flt", "mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
    converter = av.AudioResampler(
        stream.format, "mono", RATE_HZ, frame_size=stream.codec_context.frame_size or None
    )
    return [*converter.resample(frame), *converter.resample(None)]


def _grey(stream: av.VideoStream) -> list[av.VideoFrame]:
    stream.width = stream.height = 32
    stream.pix_fmt = "yuv420p"
    frames = [av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8)) for _ in range(25)]
    for k, frame in enumerate(frames):
        frame.pts, frame.time_base = k, Fraction(1, 25)
    return frames


@pytest.mark.parametrize(("suffix", "codec"), [
    (".wav", "pcm_s16le"), (".aiff", "pcm_s16be"), (".mp3", "libmp3lame"), (".flac", "flac"),
    (".m4a", "aac"), (".mkv", "aac"),
])  # fmt: skip
def test_a_sound_with_tags_that_are_no_utf8(tmp_path: Path, suffix: str, codec: str) -> None:
    path = _tagged(tmp_path / f"a{suffix}", "sound", codec)
    assert probe_sound(path).rate_hz == RATE_HZ
    assert sum(map(len, read_blocks(path))) == pytest.approx(16_000, abs=100)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi"])
def test_a_clip_with_tags_that_are_no_utf8(tmp_path: Path, suffix: str) -> None:
    path = _tagged(tmp_path / f"a{suffix}", "clip", "mpeg4")
    assert probe_video(path).fps == 25
    assert sum(1 for _ in read_frames(path)) == 25
