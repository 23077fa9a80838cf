"""Numpy's files from anybody, read within limits: nothing in them is called or trusted.

numpy itself makes an array as large as a header says, and unpacks what a zip holds. Here an array
is what its reader wants it to be, or a ValueError, and no more is unpacked than that takes.
"""

import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mdth.files.reading import BoundedFile

Array = npt.NDArray[Any]

# What reading a file that is missing, cut off or not ours can raise.
DAMAGE = (
    *(OSError, ValueError, KeyError, EOFError, OverflowError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error),
)
MOST_BYTES = 1 << 30
LONGEST_HEADER = 10_000
# As numpy writes it; numpy's own reader hands it to Python's parser, which can crash.
_HEADER = re.compile(
    rb"\{'descr': '([<>|]?(?:[fiu][1248]|b1|U\d{1,3}))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}(?:, |,?(?=\))))*)\),? ?\}\s*"
)


class Wanted(NamedTuple):
    """What an array has to be.

    shape: None for any length; what begins with None has an entry for each frame. kinds: of
    numbers, as numpy's `dtype.kind`. Floating numbers must be finite, at most `most` in size and
    not below `least`.
    """

    shape: tuple[int | None, ...]
    kinds: str = "f"
    most: float = 1e6
    least: float = -math.inf


def read_npz(path: Path, wanted: Mapping[str, Wanted]) -> dict[str, Array]:
    """The wanted arrays of an npz, all of as many frames, at least one.

    Raises what `DAMAGE` lists.
    """
    with zipfile.ZipFile(path) as archive:
        found = {name: _read_member(archive, name, want) for name, want in wanted.items()}
    lengths = {len(found[name]) for name, want in wanted.items() if want.shape[:1] == (None,)}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"lengths that differ or are 0: {sorted(lengths)}")
    return found


def write_npz(path: Path, tracks: Mapping[str, Array], **exact: Array | np.floating[Any]) -> None:
    """An npz in a folder that is made; of the tracks floating numbers become float32."""
    path.parent.mkdir(parents=True, exist_ok=True)
    single = {
        name: track.astype(np.float32) if track.dtype.kind == "f" else track
        for name, track in tracks.items()
    }
    np.savez_compressed(path, allow_pickle=False, **exact, **single)


def map_numbers(path: Path) -> npt.NDArray[np.float32]:
    """Read-only float32 [N] of an npy, which stay on disk. Raises what `DAMAGE` lists."""
    with BoundedFile(path) as file:
        dtype, shape, _ = _header(file)
        start = file.tell()
    if dtype != np.dtype("<f4") or len(shape) != 1:
        raise ValueError(f"numbers {dtype} {shape}, not a row of float32")
    if not shape[0] or path.stat().st_size != start + 4 * shape[0]:
        raise ValueError(f"{path.stat().st_size} bytes for {shape[0]} numbers")
    return np.memmap(path, np.float32, "r", offset=start, shape=shape)


def _read_member(archive: zipfile.ZipFile, name: str, want: Wanted) -> Array:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed in a way that is not read")
    with archive.open(member) as file:
        return _read(file, name, want)


def _read(file: IO[bytes], name: str, want: Wanted) -> Array:
    dtype, shape, fortran = _header(file)
    count = math.prod(shape)
    fits = len(shape) == len(want.shape) and all(map(_fits, shape, want.shape))
    if dtype.kind not in want.kinds or not fits:
        raise ValueError(f"{name} is {dtype} {shape}")
    if count * dtype.itemsize > MOST_BYTES:
        raise ValueError(f"{name} is {dtype} {shape}, too large")
    content = file.read(count * dtype.itemsize)
    if len(content) != count * dtype.itemsize:
        raise ValueError(f"{name} is cut off")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C").copy()
    if dtype.kind == "f" and not ((array >= want.least) & (np.abs(array) <= want.most)).all():
        raise ValueError(f"{name} has numbers beyond {want.most:g}, too small or none at all")
    return array


def _header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type, shape and whether it is in Fortran's order; the file stands at the numbers."""
    magic = file.read(8)
    width = {b"\x93NUMPY\1\0": 2, b"\x93NUMPY\2\0": 4}.get(magic)
    if width is None:
        raise ValueError(f"{magic!r}, not numpy's")
    header = file.read(min(int.from_bytes(file.read(width), "little"), LONGEST_HEADER))
    found = _HEADER.fullmatch(header)
    if found is None:
        raise ValueError(f"numbers described as {header[:80]!r}")
    shape = tuple(map(int, found[3].replace(b",", b" ").split()))
    return np.dtype(found[1].decode()), shape, found[2] == b"True"


def _fits(length: int, wanted: int | None) -> bool:
    return wanted in (None, length)
