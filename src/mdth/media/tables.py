"""The tables of mp4 and mov files, which may promise more samples than a file has bytes."""

import struct
from collections.abc import Iterator

from mdth.files.reading import BoundedFile

BOXES = set(b"moov trak mdia minf stbl moof traf udta edts mvex dinf tref wave".split())
DEEPEST = 10  # FFmpeg goes no deeper
# Where the number of samples stands in a box: after version, flags and, in `stsz`, their size.
COUNTS = {b"stsz": 8, b"stz2": 8, b"trun": 4}
# FFmpeg keeps an entry of 24 bytes or more for each; files that are cut off miss some.
FEW = 1_000_000


def contradict(file: BoundedFile) -> bool:
    """Whether the tables promise over a million samples more than the file has bytes."""
    promised = sum(_counts(file, 0, file.size))
    file.seek(0)
    return promised > file.size + FEW


def _counts(file: BoundedFile, start: int, end: int, depth: int = 0) -> Iterator[int]:
    """The numbers of samples that boxes from `start` to `end` name."""
    while start + 8 <= end and depth <= DEEPEST:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if size == 1:
            size, body = int.from_bytes(file.read(8), "big"), body + 8
        if not (kind.isalnum() or start) or 0 < size < body - start:
            return  # another kind of file, or damaged
        after = min(start + size, end) if size else end
        if kind in BOXES:
            yield from _counts(file, body, after, depth + 1)
        elif kind in COUNTS:
            file.seek(body + COUNTS[kind])
            yield int.from_bytes(file.read(4), "big")
        start = after
