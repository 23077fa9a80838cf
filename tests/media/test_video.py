import logging
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_media import clicks, make_clip, make_sound

from mdth.errors import InputError, UnreadableMedia
from mdth.media.audio import read_blocks
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
    late = np.array(times) - np.arange(len(found))[:, None] / fps
    for later, chosen in zip(late, found, strict=True):  # the file's time stamps are whole ms
        assert later[chosen] <= 0.5 / fps + 0.002  # the picture before the hole stays
        assert abs(later[chosen]) <= np.abs(later[later < 0.5 / fps - 0.002]).min() + 0.002
    assert len(found) / fps == pytest.approx(1.1 + 1 / fps, abs=1 / fps)


@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotation_deg", [0, 90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation_deg: int, hflip: bool) -> None:
    shown = np.full((64, 48, 3), 100, np.uint8)
    shown[:16, :24] = 230  # bright top left corner
    stored = np.ascontiguousarray(
        np.rot90(np.fliplr(shown) if hflip else shown, -rotation_deg // 90)
    )
    turn = {"rotation_deg": rotation_deg, "hflip": hflip}  # mirrored after it
    path = make_clip(tmp_path / "a.mp4", [stored] * 3, [0, 0.1, 0.2], **turn)
    info = probe_video(path)
    frame = next(read_frames(path))
    assert frame.shape == (64, 48, 3)
    assert (info.height, info.width) == (64, 48)
    assert np.abs(frame.astype(int) - shown).mean() < 4


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", _levels(2), [0, 0.1], sample_aspect_ratio=Fraction(64, 45))
    assert next(read_frames(path)).shape == (48, 90, 3)
    assert (probe_video(path).width, probe_video(path).height) == (90, 48)


def test_interlaced_pictures_have_no_combs(tmp_path: Path) -> None:
    rows = np.arange(96)[:, None]
    moving = []
    for k in range(6):
        edge = np.where(rows % 2, 20 * k, 20 * k + 10) + 24  # the lower field comes first
        moving.append(np.where(np.arange(192) < edge, 230, 20)[..., None].repeat(3, 2))
    fields = {"x264-params": "interlaced=1", "crf": "4"}
    frames = [frame.astype(np.uint8) for frame in moving]
    path = make_clip(tmp_path / "a.mp4", frames, [k / 25 for k in range(6)], options=fields)
    edges = [(frame[4:-4, :, 0] > 125).sum(axis=1) for frame in read_frames(path)]
    assert np.abs(np.array(edges) - (20 * np.arange(6)[:, None] + 24)).max() <= 2  # 10 as they come


@pytest.mark.parametrize("name", ["a.ts", "a.mkv"])
def test_joined_clips_go_on(tmp_path: Path, name: str) -> None:
    path = make_clip(tmp_path / name, _levels(20), [k / 30 for k in range(20)])
    path.write_bytes(2 * path.read_bytes())
    assert _read_levels(path) == [*range(20), *range(20)]


# What ITU-R BT.2408 puts where in HLG and PQ (white, grey card), and BT.709's red in wider ones.
@pytest.mark.parametrize(("trc", "primaries", "signal", "shown", "most"), [
    (18, 9, [0.75] * 3, [250] * 3, 5), (18, 9, [0.38] * 3, [105] * 3, 2),
    (16, 9, [0.58] * 3, [250] * 3, 5), (16, 9, [0.38] * 3, [107] * 3, 3),
    (14, 9, [0.8235, 0.3285, 0.1804], [250, 0, 0], 14),  # 8 bits are coarse in the dark
    (1, 12, [0.9218, 0.2421, 0.1836], [250, 0, 0], 14), (13, 12, [0.5] * 3, [128] * 3, 2),
])  # fmt: skip
def test_wide_colours_come_to_the_screen(
    tmp_path: Path, trc: int, primaries: int, signal: list[float], shown: list[int], most: int
) -> None:
    rgb = np.broadcast_to(np.round(255 * np.array(signal)).astype(np.uint8), (48, 64, 3))
    tags = {"color_trc": trc, "color_primaries": primaries, "color_range": 1}
    path = make_clip(
        tmp_path / "a.mp4", [np.ascontiguousarray(rgb)] * 2, [0, 0.1], pix_fmt="yuv444p10le",
        options={"crf": "1"}, **tags,
    )  # fmt: skip
    assert np.abs(next(read_frames(path))[24, 32].astype(int) - shown).max() <= most


def test_a_late_start_keeps_picture_and_sound_together(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.ts", _levels(10), [1 + k / 25 for k in range(10)])
    assert _read_levels(path) == list(range(10))


def test_a_cut_clip_is_used_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise = np.random.default_rng(0)
    frames = [noise.integers(0, 255, (48, 64, 3), dtype=np.uint8) for _ in range(60)]
    path = make_clip(tmp_path / "a.mkv", frames, [k / 25 for k in range(60)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, "mdth"):
        count = sum(1 for _ in read_frames(path))
    assert 20 < count < 40
    (record,) = caplog.records
    assert f"{count / float(probe_video(path).fps):.2f} s" in record.getMessage()


@pytest.mark.parametrize(("start_s", "sound_s"), [(9, 0.4), (0, 3.0)])
def test_what_starts_late_or_ends_before_the_sound_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, start_s: int, sound_s: float
) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        video, sound = out.add_stream("mjpeg", rate=25), out.add_stream("pcm_s16le", rate=48_000)
        video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
        sound.layout = "mono"
        silence = np.zeros((1, round(48_000 * sound_s)), np.int16)
        heard = av.AudioFrame.from_ndarray(silence, "s16", "mono")
        heard.sample_rate, heard.pts = 48_000, 48_000 * start_s
        heard.time_base = Fraction(1, 48_000)
        for number, rgb in enumerate(_levels(10)):
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format="yuvj420p")
            frame.pts, frame.time_base = number + 25 * start_s, Fraction(1, 25)
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        out.mux(sound.encode(heard))
        out.mux(sound.encode(None))
    assert _read_levels(path) == list(range(10))
    assert sum(map(len, read_blocks(path))) / 16_000 == pytest.approx(sound_s, abs=0.05)
    assert not caplog.records


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
