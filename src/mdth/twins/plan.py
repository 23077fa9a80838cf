"""A task of a twin, planned: what it would read and write, and the work itself."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from mdth.engine import Engine, Progress
from mdth.options import Options
from mdth.storage.layout import MANIFEST
from mdth.storage.sealed import as_json, pointed_to

# A path and its size in bytes, None where it is not known.
File = tuple[str, int | None]
# In the place of what only the content will tell.
HASH = "HASH"


class Step(NamedTuple):
    """One file: `what` is read, skip, write or remove; `where` a path of `place`, store or local.

    size: bytes, None where that shows only when it is made. why: a remark, may be empty.
    """

    what: str
    place: str
    where: str
    size: int | None = None
    why: str = ""

    def __str__(self) -> str:
        told = f"{self.what:6} {self.place:5} {self.where}"
        if self.what not in ("skip", "remove"):
            told += f"  {'?' if self.size is None else self.size} bytes"
        return f"{told}  ({self.why})" if self.why else told


class Plan(Protocol):
    """What is decided once; `steps` tells it and `run` does it."""

    @property
    def nothing_to_do(self) -> bool:
        """Whether all of it is there, here and in the store."""

    @property
    def result(self) -> Path:
        """Where the result is when it is done."""

    def steps(self) -> list[Step]:
        """Every file that `run` would touch; changes nothing."""

    def run(self, progress: Progress | None = None) -> bool:
        """Do it; whether the task's own work was left to do. Raises MdthError."""


def files(what: str, place: str, folder: str, listed: Iterable[File]) -> Iterator[Step]:
    """A step for each file of a folder."""
    for path, size in listed:
        yield Step(what, place, f"{folder}/{path}", size)


def needed(engine: Engine, options: Options, stage: str) -> Iterator[Step]:
    """The files that an engine reads in a stage."""
    for need in engine.needs(options):
        if need.path and stage in need.stages:
            size = need.path.stat().st_size if need.path.exists() else None
            yield Step("read", "local", str(need.path), size)


def replaced(folder: str, old: dict[str, Any] | None, new: Iterable[File]) -> Iterator[Step]:
    """Local files of an older preparation; those whose content comes out the same stay."""
    kept = {path for path, _ in new}
    why = "unless its content comes out the same" if any(HASH in path for path in kept) else ""
    for path, _ in sealed_files(old) if old else []:
        if path not in kept:
            yield Step("remove", "local", f"{folder}/{path}", None, why)


def sealed_files(sealed: dict[str, Any]) -> list[File]:
    """What a manifest points to, and the manifest."""
    pointed = pointed_to(sealed).values()
    return [*((file.path, file.bytes) for file in pointed), (MANIFEST, len(as_json(sealed)))]


def unhashed(names: Iterable[str]) -> list[File]:
    """Files that are still to be made."""
    paths = map(Path, names)
    made = [path.with_name(f"{path.stem}-{HASH}{path.suffix}").as_posix() for path in paths]
    return [*((name, None) for name in made), (MANIFEST, None)]
