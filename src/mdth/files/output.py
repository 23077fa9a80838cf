"""Where a result goes, and its record beside it: nobody's file is lost, nothing is left half."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mdth.errors import ArtefactError, InputError
from mdth.files.json import as_json, read_json
from mdth.files.write import replacing

SUFFIX = ".mdth.json"
LONGEST_NAME = 255  # bytes
# Room on the disk that a record has for sure once its result is made.
RECORD_BYTES = 1 << 16


def record_of(target: Path) -> Path:
    """The record's place: `film.mdth.json` beside `film.mp4`, `face.glb.mdth.json` of others.

    Of a name that would become too long, its start and a hash of it.
    """
    name = target.name.removesuffix(".mp4")
    if len(name.encode()) + len(SUFFIX) > LONGEST_NAME:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        name = f"{name.encode()[: LONGEST_NAME // 2].decode(errors='ignore')}-{digest}"
    return target.with_name(name + SUFFIX)


def is_ours(target: Path) -> bool:
    """Whether a record says that we wrote the file."""
    record = record_of(target)
    try:
        return record.is_file() and "synthetic" in read_json(record)
    except ArtefactError:
        return False


def check_output(target: Path, suffixes: Iterable[str], inputs: Iterable[Path]) -> Path:
    """The path. Raises InputError where writing would go wrong, or cost a file that is not ours."""
    if target.suffix.lower() not in suffixes:
        raise InputError(f"{target}: give a name that ends in {', '.join(suffixes)}")
    if not target.parent.is_dir():
        raise InputError(f"{target.parent}: no such folder; make it, or choose another")
    if target.is_dir():
        raise InputError(f"{target}: is a folder; give the name of a file to write")
    if target.exists() and not target.is_file():
        raise InputError(f"{target}: is a pipe or a device; only raw frames can go there")
    if target.exists() and any(file.exists() and target.samefile(file) for file in inputs):
        raise InputError(f"{target}: is an input too; write to another place")
    record = record_of(target)
    if record.exists() and not is_ours(target):
        raise InputError(f"{record}: is there and not ours; move it, or choose another name")
    return target


@contextmanager
def recorded(target: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What writes the record of a result made in the `with`; it takes its place at the end.

    Its room on the disk is taken before, so that no result is left without it. Raises OSError.
    """
    with replacing(record_of(target)) as part:
        try:
            part.write_bytes(b" " * RECORD_BYTES)
        except OSError as error:
            error.filename = str(target)
            raise

        def write(content: Mapping[str, Any]) -> None:
            with part.open("r+b") as file:
                file.write(as_json(content))
                file.truncate()

        yield write
