"""What the names in FLAME's files stand for: readers of numpy, scipy and chumpy objects."""

import math
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError

# A sparse matrix becomes a dense one; FLAME's regressor has 25,115 entries.
MAX_DENSE = 1 << 21

Array = npt.NDArray[Any]


def dict_key(key: Any) -> Hashable:
    """A key of a dict, if it is one that can be hashed in no time. Raises ValueError."""
    # Nested tuples share their parts in the file, but hashing them does not: 2^n steps for n bytes.
    if not isinstance(key, str | int | bytes):
        raise ValueError(f"a dict key of type {type(key).__name__}")
    return key


class Name:
    """A global the file names, and ours that stands for it."""

    def __init__(self, module: str, name: str) -> None:
        module = module.replace("numpy._core", "numpy.core").replace("builtins", "__builtin__")
        self.text = f"{module}.{name}"
        sparse = module.startswith("scipy.sparse") and name.endswith(("_matrix", "_array"))
        key = f"scipy.sparse.{name[:3]}" if sparse else self.text
        if key not in _MEANINGS:
            raise CheckpointError(f"names {self.text}, which no model file needs; not loaded")
        self.make = _MEANINGS[key]


class Thing:
    """An object of the file that gets its state later."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    @cached_property
    def plain(self) -> Any:
        """Its value, made once however often the file refers to it."""
        return self.value()

    def value(self) -> Any:
        """What it is in plain terms."""
        raise ValueError(f"{type(self).__name__} has no value of its own")


class _Nothing(Thing):
    """Python 2's `object`: only ever the base of something."""


class _NumberType(Thing):
    def value(self) -> np.dtype[Any]:
        code = str(self.arguments[0])
        if code in ("O", "O8"):
            return np.dtype("O")
        # Letter and width only: a longer description could stand for a huge record.
        if code[:1] not in set("bifu") or not code[1:].isdigit() or len(code) > 3:
            raise ValueError(f"numbers of type {code!r}")
        kind = np.dtype(code)
        return kind.newbyteorder(">") if self.state and self.state[1] == ">" else kind


class _Array(Thing):
    def value(self) -> Any:
        _, shape, number_type, fortran, content = self.state
        kind = number_type.value()
        if kind.hasobject:
            (only,) = content
            return {key: plain(entry) for key, entry in only.items()}
        count = math.prod(shape)
        content = _bytes(content)
        if min(shape, default=0) < 0 or len(content) != count * kind.itemsize:
            raise ValueError(f"an array {shape} with {len(content)} bytes")
        flat = np.frombuffer(content, kind, count).astype(kind.newbyteorder("="))
        return flat.reshape(shape, order="F" if fortran else "C")


class _Buffer(Thing):
    """An array as protocol 5 stores it."""

    def value(self) -> Any:
        content, number_type, shape, order = self.arguments
        array = _Array()
        array.state = (1, shape, number_type, order == "F", content)
        return array.value()


class _Scalar(Thing):
    def value(self) -> Any:
        number_type, content = self.arguments
        return np.frombuffer(_bytes(content), number_type.value(), 1)[0]


class _Chumpy(Thing):
    def value(self) -> Any:
        for name in ("x", "_data"):
            if name in self.state:
                return _array(self.state[name])
        raise ValueError("a chumpy object without a value")


class _ChumpySelection(Thing):
    """Entries of another chumpy object."""

    def value(self) -> Any:
        chosen = _array(self.state["a"]).ravel()[_array(self.state["idxs"])]
        shape = self.state.get("preferred_shape")
        return chosen if shape is None else chosen.reshape(plain(shape))


class _Sparse(Thing):
    def value(self) -> Array:
        state = self.state
        shape = tuple(int(n) for n in state.get("_shape", state.get("shape")))
        if len(shape) != 2 or min(shape) < 0 or math.prod(shape) > MAX_DENSE:
            raise ValueError(f"a sparse matrix {shape}")
        entries = _array(state["data"])
        row, column = self.places(shape)
        if len(row) != len(entries) or len(column) != len(entries):
            raise ValueError("a sparse matrix whose parts differ in length")
        if len(entries) and min(row.min(), column.min()) < 0:
            raise ValueError("a sparse matrix with negative indices")
        dense = np.zeros(shape, entries.dtype)
        np.add.at(dense, (row, column), entries)
        return dense

    def places(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        """Row and column of each entry."""
        raise NotImplementedError


class _Coordinates(_Sparse):
    def places(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        if "coords" in self.state:
            row, column = self.state["coords"]
            return _array(row), _array(column)
        return _array(self.state["row"]), _array(self.state["col"])


class _Columns(_Sparse):
    def places(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return _array(self.state["indices"]), self.spans(shape[1])

    def spans(self, lines: int) -> Array:
        """The line each entry lies in, from the places where lines begin."""
        counts = np.diff(_array(self.state["indptr"]))
        if len(counts) != lines or (counts < 0).any() or counts.sum() > MAX_DENSE:
            raise ValueError("a sparse matrix with wrong line starts")
        return np.repeat(np.arange(lines), counts)


class _Rows(_Columns):
    def places(self, shape: tuple[int, ...]) -> tuple[Array, Array]:
        return self.spans(shape[0]), _array(self.state["indices"])


def plain(value: Any) -> Any:
    """A value of the file as numbers, arrays and plain Python."""
    return value.plain if isinstance(value, Thing) else value


class Nested:
    """Like `plain`, for all that dicts, lists and tuples hold; what is shared is made once.

    most_bytes: of all arrays together; a file that repeats one array's bytes needs no more of them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._made: dict[int, Any] = {}

    def plain(self, value: Any) -> Any:
        """The value in plain terms. Raises ValueError above `most_bytes`."""
        if id(value) not in self._made:
            self._made[id(value)] = self._make(value)
        return self._made[id(value)]

    def _make(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.plain(entry) for key, entry in value.items()}
        if isinstance(value, list | tuple):
            return [self.plain(entry) for entry in value]
        found = plain(value)
        if isinstance(found, np.ndarray):
            self._left -= found.nbytes
            if self._left < 0:
                raise ValueError("more in its arrays than in the file")
        return found


def _array(value: Any) -> Array:
    found = plain(value)
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{type(found).__name__} where an array belongs")
    return found


def _bytes(content: Any) -> Any:
    """The bytes of an array; Python 2 wrote them as text."""
    return content.encode("latin1") if isinstance(content, str) else content


def _no_bytes() -> bytes:
    return b""


def _reconstruct(kind: Name, *_: Any) -> Any:
    if not isinstance(kind, Name):
        raise ValueError("an object of no class")
    return kind.make()


def _encoded(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in {encoding}")
    return text.encode("latin1")


def _pairs(pairs: Any = ()) -> dict[Hashable, Any]:
    return {dict_key(key): value for key, value in pairs}


_MEANINGS: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy.core.multiarray.scalar": _Scalar,
    "numpy.core.numeric._frombuffer": _Buffer,
    "numpy.ndarray": _Array,
    "numpy.dtype": _NumberType,
    "copy_reg._reconstructor": _reconstruct,
    "copyreg._reconstructor": _reconstruct,
    "__builtin__.object": _Nothing,
    "__builtin__.bytes": _no_bytes,
    "__builtin__.set": lambda entries=(): list(entries),
    "collections.OrderedDict": _pairs,
    "_codecs.encode": _encoded,
    "chumpy.ch.Ch": _Chumpy,
    "chumpy.Ch": _Chumpy,
    "chumpy.reordering.Select": _ChumpySelection,
    "scipy.sparse.csc": _Columns,
    "scipy.sparse.csr": _Rows,
    "scipy.sparse.coo": _Coordinates,
}
