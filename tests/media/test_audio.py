import logging
import re
import struct
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from made_media import click_offsets_s, clicks, make_clip, make_sound, make_wav

from mdth.errors import InputError, UnreadableMedia
from mdth.media.audio import Mixdown, decode_blocks, probe_sound, read_blocks
from mdth.media.container import open_track
from mdth.media.limits import CODECS
from tests.support.raising import raises

TIMES_S = [0.0, 0.5, 1.5, 2.5]


def _read(path: Path) -> np.ndarray:
    return np.concatenate(list(read_blocks(path)))


@pytest.mark.parametrize(("name", "codec", "rate_hz", "layout"), [
    ("a.wav", "pcm_s16le", 44_100, "stereo"), ("a24.wav", "pcm_s24le", 48_000, "mono"),
    ("a8.wav", "pcm_u8", 8_000, "mono"), ("float.wav", "pcm_f32le", 37_000, "mono"),
    ("b.mp3", "libmp3lame", 44_100, "stereo"), ("b.m4a", "aac", 48_000, "stereo"),
    ("low.mp4", "aac", 11_025, "mono"), ("c.flac", "flac", 96_000, "mono"),
    ("d.ogg", "vorbis", 22_050, "stereo"), ("e.opus", "libopus", 48_000, "mono"),
    ("f.webm", "libopus", 48_000, "stereo"), ("g.mkv", "aac", 44_100, "5.1"),
    ("h.aiff", "pcm_s16be", 32_000, "mono"),
])  # fmt: skip
def test_every_kind_comes_out_in_time_and_level(
    tmp_path: Path, name: str, codec: str, rate_hz: int, layout: str
) -> None:
    sound = clicks(TIMES_S[1:], rate_hz=rate_hz, length_s=3.0)
    path = make_sound(tmp_path / name, sound, codec=codec, rate_hz=rate_hz, layout=layout)
    heard = _read(path)
    assert heard.dtype == np.float32
    assert heard.ndim == 1
    assert np.abs(click_offsets_s(heard, TIMES_S[1:], rate_hz=16_000)).max() < 0.0002
    assert abs(len(heard) / 16_000 - 3.0) < (0.03 if name == "g.mkv" else 0.002)
    # The small codecs of FFmpeg are not exact; a wrong down-mix would be 0.71 or 1.4 times.
    assert np.abs(heard).max() == pytest.approx(0.5, rel=0.15)
    info = probe_sound(path)
    assert (info.rate_hz, info.channels) == (rate_hz, {"mono": 1, "stereo": 2, "5.1": 6}[layout])
    assert info.duration_s == pytest.approx(3.0, abs=0.05)


def test_wav_is_exact(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, 40_000).astype(np.float32)
    np.testing.assert_allclose(_read(make_wav(tmp_path / "a.wav", sound)), sound, atol=1 / 16_000)


def test_two_channels_become_their_mean(tmp_path: Path) -> None:
    left = clicks([0.5], rate_hz=16_000, length_s=1.0)
    heard = _read(make_wav(tmp_path / "a.wav", np.stack([left, 0 * left])))
    np.testing.assert_allclose(heard, left / 2, atol=1e-4)


@pytest.mark.parametrize(("layout", "levels", "heard"), [
    ("stereo", {"FL": 1, "FR": -1}, 1), ("stereo", {"FL": 1}, 0.5), ("7.1", {"FC": 1}, 1),
    ("5.1", {"FC": 1, "FL": 0.5, "LFE": 1}, 1), ("5.1", {"FL": 1, "FR": 1}, 1),
    ("5.1", {"BL": 1, "LFE": 1}, 1), ("quad", {"FL": 1, "FR": 1}, 1), ("7.1", {}, 0),
])  # fmt: skip
def test_the_voice_keeps_its_level(layout: str, levels: dict[str, float], heard: float) -> None:
    voice = np.random.default_rng(0).uniform(-1, 1, 8000).astype(np.float32)
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    mix = Mixdown(layout)
    for _ in range(2):
        found = mix(np.stack([levels.get(name, 0) * voice for name in names]))
        np.testing.assert_allclose(found, heard * voice[None], atol=1e-6)


@pytest.mark.parametrize("scale", [2**15, 2**23, 2**31])
def test_floats_at_the_scale_of_integers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, scale: int
) -> None:
    sound = clicks([0.5], rate_hz=16_000, length_s=1.0)
    path = tmp_path / "a.wav"
    make_sound(path, sound * np.float32(scale), codec="pcm_f32le", rate_hz=16_000)
    np.testing.assert_allclose(_read(path), sound, atol=1e-4)
    assert "read as integers" in caplog.records[0].getMessage()
    for level in (1, 4):  # above full scale a little is loud
        make_sound(path, sound * level, codec="pcm_f32le", rate_hz=16_000)
        np.testing.assert_allclose(_read(path), sound * level, atol=1e-4)


def test_the_default_track_else_one_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mkv"
    sound = (16384 * clicks([0.5], rate_hz=16_000, length_s=1.0)).astype("<i2")
    with av.open(str(path), "w") as out:
        codecs = ("pcm_u8", "pcm_s16le", "flac")
        streams = [out.add_stream(codec, rate=16_000, layout="mono") for codec in codecs]
        for stream, default in zip(streams, (False, False, True), strict=True):
            stream.disposition = Disposition.default if default else Disposition(0)
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(sound[None], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            for piece in av.AudioResampler(
                stream.codec_context.format, "mono", 16_000, frame_size=4096
            ).resample(frame):
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
    for readable, codec in (({"pcm_s16le", "flac"}, "flac"), ({"pcm_s16le"}, "pcm_s16le")):
        monkeypatch.setitem(CODECS, "audio", readable)
        with open_track(path, "audio") as track:
            assert track.stream.codec_context.name == codec


@pytest.mark.parametrize(("name", "codec"), [
    ("a.ogg", "vorbis"), ("a.opus", "libopus"), ("a.webm", "libopus"), ("a.ts", "aac"),
    ("a.vob", "mp2"), ("a.flac", "flac"),
])  # fmt: skip
def test_joined_recordings_are_heard_to_the_end(tmp_path: Path, name: str, codec: str) -> None:
    sound = clicks([0.5, 2.5], rate_hz=48_000, length_s=3.0)
    layout = "stereo" if codec == "vorbis" else "mono"
    path = make_sound(tmp_path / name, sound, codec=codec, rate_hz=48_000, layout=layout)
    length_s = len(_read(path)) / 16_000
    path.write_bytes(2 * path.read_bytes())
    heard = _read(path)
    assert len(heard) / 16_000 == pytest.approx(2 * length_s, abs=0.03)
    times = [0.5, 2.5, length_s + 0.5, length_s + 2.5]
    assert np.abs(click_offsets_s(heard, times, rate_hz=16_000)).max() < 0.03


def test_pauses_of_a_phone_are_silent(caplog: pytest.LogCaptureFixture) -> None:
    """AMR's frames of comfort noise, which FFmpeg does not decode: 3.3 s with two pauses."""
    assert len(_read(Path(__file__).parents[1] / "data/pauses.amr")) / 16_000 > 3.1
    assert not caplog.records


@pytest.mark.parametrize(("name", "codec", "written"), [
    ("a.wav", "pcm_s16le", {}), ("a.caf", "pcm_s16le", {}), ("a.ogg", "libopus", {}),
    ("a.mp3", "libmp3lame", {"write_xing": "0"}), ("a.aac", "aac", {}),
])  # fmt: skip
def test_cut_is_said_of_what_is_cut(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str, written: dict[str, str]
) -> None:
    """The quiet start of a stream without a length says nothing about the rest's."""
    noise = np.random.default_rng(0).standard_normal(64_000).astype(np.float32)
    noise *= np.linspace(-0.3, 0.3, 64_000).clip(0)
    path = make_sound(tmp_path / name, noise, codec=codec, rate_hz=16_000, written=written)
    assert len(_read(path)) / 16_000 == pytest.approx(4, abs=0.2)
    assert not caplog.records
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _read(path)
    assert name in ("a.mp3", "a.aac") or "cut off" in caplog.records[0].getMessage()


@pytest.mark.parametrize("channels", [3, 8, 24])
def test_many_channels(tmp_path: Path, channels: int) -> None:
    sound = clicks([0.5], rate_hz=16_000, length_s=1.0)
    path = make_wav(tmp_path / "a.wav", np.repeat(sound[None], channels, axis=0))
    np.testing.assert_allclose(_read(path), sound, atol=1e-4)
    assert {len(block) for block in decode_blocks(path)} == {channels}


def test_blocks_are_short_and_lazy(tmp_path: Path) -> None:
    path = make_wav(tmp_path / "a.wav", clicks([1.0], rate_hz=16_000, length_s=120.0))
    list(read_blocks(path))
    tracemalloc.start()
    sizes = [len(block) for block in read_blocks(path)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sizes == [8000] * 240
    assert peak < 2_000_000  # all of it would be 7.7 MB


@pytest.mark.parametrize("hole_s", [0.05, 0.5, 20.0, 40.0])
def test_a_hole_in_time_is_silent_unless_it_cannot_be_true(tmp_path: Path, hole_s: float) -> None:
    """Holes under 0.1 s are jitter, those over 30 s a damaged time stamp: neither is filled."""
    piece = clicks([0.5], rate_hz=48_000, length_s=1.0)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for start_s in (0.0, 1.0 + hole_s):
            frame = av.AudioFrame.from_ndarray((piece * 32767).astype("<i2")[None], "s16", "mono")
            frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
            frame.pts = round(start_s * 48_000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    filled_s = hole_s if 0.1 < hole_s < 30 else 0.0
    for rate_hz in (16_000, 48_000):
        heard = np.concatenate(list(read_blocks(path, rate_hz)))
        assert len(heard) == round((2 + filled_s) * rate_hz)
        assert np.abs(click_offsets_s(heard, [0.5, 1.5 + filled_s], rate_hz=rate_hz)).max() < 0.0002
        assert not heard[rate_hz + 100 : round((1 + filled_s) * rate_hz) - 100].any()


def test_own_rate_and_channels(tmp_path: Path) -> None:
    sound = np.stack([clicks([0.1], rate_hz=44_100, length_s=1.0)] * 2)
    blocks = list(decode_blocks(make_wav(tmp_path / "a.wav", sound, rate_hz=44_100)))
    assert [block.shape for block in blocks] == [(2, 22_050), (2, 22_050)]


@pytest.mark.parametrize("read", [probe_sound, lambda path: next(read_blocks(path))])
def test_what_is_no_sound(unusable: Path, read: object) -> None:
    with pytest.raises(InputError, match=unusable.name) as caught:
        read(unusable)
    expected = "MissingInput" if unusable.stem == "missing" else "UnreadableMedia"
    assert type(caught.value).__name__ == expected


def test_a_clip_without_sound(tmp_path: Path) -> None:
    grey = np.full((32, 32, 3), 99, np.uint8)
    clip = make_clip(tmp_path / "a.mp4", [grey] * 5, [k / 30 for k in range(5)])
    raises(UnreadableMedia, "no sound", next, read_blocks(clip))


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.mp4", "aac"), ("a.flac", "flac")]
)
def test_truncated_sound_gives_what_decodes_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str
) -> None:
    sound = 0.3 * np.random.default_rng(0).standard_normal(32_000 * 4).astype(np.float32)
    path = make_sound(tmp_path / name, sound, codec=codec, rate_hz=32_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, "mdth"):
        heard = _read(path)
    assert 1.6 < len(heard) / 16_000 < 2.4
    (record,) = caplog.records
    said = float(re.search(r"([\d.]+) s of", record.getMessage())[1])
    assert said == pytest.approx(len(heard) / 16_000, abs=0.01)
    assert name in record.getMessage()


def test_truncated_mp4(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = 0.3 * np.random.default_rng(0).standard_normal(32_000 * 4).astype(np.float32)
    path = make_sound(tmp_path / "late.m4a", sound, codec="aac", rate_hz=32_000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])  # its index was at the end
    raises(UnreadableMedia, None, next, read_blocks(path))


def test_a_hole_in_the_file_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sound = 0.3 * np.random.default_rng(0).standard_normal(32_000 * 4).astype(np.float32)
    path = make_sound(tmp_path / "a.mp3", sound, codec="libmp3lame", rate_hz=32_000)
    content = bytearray(path.read_bytes())
    third = len(content) // 3
    content[third : third + 3000] = bytes(3000)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING, "mdth"):
        heard = _read(path)
    assert 3.3 < len(heard) / 16_000 < 3.9
    assert len(caplog.records) == 1


def test_nothing_decodes(tmp_path: Path) -> None:
    path = make_wav(tmp_path / "a.wav", clicks([0.1], rate_hz=16_000, length_s=1.0))
    path.write_bytes(path.read_bytes()[:44])
    raises(UnreadableMedia, None, next, read_blocks(path))


@pytest.mark.parametrize(("rate_hz", "channels"), [(1, 1), (4_000_000_000, 1), (16_000, 60_000)])
def test_a_header_that_lies(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = make_wav(tmp_path / "a.wav", clicks([0.1], rate_hz=16_000, length_s=1.0))
    content = bytearray(path.read_bytes())
    content[22:28] = struct.pack("<HI", channels, rate_hz)
    path.write_bytes(content)
    raises(UnreadableMedia, None, list, read_blocks(path))
