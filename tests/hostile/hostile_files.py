"""Files that nobody would make by accident."""

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from made_media import make_clip

CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def atom(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def rebuilt(content: bytes, replacements: dict[bytes, bytes]) -> bytes:
    """An mp4's atoms with the bodies of some kinds replaced, sizes made to fit."""
    out, at = b"", 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + size]
        if kind in replacements:
            body = replacements[kind]
        elif kind in CONTAINERS:
            body = rebuilt(body, replacements)
        out += atom(kind, body)
        at += size
    return out


def alias_record(path: Path) -> bytes:
    """A Macintosh alias to an absolute path, as old QuickTime files have it in `dref`."""
    text = str(path).encode().replace(b"/", b":")
    text += b"\0" * (len(text) % 2)
    record = bytes(10) + b"\0" + bytes(27) + bytes(12) + b"\0" + bytes(63) + bytes(16)
    record += struct.pack(">hh", 0, 0) + bytes(16)
    record += struct.pack(">HH", 2, len(text)) + text + struct.pack(">hh", -1, 0)
    return record + bytes(max(0, 160 - len(record)))


def mov_with_reference(path: Path, other: Path) -> Path:
    """A clip whose samples are said to lie in another file."""
    make_clip(path, [np.full((32, 32, 3), 99, np.uint8)] * 10, [k / 25 for k in range(10)])
    body = struct.pack(">II", 0, 1) + atom(b"alis", bytes(4) + alias_record(other))
    path.write_bytes(rebuilt(path.read_bytes(), {b"dref": body}))
    return path


def avi_with_subtitles(path: Path, text: str) -> Path:
    """A clip with a stream of subtitles that carries a whole file, as some AVIs do."""
    gab2 = b"GAB2\0" + struct.pack("<HIHHI", 2, 2, 0, 4, len(text)) + text.encode()
    grey = np.full((32, 32, 3), 99, np.uint8)
    with av.open(str(path), "w") as out:
        pictures = out.add_stream("mpeg4", rate=25)
        pictures.width = pictures.height = 32
        pictures.pix_fmt = "yuv420p"
        sound = out.add_stream("pcm_u8", rate=8000, layout="mono")
        for k in range(10):
            frame = av.VideoFrame.from_ndarray(grey, "rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            out.mux(pictures.encode(frame))
        packet = av.Packet(gab2)
        packet.stream, packet.pts, packet.dts, packet.time_base = sound, 0, 0, Fraction(1, 8000)
        out.mux(packet)
        out.mux(pictures.encode(None))
    content = path.read_bytes()
    assert content.count(b"auds") == 1
    path.write_bytes(content.replace(b"auds", b"txts").replace(b"01wb", b"01tx"))
    return path


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum
