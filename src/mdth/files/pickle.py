"""Arrays out of pickles that nobody vouches for.

The standard library's unpickler finds no class but those of this module. They stand for what the
files of FLAME, VOCASET and BIWI name (numpy's arrays, scipy's sparse matrices, chumpy's Ch), keep
what the file gives them and call nothing. numpy's own would not do: the state that a file gives to
a dtype may declare numbers to be pointers.
"""

import io
import math
import pickle
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth import guard
from mdth.errors import CheckpointError

Array = npt.NDArray[Any]

MAKING_TENSORS = {("collections", "OrderedDict"), ("torch._utils", "_rebuild_tensor_v2"),
                  ("torch._utils", "_rebuild_parameter")}  # fmt: skip


def arrays(path: Path) -> dict[str, Array]:
    """The arrays of numbers, by name, of a pickled table or of a `.npy` that holds one.

    Read under `mdth.guard`'s limits, if need be by another process. Raises CheckpointError:
    missing, cut short, not a pickle, a name in it that no model file needs, or beyond the limits.
    """
    return guard.read_apart("mdth.files.pickle:_arrays", path)


def _arrays(path: Path) -> dict[str, Array]:
    found = load(path)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: no table of arrays; another model's file?")
    kept = {str(name): value for name, value in found.items() if isinstance(value, np.ndarray)}
    return {name: array for name, array in kept.items() if array.dtype.kind in "biuf"}


def load(path: Path) -> Any:
    """The pickled object of a file, plain values and arrays, in this process and without limits.

    Arrays, also sparse ones and those inside chumpy's objects, are numpy arrays, read-only where
    the file's bytes serve as they are; tuples are lists. Raises CheckpointError.
    """
    try:
        return loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def loads(content: bytes) -> Any:
    """Like `load`, from bytes."""
    try:
        file = io.BytesIO(_without_npy_header(content))
        return _plain(_Unpickler(file, encoding="latin1").load())
    except (
        *(pickle.UnpicklingError, EOFError, RecursionError, MemoryError),
        *(ValueError, IndexError, KeyError, TypeError, AttributeError, ArithmeticError),
    ) as error:
        why = str(error) or "too large"
        raise CheckpointError(f"damaged or no model file ({why}); copy it again") from error


def _without_npy_header(content: bytes) -> bytes:
    if not content.startswith(b"\x93NUMPY"):
        return content
    start = 12 if content[6] > 1 else 10
    return content[start + int.from_bytes(content[8:start], "little") :]


class _Kept:
    """An object of the file: what it was made of and the state it got."""

    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        # Without this method a file could set attributes of the classes it names.
        self.state = state

    @cached_property
    def value(self) -> Any:
        """What it is in plain terms, made once."""
        return self.read()

    def read(self) -> Any:
        """What it is. Raises ValueError unless a subclass knows."""
        raise ValueError("an object without a value")


class _Unpickler(pickle.Unpickler):  # noqa: TID251
    def find_class(self, module: str, name: str) -> type[_Kept]:
        """What stands for a name of the file. Raises CheckpointError for all that nothing does."""
        module = module.replace("numpy._core", "numpy.core").replace("builtins", "__builtin__")
        module = module.replace("copy_reg", "copyreg")
        sparse = module.startswith("scipy.sparse") and name.endswith(("_matrix", "_array"))
        text = f"{module}.{name}"
        found = _CLASSES.get(f"scipy.sparse.{name[:3]}" if sparse else text)
        if found is None:
            raise CheckpointError(f"names {text}, which no model file needs; not loaded")
        return found


class TensorsOnly:
    """An unpickler for `torch.load`, which finds what makes tensors and nothing else."""

    class Unpickler(pickle._Unpickler):  # noqa: TID251
        """Its memo, unlike the C one's, reserves nothing for what a file says it will hold."""

        def find_class(self, module: str, name: str) -> Any:
            """Raises UnpicklingError."""
            if (module, name) not in MAKING_TENSORS:
                raise pickle.UnpicklingError(f"it names {module}.{name}")
            return super().find_class(module, name)

    @classmethod
    def load(cls, file: Any, **options: Any) -> Any:
        """One object."""
        return cls.Unpickler(file, **options).load()


def _plain(value: Any) -> Any:
    """A value of the file as numbers, arrays and plain Python."""
    if isinstance(value, _Kept):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return [_plain(entry) for entry in value] if isinstance(value, list | tuple) else value


def _dtype(kept: _Kept) -> np.dtype[Any]:
    code = str(kept.arguments[0])
    # Letter and width only: a longer description could stand for a huge record.
    if not re.fullmatch("O8?|[bifu][0-9]{1,2}", code):
        raise ValueError(f"numbers of type {code!r}")
    kind = np.dtype(code)
    return kind.newbyteorder(">") if kept.state and kept.state[1] == ">" else kind


def _ndarray(kept: _Kept) -> Any:
    _, shape, kind, fortran, content = kept.state
    if kind.value.hasobject:
        (only,) = content
        return _plain(dict(only))
    return _numbers(content, kind, shape, order="F" if fortran else "C")


def _numbers(content: Any, kind: Any, shape: tuple[int, ...] = (), order: Any = "C") -> Array:
    number, count = kind.value, math.prod(shape)
    content = content.encode("latin1") if isinstance(content, str) else content
    if min(shape, default=0) < 0 or len(content) != count * number.itemsize:
        raise ValueError(f"an array {shape} with {len(content)} bytes")
    flat = np.frombuffer(content, number).astype(number.newbyteorder("="), copy=False)
    return flat.reshape(shape, order=order)


def _chumpy(kept: _Kept) -> Array:
    return _array(kept.state["x"] if "x" in kept.state else kept.state["_data"])


def _chosen(kept: _Kept) -> Array:
    """Entries of another chumpy object."""
    chosen = _array(kept.state["a"]).ravel()[_array(kept.state["idxs"])]
    shape = kept.state.get("preferred_shape")
    return chosen if shape is None else chosen.reshape(shape)


def _dense(kept: _Kept, lines: int | None = None) -> Array:
    """A sparse matrix; lines: the axis that `indptr` counts along, None if it has coordinates."""
    state = kept.state
    shape = tuple(int(n) for n in state.get("_shape", state.get("shape")))
    if len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"a sparse matrix {shape}")
    if lines is None:
        places = [_array(axis) for axis in state.get("coords") or (state["row"], state["col"])]
    else:
        counts = np.diff(_array(state["indptr"]))
        if len(counts) != shape[lines] or (counts < 0).any():
            raise ValueError("a sparse matrix with wrong line starts")
        places = [_array(state["indices"]), np.repeat(np.arange(shape[lines]), counts)]
    row, column = places if lines != 0 else places[::-1]
    entries = _array(state["data"])
    if not len(row) == len(column) == len(entries):
        raise ValueError("a sparse matrix whose parts differ in length")
    dense = np.zeros(shape, entries.dtype)
    np.add.at(dense.reshape(-1), np.ravel_multi_index((row, column), shape), entries)
    return dense


def _array(kept: _Kept) -> Array:
    if not isinstance(found := kept.value, np.ndarray):
        raise ValueError(f"{type(found).__name__} where an array belongs")
    return found


def _latin1(text: str = "", encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"text in {encoding}")
    return text.encode("latin1")


def _read(read: Callable[[_Kept], Any]) -> type[_Kept]:
    """A class of objects that are read when all of the file is known."""
    return type("_Read", (_Kept,), {"read": read})


def _make(make: Callable[..., Any]) -> type[_Kept]:
    """A class that makes plain objects at once."""
    return type("_Make", (_Kept,), {"__new__": lambda _, *arguments: make(*arguments)})


_CLASSES = {
    "numpy.core.multiarray._reconstruct": _make(lambda kind, *_: kind()),
    "numpy.core.multiarray.scalar": _read(lambda kept: _numbers(*kept.arguments[::-1])[()]),
    "numpy.core.numeric._frombuffer": _read(lambda kept: _numbers(*kept.arguments)),
    "numpy.ndarray": _read(_ndarray),
    "numpy.dtype": _read(_dtype),
    "copyreg._reconstructor": _make(lambda kind, *_: kind()),
    "__builtin__.object": _Kept,
    "__builtin__.bytes": _make(_latin1),
    "__builtin__.set": _make(set),
    "collections.OrderedDict": _make(dict),
    "_codecs.encode": _make(_latin1),
    "chumpy.ch.Ch": _read(_chumpy),
    "chumpy.Ch": _read(_chumpy),
    "chumpy.reordering.Select": _read(_chosen),
    "scipy.sparse.csc": _read(lambda kept: _dense(kept, 1)),
    "scipy.sparse.csr": _read(lambda kept: _dense(kept, 0)),
    "scipy.sparse.coo": _read(_dense),
}
