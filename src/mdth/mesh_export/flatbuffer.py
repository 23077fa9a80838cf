"""Read a FlatBuffer by field numbers, without the schema's generated code."""

import struct
from typing import Any


class Table:
    """A table in a buffer. Fields are numbered as the schema lists them; absent ones are None.

    Offsets that lead out of the buffer raise struct.error or IndexError.
    """

    def __init__(self, buffer: bytes, place: int) -> None:
        self._buffer = buffer
        self._place = place
        self._fields = place - _read("<i", buffer, place)

    @classmethod
    def root(cls, buffer: bytes) -> "Table":
        """The table a file begins with."""
        return cls(buffer, _read("<I", buffer, 0))

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A scalar; `kind` is a struct letter."""
        at = self._at(field)
        return default if at is None else int(_read(f"<{kind}", self._buffer, at))

    def table(self, field: int) -> "Table | None":
        """A table inside this one."""
        at = self._at(field)
        return None if at is None else Table(self._buffer, self._follow(at))

    def tables(self, field: int) -> list["Table"]:
        """A vector of tables."""
        start, count = self._vector(field)
        return [Table(self._buffer, self._follow(start + 4 * i)) for i in range(count)]

    def numbers(self, field: int) -> list[int]:
        """A vector of int32."""
        start, count = self._vector(field)
        return list(struct.unpack_from(f"<{count}i", self._buffer, start))

    def content(self, field: int) -> bytes:
        """A vector of bytes."""
        start, count = self._vector(field)
        return self._buffer[start : start + count]

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._at(field)
        if at is None:
            return 0, 0
        start = self._follow(at)
        count = _read("<I", self._buffer, start)
        if count > len(self._buffer):
            raise IndexError(f"a vector of {count}")
        return start + 4, count

    def _at(self, field: int) -> int | None:
        if 4 + 2 * field >= _read("<H", self._buffer, self._fields):
            return None
        offset = _read("<H", self._buffer, self._fields + 4 + 2 * field)
        return self._place + offset if offset else None

    def _follow(self, at: int) -> int:
        return at + int(_read("<I", self._buffer, at))


def _read(kind: str, buffer: bytes, at: int) -> Any:
    if at < 0:
        raise IndexError("an offset before the buffer")
    return struct.unpack_from(kind, buffer, at)[0]
