"""Arrays of files that nobody vouches for: what is wanted, or an error in bounded memory."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mdth.artefacts import UPPER_POINTS
from mdth.face import topology
from mdth.files.arrays import DAMAGE, Wanted, map_numbers, read_npz
from tests.support.raising import raises

WANTED = {"a": Wanted((None, 3))}


def npy(header: str, content: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + content


def packed(path: Path, content: bytes, how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("a.npy", content)
    return path


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_numpy_saves_comes_back(tmp_path: Path, order: str) -> None:
    array = np.asarray(np.arange(12, dtype=np.float32).reshape(4, 3), order=order)
    np.savez_compressed(tmp_path / "a.npz", a=array)
    found = read_npz(tmp_path / "a.npz", WANTED)["a"]
    assert np.array_equal(found, array)
    found[0, 0] = 1  # it is the reader's own


@pytest.mark.parametrize("header", [
    "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}",
    "{'descr': '<U9', 'fortran_order': False, 'shape': (2, 3)}",
    "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}",
    "{'descr': '<f4', 'fortran_order': False}", "__import__('os').abort()", "[" * 5000,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': " + "(" * 900,
    "{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1" * 60,  # without end, once
])  # fmt: skip
def test_a_header_that_is_not_what_is_wanted(tmp_path: Path, header: str) -> None:
    raises(DAMAGE, None, read_npz, packed(tmp_path / "a.npz", npy(header, bytes(24))), WANTED)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e7])
def test_numbers_that_are_none(tmp_path: Path, value: float) -> None:
    np.savez(tmp_path / "a.npz", a=np.full((2, 3), value))
    raises(ValueError, "numbers", read_npz, tmp_path / "a.npz", WANTED)


def test_a_zip_that_unfolds_is_not_unpacked(tmp_path: Path) -> None:
    wanted = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}", bytes(24))
    path = packed(tmp_path / "a.npz", wanted + bytes(60_000_000))
    tracemalloc.start()
    read_npz(path, WANTED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("how", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packings_are_not_read(tmp_path: Path, how: int) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="packed"):
        read_npz(packed(tmp_path / "a.npz", buffer.getvalue(), how), WANTED)


def test_numbers_stay_on_disk(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.linspace(0, 1, 100, dtype=np.float32))
    assert isinstance(map_numbers(tmp_path / "a.npy"), np.memmap)
    np.savez(tmp_path / "zip.npy", a=np.zeros(3))
    (tmp_path / "zip.npy.npz").rename(tmp_path / "zip.npy")
    raises(DAMAGE, None, map_numbers, tmp_path / "zip.npy")


def test_there_are_as_many_upper_points_as_in_the_topology() -> None:
    assert len(topology.UPPER_FACE) == UPPER_POINTS
