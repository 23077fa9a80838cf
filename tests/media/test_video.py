import logging
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from made_media import clicks, make_clip, make_sound

from mdth.errors import InputError, UnreadableMedia
from mdth.media.video import probe_video, read_frames
from tests.support.raising import raises


def _levels(count: int, *, shape: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Grey frames, each brighter by 4 than the one before."""
    return [np.full((*shape, 3), 40 + 4 * k, np.uint8) for k in range(count)]


def _read_levels(path: Path) -> list[int]:
    """Which of `_levels` each frame is."""
    return [round((float(frame.mean()) - 40) / 4) for frame in read_frames(path)]


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30), Fraction(30_000, 1001), Fraction(60)])
def test_constant_rate_gives_every_frame_once(tmp_path: Path, fps: Fraction) -> None:
    path = make_clip(tmp_path / "a.mp4", _levels(40), [k / fps for k in range(40)])
    info = probe_video(path)
    assert (info.width, info.height) == (64, 48)
    assert info.fps == pytest.approx(fps, rel=1e-3)
    assert info.duration_s == pytest.approx(40 / float(fps), abs=0.05)
    assert _read_levels(path) == list(range(40))


def test_frames_are_contiguous_rgb(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    (frame,) = read_frames(make_clip(tmp_path / "a.mp4", [red], [0.0]))
    assert frame.dtype == np.uint8
    assert frame.flags.c_contiguous
    assert np.abs(frame[24, 32].astype(int) - [200, 0, 0]).max() < 8


def test_variable_rate_takes_the_nearest_frame_per_tick(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.8, 0.9, 1.0, 1.01, 1.1]
    path = make_clip(tmp_path / "a.mkv", _levels(10), times)
    fps = float(probe_video(path).fps)
    found = _read_levels(path)
    for tick, chosen in enumerate(found):
        away = np.abs(np.array(times) - tick / fps)
        assert away[chosen] <= away.min() + 0.002  # the file's time stamps are whole ms
    assert len(found) / fps == pytest.approx(1.1 + 1 / fps, abs=1 / fps)


@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation_deg: int) -> None:
    shown = np.full((64, 48, 3), 100, np.uint8)
    shown[:16, :24] = 230  # bright top left corner
    stored = np.ascontiguousarray(np.rot90(shown, -rotation_deg // 90))
    path = make_clip(tmp_path / "a.mp4", [stored] * 3, [0, 0.1, 0.2], rotation_deg=rotation_deg)
    info = probe_video(path)
    frame = next(read_frames(path))
    assert frame.shape == (64, 48, 3)
    assert (info.height, info.width) == (64, 48)
    assert np.abs(frame.astype(int) - shown).mean() < 4


def test_a_late_start_keeps_picture_and_sound_together(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", _levels(10), [1 + k / 25 for k in range(10)])
    assert _read_levels(path) == list(range(10))


def test_truncated_clip_gives_what_decodes_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(60)]
    path = make_clip(tmp_path / "a.mkv", frames, [k / 25 for k in range(60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, "mdth"):
        count = sum(1 for _ in read_frames(path))
    assert 20 < count < 40
    (record,) = caplog.records
    assert f"{count / float(probe_video(path).fps):.2f} s" in record.getMessage()


def test_a_time_stamp_far_away_makes_no_endless_clip(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", _levels(5), [0.0, 0.1, 0.2, 90_000.0, 90_000.1])
    assert sum(1 for _ in read_frames(path)) < 200


@pytest.mark.parametrize("claim", [float("inf"), 1e300, float("nan"), 0.0, -5.0, 1e-9])
def test_a_rate_that_cannot_be(tmp_path: Path, claim: float) -> None:
    path = make_clip(tmp_path / "a.flv", _levels(10), [k / 25 for k in range(10)], codec="flv")
    content = path.read_bytes()
    place = content.index(b"framerate\0") + 10
    path.write_bytes(content[:place] + struct.pack(">d", claim) + content[place + 8 :])
    assert probe_video(path).fps == 25
    assert sum(1 for _ in read_frames(path)) == 10


@pytest.mark.parametrize("read", [probe_video, lambda path: next(read_frames(path))])
def test_what_is_no_video(unusable: Path, read: object) -> None:
    raises(InputError, unusable.name, read, unusable)


def test_a_sound_is_no_video(tmp_path: Path) -> None:
    sound = clicks([0.1], rate_hz=16_000, length_s=1.0)
    path = make_sound(tmp_path / "a.mp3", sound, codec="libmp3lame", rate_hz=16_000)
    raises(UnreadableMedia, "no video", probe_video, path)


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    raises(UnreadableMedia, "still picture", probe_video, tmp_path / "a.png")
