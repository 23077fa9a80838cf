"""Read arrays out of pickles that nobody vouches for.

Nothing in the file is ever called: the opcodes are followed by hand, and the few names that the
files of FLAME and VOCASET use (numpy arrays, scipy sparse matrices, chumpy's Ch) stand for readers
of ours. Any other name stops the reading. Memory stays within a small factor of the file's size,
time linear in it.
"""

from pathlib import Path
from typing import Any

from mdth.errors import CheckpointError
from mdth.restricted_pickle.machine import Machine
from mdth.restricted_pickle.objects import Nested, plain

MAX_BYTES = 1 << 30
MAX_ENTRIES = 64


def load(path: Path, *, nested: bool = False) -> Any:
    """The pickled object of a file: plain values, dicts, lists and arrays.

    A `.npy` that holds one pickled object is read too. Arrays, also sparse ones and those inside
    chumpy's objects, come out as numpy arrays if they are the object itself or the values of its
    dict; with `nested` also deeper, in dicts of any size. Raises CheckpointError: missing, too
    large, cut short, not a pickle, or a name in it that no model file needs.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(f"{path}: {size} bytes, more than a model file has")
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        return loads(content, nested=nested)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def loads(content: bytes, *, nested: bool = False) -> Any:
    """Like `load`, from bytes."""
    try:
        found = Machine().run(_without_npy_header(content))
        if nested:
            return Nested(2 * len(content)).plain(found)
        if isinstance(found, dict):
            if len(found) > MAX_ENTRIES:
                raise ValueError(f"{len(found)} entries")
            return {key: plain(value) for key, value in found.items()}
        return plain(found)
    except (
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise CheckpointError(f"damaged or no model file ({error}); copy it again") from error


def _without_npy_header(content: bytes) -> bytes:
    if not content.startswith(b"\x93NUMPY"):
        return content
    wide = content[6] > 1
    start = 12 if wide else 10
    return content[start + int.from_bytes(content[8:start], "little") :]
