import io
import os
import subprocess
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from made_media import click_offsets_s, clicks, make_sound, make_wav

from mdth.errors import InputError, StorageError
from mdth.media.audio import decode_blocks, read_blocks
from mdth.media.video import read_frames
from mdth.media.writer import RawWriter, VideoWriter
from tests.support.raising import raises

DARK, BRIGHT = (np.full((32, 32, 3), level, np.uint8) for level in (10, 240))


def _noise(count: int, size: int = 64) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    for _ in range(count):
        yield random.integers(0, 255, (size, size, 3), dtype=np.uint8)


def _write(path: Path, frames: Iterator[np.ndarray], *, fps: Fraction | float = 30, **more) -> Path:
    first = next(frames)
    height, width = first.shape[:2]
    more.setdefault("sound", None)
    with VideoWriter(path, width=width, height=height, fps=fps, **more) as writer:
        writer.write(first)
        for frame in frames:
            writer.write(frame)
    return path


def test_sixty_seconds_stay_in_step(tmp_path: Path) -> None:
    fps = Fraction(30_000, 1001)
    times_s = [0.0, 1.0, 30.0, 59.5]
    wav = make_wav(tmp_path / "a.wav", clicks(times_s, rate_hz=44_100, length_s=60), rate_hz=44_100)
    flashes = {round(time * fps) for time in times_s}
    count = round(60 * fps)
    frames = (BRIGHT if k in flashes else DARK for k in range(count))
    path = _write(tmp_path / "a.mp4", frames, fps=fps, sound=wav, preset="ultrafast")

    heard = np.concatenate([block[0] for block in decode_blocks(path)])
    assert np.abs(click_offsets_s(heard, times_s, rate_hz=44_100)).max() < 0.0002
    seen = [k for k, frame in enumerate(read_frames(path)) if frame.mean() > 120]
    for time_s, frame in zip(times_s, seen, strict=True):
        assert abs(frame / fps - time_s) <= 0.5 / fps + 1e-9
    with av.open(str(path)) as file:
        lengths = [float(stream.duration * stream.time_base) for stream in file.streams]
        assert [stream.start_time for stream in file.streams] == [0, 0]
        assert file.streams.video[0].frames == count
        assert file.streams.video[0].average_rate == fps
    assert abs(lengths[0] - lengths[1]) < 1 / fps
    assert len(heard) / 44_100 == pytest.approx(60.0, abs=0.001)


@pytest.mark.parametrize(("rate_hz", "layout", "written"), [
    (48_000, "stereo", (48_000, 2)), (16_000, "mono", (16_000, 1)), (8_000, "mono", (8_000, 1)),
    (37_000, "mono", (48_000, 1)), (44_100, "5.1", (44_100, 6)), (44_100, "5.1(side)", (44_100, 6)),
    (16_000, "quad", (16_000, 1)), (16_000, "7.1", (16_000, 1)),
])  # fmt: skip
def test_sound_is_kept(tmp_path: Path, rate_hz: int, layout: str, written: tuple[int, int]) -> None:
    sound = clicks([0.25, 1.5], rate_hz=rate_hz, length_s=2.0)
    wav = make_sound(tmp_path / "a.wav", sound, codec="pcm_s16le", rate_hz=rate_hz, layout=layout)
    path = _write(tmp_path / "a.mp4", (DARK for _ in range(60)), sound=wav)
    with av.open(str(path)) as file:
        stream = file.streams.audio[0]
        assert (stream.rate, stream.channels) == written
        assert stream.codec_context.name == "aac"
    heard = np.concatenate(list(read_blocks(path)))
    assert np.abs(click_offsets_s(heard, [0.25, 1.5], rate_hz=16_000)).max() < 0.0002
    assert np.abs(heard).max() == pytest.approx(0.5, rel=0.15)


def test_sound_of_another_length_is_cut_or_filled(tmp_path: Path) -> None:
    wav = make_wav(tmp_path / "a.wav", clicks([0.5], rate_hz=16_000, length_s=2.0))
    for count in (15, 90):
        path = _write(tmp_path / f"{count}.mp4", (DARK for _ in range(count)), sound=wav)
        heard = np.concatenate(list(read_blocks(path)))
        assert len(heard) / 16_000 == pytest.approx(count / 30, abs=0.001)


def test_colours_survive(tmp_path: Path) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    rgb = cv2.resize(patches, (256, 256), interpolation=cv2.INTER_NEAREST)
    path = _write(tmp_path / "a.mp4", iter([rgb] * 4), crf=4)
    centres = np.s_[16::32, 16::32]
    for found in read_frames(path):
        assert np.abs(found[centres].astype(int) - rgb[centres]).mean() < 2.5
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p"
        # limited range, BT.601 matrix, BT.709 primaries and transfer: as it was converted
        tags = context.color_range, context.colorspace, context.color_primaries, context.color_trc
        assert tags == (1, 6, 1, 1)


def test_browsers_can_start_before_the_end(tmp_path: Path) -> None:
    content = _write(tmp_path / "a.mp4", _noise(10)).read_bytes()
    assert content[4:8] == b"ftyp" and content.index(b"moov") < content.index(b"mdat")


def test_metadata(tmp_path: Path) -> None:
    for metadata in (
        {"title": "A talk", "comment": "synthetic: made by a program"},
        {"comment": "synthetic", "made_with": "mdth"},
    ):
        path = _write(tmp_path / "a.mp4", _noise(2), metadata=metadata)
        with av.open(str(path)) as file:
            assert metadata.items() <= file.metadata.items()


def test_the_caller_may_reuse_its_array(tmp_path: Path) -> None:
    frame = DARK.copy()
    with VideoWriter(tmp_path / "a.mp4", width=32, height=32, fps=30, sound=None) as writer:
        for k in range(20):
            frame[:] = 10 * k
            writer.write(frame)
    means = [found.mean() for found in read_frames(tmp_path / "a.mp4")]
    assert np.abs(np.array(means) - 10 * np.arange(20)).max() < 4


def test_nothing_has_the_name_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.mp4"
    with VideoWriter(path, width=64, height=64, fps=30, sound=None) as writer:
        for frame in _noise(40):
            writer.write(frame)
        assert not path.exists()
        assert sorted(file.suffix for file in path.parent.iterdir()) == [".lock", ".mp4"]
        assert all(file.name.startswith(".") for file in path.parent.iterdir())
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("name", ["12:30.mp4", "a:b:c.mp4", "é" * 125 + ".mp4"])
def test_any_name_that_a_disk_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sum(1 for _ in read_frames(_write(Path(name), _noise(3)))) == 3
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("an older film")
    wav = make_wav(tmp_path / "a.wav", clicks([0.5], rate_hz=16_000, length_s=9.0))
    before = set(threading.enumerate())
    with pytest.raises(error), VideoWriter(path, width=64, height=64, fps=30, sound=wav) as writer:
        for frame in _noise(30):
            writer.write(frame)
        raise error
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.mp4", "a.wav"]
    assert path.read_text() == "an older film"
    assert set(threading.enumerate()) <= before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 kB. Only root can make one; elsewhere the test is skipped."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no rights to mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("count", [70, 78, 79, 80, 82, 120])
def test_a_full_disk_is_an_error_or_the_film_is_whole(small_disk: Path, count: int) -> None:
    path = small_disk / "a.mp4"
    try:
        _write(path, _noise(count))
    except StorageError as error:
        assert "No space left" in str(error) and str(path) in str(error)
        assert list(small_disk.iterdir()) == []
    else:
        assert sum(1 for _ in read_frames(path)) == count
        assert count < 120


def test_a_write_error_while_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = av.open

    class Failing:
        def __init__(self, *given, **more) -> None:
            self.real = opened(*given, **more)

        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None:
            self.real.close()

        def __getattr__(self, name: str):
            return getattr(self.real, name)

        def mux(self, packets: object) -> None:
            if packets:
                raise OSError(5, os.strerror(5))

    monkeypatch.setattr(av, "open", Failing)
    raises(StorageError, "Input/output error", _write, tmp_path / "a.mp4", _noise(200))
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a.mp4", tmp_path):
        raises(StorageError, path.name, _write, path, _noise(1))


def test_a_bad_sound_is_said_before_any_frame(tmp_path: Path) -> None:
    bad = tmp_path / "a.wav"
    bad.write_text("no sound")
    for sound in (bad, tmp_path / "none.wav"):
        raises(InputError, sound.name, _write, tmp_path / "a.mp4", _noise(1), sound=sound)
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="even"):
        VideoWriter(tmp_path / "a.mp4", width=63, height=64, fps=30, sound=None)
    raises(ValueError, "uint8", _write, tmp_path / "a.mp4", iter([DARK, DARK[:30]]))
    with (
        pytest.raises(ValueError, match="no frame"),
        VideoWriter(tmp_path / "a.mp4", width=64, height=64, fps=30, sound=None),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_caller_waits_when_the_encoder_is_slow(tmp_path: Path) -> None:
    sizes = []
    with VideoWriter(tmp_path / "a.mp4", width=320, height=320, fps=30, sound=None) as writer:
        for frame in _noise(30, 320):
            writer.write(frame)
            sizes.append(len(writer._encoded._waiting))
    assert max(sizes) <= 4


def test_raw_frames(tmp_path: Path) -> None:
    frames = list(_noise(3))
    pipe = io.BytesIO()
    with RawWriter(pipe) as writer:
        for frame in frames:
            writer.write(frame)
        assert writer.bytes_written == sum(frame.nbytes for frame in frames)
        assert pipe.getvalue() == b"".join(frame.tobytes() for frame in frames)


def test_raw_frames_nobody_reads() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with (
        pytest.raises(StorageError),
        os.fdopen(writing, "wb", buffering=0) as pipe,
        RawWriter(pipe) as writer,
    ):
        writer.write(DARK)
