"""The vertices of a `.ply` mesh, text or binary."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError

_NUMBERS = {
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1"},
    **{"short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2"},
    **{"int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
}
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}


def read_vertices(path: Path) -> npt.NDArray[np.float64]:
    """The vertices [V,3] in the file's unit. Raises CheckpointError."""
    try:
        content = path.read_bytes()
        header, found, body = content.partition(b"end_header\n")
        if not found:
            header, found, body = content.partition(b"end_header\r\n")
        if not found or not header.startswith(b"ply"):
            raise ValueError("no header")
        return _vertices(header.decode("ascii").split("\n"), body)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, KeyError, IndexError) as error:
        raise CheckpointError(f"{path}: no ply mesh ({error}); copy it again") from error


def _vertices(header: list[str], body: bytes) -> npt.NDArray[np.float64]:
    words = [line.split() for line in header if line.split()]
    (order,) = [_ORDERS[line[1]] for line in words if line[0] == "format"]
    elements = [place for place, line in enumerate(words) if line[0] == "element"]
    first = words[elements[0]]
    if first[1] != "vertex":
        raise ValueError("vertices do not come first")
    count = int(first[2])
    end = elements[1] if len(elements) > 1 else len(words)
    fields = [line for line in words[elements[0] + 1 : end] if line[0] == "property"]
    row = np.dtype([(line[2], order + _NUMBERS[line[1]]) for line in fields])
    if order == "=":
        lines = body.decode("ascii").split("\n")[:count]
        table = np.array([line.split()[: len(fields)] for line in lines], np.float64)
        columns = [table[:, [line[2] for line in fields].index(axis)] for axis in "xyz"]
    else:
        rows = np.frombuffer(body, row, count)
        columns = [rows[axis].astype(np.float64) for axis in "xyz"]
    vertices = np.stack(columns, axis=1)
    if vertices.shape != (count, 3):
        raise ValueError(f"{len(vertices)} of {count} vertices")
    return vertices
