"""Files that claim, hold or unfold to too much end in an error of ours, in bounded memory."""

import logging
import resource
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hostile_files import atom, chunk, rebuilt
from made_media import make_clip, make_wav, tone
from PIL import Image

from mdth.errors import UnreadableMedia
from mdth.media import audio, limits, video
from mdth.media.audio import read_blocks
from mdth.media.image import read_image
from mdth.media.video import probe_video, read_frames
from tests.support.raising import raises

GREY = np.full((32, 32, 3), 99, np.uint8)


def png(path: Path, size: tuple[int, int], *extra: bytes, colour: int = 2) -> Path:
    """A PNG header and pixels for one row, with more chunks between them."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 + 3 * size[0])))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + b"".join(extra) + pixels + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize(
    "size", [(2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (1, 2**31 - 1), (0, 0), (60_000, 60_000)]
)
def test_a_png_of_absurd_size(tmp_path: Path, size: tuple[int, int]) -> None:
    path = png(tmp_path / "a.png", (1, 1))
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", *size)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    raises(UnreadableMedia, None, read_image, path)


@pytest.mark.parametrize("extra", [
    [chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000)))],
    [chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(200_000_000)))],
    [chunk(b"tEXt", b"a\0" + bytes(900_000))] * 80,
    [chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(200_000_000)))],
], ids=["zTXt", "iTXt", "tEXt", "iCCP"])  # fmt: skip
def test_a_png_whose_texts_unfold(tmp_path: Path, extra: list[bytes]) -> None:
    path = png(tmp_path / "a.png", (1, 1), *extra)
    before = _peak()
    try:
        read_image(path)
    except UnreadableMedia as error:
        assert "a.png" in str(error)
    assert _peak() - before < 150_000_000


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_a_thousand_frames_one_is_decoded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [Image.new("RGB", (40, 40), (shade % 256, shade // 256, 9)) for shade in range(1000)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
    seen = []

    def count(picture: Image.Image, *rest: object) -> object:
        seen.append(picture.tell())
        return once(picture, *rest)

    once = Image.Image.seek
    monkeypatch.setattr(Image.Image, "seek", count)
    assert read_image(tmp_path / name).shape == (40, 40, 3)
    assert seen == []


@pytest.mark.parametrize("number_type", range(14))
@pytest.mark.parametrize("value", [0, 9, 2**31, 2**32 - 1])
def test_an_exif_orientation_of_any_kind(tmp_path: Path, number_type: int, value: int) -> None:
    entry = struct.pack(">HHHII", 1, 0x0112, number_type, 1, value)
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08" + entry + bytes(4)
    Image.new("RGB", (40, 60)).save(tmp_path / "a.webp", exif=exif)
    assert read_image(tmp_path / "a.webp").shape == (60, 40, 3)


@pytest.mark.parametrize("count", [0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_an_exif_of_endless_entries(tmp_path: Path, count: int) -> None:
    entry = struct.pack(">HHII", 0x0112, 3, count, 8)
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08" + struct.pack(">H", 0xFFFF) + entry * 5000
    Image.new("RGB", (40, 60)).save(tmp_path / "a.webp", exif=exif)
    assert read_image(tmp_path / "a.webp").shape == (60, 40, 3)


@pytest.mark.parametrize("kind", ["JPEG2000", "PDF", "EPS", "ICO", "TGA", "PCX", "XBM"])
def test_kinds_that_are_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.jpg"
    mode = "1" if kind == "XBM" else "RGB"
    Image.new(mode, (64, 64)).save(path, kind)
    raises(UnreadableMedia, "jpeg, png", read_image, path)


def test_a_sound_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "LONGEST_SOUND_S", 2)
    raises(UnreadableMedia, "longer than", list, read_blocks(make_wav(tmp_path / "a.wav", tone(3))))


def test_holes_are_counted_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "LONGEST_SOUND_S", 200)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for number in range(10):
            packet = av.Packet(bytes(320))
            packet.stream, packet.time_base = stream, Fraction(1)
            packet.pts = packet.dts = 29 * number
            out.mux(packet)
    raises(UnreadableMedia, "longer than", list, read_blocks(path))


def test_codecs_that_no_recorder_writes(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.avi", [GREY] * 3, [0, 0.04, 0.08], codec="asv1")
    raises(UnreadableMedia, "asv1", probe_video, path)


def _header_patched(path: Path, kind: bytes, at: int, value: bytes) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(kind) + 4 + at
    content[place : place + len(value)] = value
    path.write_bytes(content)


@pytest.mark.parametrize("size", [(60_000, 60_000), (65_535, 2), (2, 65_535), (1, 1)])
def test_a_clip_of_absurd_size(tmp_path: Path, size: tuple[int, int]) -> None:
    """Raw pictures: the container alone says how large they are."""
    path = make_clip(tmp_path / "a.avi", [GREY] * 3, [0, 0.04, 0.08], codec="rawvideo")
    content = path.read_bytes()
    at = content.index(b"strf") + 8
    path.write_bytes(content[: at + 4] + struct.pack("<ii", *size) + content[at + 12 :])
    raises(UnreadableMedia, None, list, read_frames(path))


def test_a_size_that_changes_within_the_clip(tmp_path: Path) -> None:
    small = make_clip(tmp_path / "a.ts", [GREY] * 10, [k / 25 for k in range(10)])
    large_frame = np.full((96, 128, 3), 200, np.uint8)
    large = make_clip(tmp_path / "b.ts", [large_frame] * 10, [(10 + k) / 25 for k in range(10)])
    joined = tmp_path / "c.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    frames = list(read_frames(joined))
    assert {frame.shape for frame in frames} == {(32, 32, 3)}
    assert len(frames) > 15 and frames[0].mean() < 110 < 190 < frames[-1].mean()


def test_a_clip_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "a.mkv", [GREY] * 5, [20.0 * k for k in range(5)])
    monkeypatch.setattr(video, "LONGEST_CLIP_S", 60)
    raises(UnreadableMedia, "longer than", list, read_frames(path))


@pytest.mark.parametrize("units", [0, 1, 2**32 - 1])
def test_absurd_clocks(tmp_path: Path, units: int, caplog: pytest.LogCaptureFixture) -> None:
    """No time at all in a second, or four billion of them."""
    path = make_clip(tmp_path / "a.mp4", [GREY] * 5, [k / 25 for k in range(5)])
    _header_patched(path, b"mdhd", 12, struct.pack(">I", units))
    with caplog.at_level(logging.CRITICAL, "mdth"):
        try:
            assert 1 <= len(list(read_frames(path))) < 20_000
        except UnreadableMedia as error:
            assert "a.mp4" in str(error)


@pytest.mark.parametrize("length", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_length_that_is_a_lie(tmp_path: Path, length: int) -> None:
    path = make_clip(tmp_path / "a.mp4", [GREY] * 5, [k / 25 for k in range(5)])
    plain = len(list(read_frames(path)))
    for kind, place in ((b"mdhd", 16), (b"mvhd", 16), (b"tkhd", 20)):
        _header_patched(path, kind, place, struct.pack(">I", length))
    assert len(list(read_frames(path))) <= plain + 1


def test_nested_boxes(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", [GREY] * 5, [k / 25 for k in range(5)])
    body = b""
    for _ in range(3000):
        body = atom(b"udta", body)
    path.write_bytes(rebuilt(path.read_bytes(), {}) + body)
    try:
        assert list(read_frames(path))
    except UnreadableMedia:
        return


def test_an_attachment_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        out.add_attachment("../../evil.sh", "application/x-sh", b"#!/bin/sh\necho no\n")
        packet = av.Packet(bytes(32_000))
        packet.stream, packet.time_base, packet.pts, packet.dts = stream, Fraction(1), 0, 0
        out.mux(packet)
    assert sum(map(len, read_blocks(path))) == 16_000
    assert [file.name for file in tmp_path.iterdir()] == ["a.mkv"]


@pytest.mark.parametrize("rate_hz", [limits.LOWEST_RATE_HZ, 7_919, limits.HIGHEST_RATE_HZ])
def test_rates_at_both_ends(tmp_path: Path, rate_hz: int) -> None:
    path = make_wav(tmp_path / "a.wav", tone(1, rate_hz=rate_hz), rate_hz=rate_hz)
    assert sum(map(len, read_blocks(path))) == pytest.approx(16_000, abs=40)


def test_the_page_names_the_limits() -> None:
    page = (Path(__file__).parents[2] / "docs/limits_and_security.md").read_text("utf-8")
    for words in (
        f"{limits.LONGEST_SOUND_S // 3600} hours, {limits.MOST_CHANNELS} channels",
        f"{limits.LOWEST_RATE_HZ // 1000} to {limits.HIGHEST_RATE_HZ // 1000} kHz",
        f"{limits.LONGEST_CLIP_S // 60} minutes, {limits.LARGEST_CLIP_PIXELS // 1_000_000} million",
        f"sides of {limits.LARGEST_SIDE_PX} px",
        f"{limits.LARGEST_PIXELS // 1_000_000} million pixels",
    ):
        assert words in page
