"""The twins' storage behind one URL: a local folder, `file://`, `memory://` or `s3://`."""

import io
import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, TypeVar

from mdth.errors import ArtefactError, MissingDependency, StorageError
from mdth.log import stages
from mdth.log.redact import guard_logs, hide, redacted
from mdth.storage.choice import Candidate, in_order
from mdth.storage.listing import Entry
from mdth.storage.plain import PlainFiles
from mdth.storage.retry import NotThere, patiently
from mdth.storage.settings import S3Settings, s3_settings
from mdth.storage.unfinished import part_of

log = logging.getLogger("mdth")

S3 = ("s3://", "s3a://")
CONTROL = ("Cc", "Cs")  # categories of characters that no name on a disk should have
MOST_JSON = 64 << 20
LONGEST_PATH = 900  # S3 allows keys of 1,024 bytes; the prefix of the store's URL comes before

Answer = TypeVar("Answer")


class Stored(NamedTuple):
    """A file in the store: its size in bytes, and when it came there by the store's clock."""

    size: int
    time_s: float


class Files(Protocol):
    """What every kind of store can do; paths are relative to its URL and checked before."""

    def entries(self, folder: str) -> Iterator[Entry]:
        """What is directly in a folder."""

    def below(self, folder: str) -> Iterator[Entry]:
        """All files below a folder, by their path relative to it."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""

    def fetch(self, path: str, file: BinaryIO, *, sha256: str | None = None) -> None:
        """Write a file into `file`, checked."""

    def put(self, source: Path, path: str) -> None:
        """Store a local file, complete or not at all."""

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""

    def sweep(self, folder: str) -> None:
        """Delete what killed processes left half-written below a folder."""


class _Small(io.BytesIO):
    """Takes what a JSON file of ours can have, so that one of another's cannot fill the memory."""

    def write(self, block: Any) -> int:
        """Raises ArtefactError when it would be too much."""
        if self.tell() + len(block) > MOST_JSON:
            raise ArtefactError(f"a JSON file of more than {MOST_JSON >> 20} MiB; remove it")
        return super().write(block)


class Store:
    """Files under a URL; paths are relative to it, with '/'.

    Everything raises StorageError when the store does not answer, refuses, lacks the bucket or
    the disk is full, and MissingDependency when the URL needs a package that is not installed.
    What is repeated before that, and how often, is in docs/reliability.md. A store may be used
    from several threads, after a fork, and pickled.
    """

    def __init__(self, url: str, *, settings: S3Settings | None = None) -> None:
        self.url = _shown(url)
        self._settings = settings or s3_settings()
        guard_logs("mdth")
        try:
            self._files = self._open(url)
        except ImportError as error:
            name = error.name or "s3fs"
            raise MissingDependency(
                f"{self.url}: {name} is not installed; run: pip install 'mdth[s3]'"
            ) from error
        except ValueError as error:
            said = redacted(str(error))
            raise StorageError(f"{self.url}: not a usable store URL ({said})") from None

    def files(self, folder: str) -> list[Candidate]:
        """The files directly in a folder, in natural order; none if there is no such folder."""
        found = self._ask(folder, lambda: list(self._files.entries(_inside(folder))))
        files = (entry for entry in found if entry.is_link or not entry.is_folder)
        return in_order(Candidate(entry.name, entry.size, entry.is_link) for entry in files)

    def folders(self, folder: str) -> list[str]:
        """The names of the folders directly in a folder, sorted; none if it is not there."""
        found = self._ask(folder, lambda: list(self._files.entries(_inside(folder))))
        return sorted(entry.name for entry in found if entry.is_folder and not entry.is_link)

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        return self._ask(path, lambda: self._files.exists(_inside(path)))

    def read_json(self, path: str) -> dict[str, Any]:
        """The object in a JSON file of up to 64 MiB. Raises ArtefactError when it is not one."""
        content = _Small()
        self._ask(path, lambda: self._files.fetch(_inside(path), content))
        try:
            value = json.loads(content.getvalue())
        except (ValueError, RecursionError) as error:
            raise ArtefactError(f"{self.url}/{path}: not JSON ({error})") from error
        if not isinstance(value, dict):
            raise ArtefactError(f"{self.url}/{path}: not a JSON object")
        return value

    def find_json(self, path: str) -> dict[str, Any] | None:
        """The object in a JSON file, None where there is no such file. Raises ArtefactError."""
        try:
            return self.read_json(path) if self.exists(path) else None
        except NotThere:
            return None  # it went between the two questions

    def below(self, folder: str) -> dict[str, Stored]:
        """All files below a folder by their path relative to it; none if there is no folder."""
        found = self._ask(folder, lambda: list(self._files.below(_inside(folder))))
        for entry in found:
            if not _is_plain(entry.name):
                raise StorageError(
                    f"{self.url}/{folder}: {ascii(entry.name[:80])} is not a plain file name; "
                    f"remove it"
                )
        return {entry.name: Stored(entry.size, entry.time_s) for entry in found}

    def download(self, path: str, target: Path, *, sha256: str | None = None) -> Path:
        """Copy a file to `target`, which appears complete or not at all.

        Its size and content are checked: against `sha256`, in hex, if that is known, else against
        what the store says of it.
        """

        def fetch() -> None:
            with part_of(target) as part:
                with part.open("r+b") as file:
                    self._files.fetch(_inside(path), file, sha256=sha256)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)

        self._ask(path, fetch)
        stages.count(target.stat().st_size)
        return target

    def upload(self, source: Path, path: str) -> None:
        """Copy a file to `path`, where it appears complete or not at all."""
        self._ask(path, lambda: self._files.put(source, _inside(path)))
        stages.count(source.stat().st_size)

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        self._ask(path, lambda: self._files.remove(_inside(path)))

    def sweep(self, folder: str) -> None:
        """Delete what killed processes left half-written below a folder."""
        self._ask(folder, lambda: self._files.sweep(_inside(folder)))

    def _open(self, url: str) -> Files:
        if not url.startswith(S3):
            return PlainFiles(url)
        from mdth.storage.s3 import S3Files

        return S3Files(url, self._settings)

    def _ask(self, path: str, call: Callable[[], Answer]) -> Answer:
        """What the call returns; local trouble becomes a StorageError, as S3's own is already."""
        return patiently(call, f"{self.url}/{path}", settings=self._settings)


def _inside(path: str) -> str:
    """The path itself if it stays inside the store. Raises StorageError."""
    if not _is_plain(path):
        raise StorageError(f"{ascii(path[:80])}: not a path inside the store")
    return path


def _is_plain(path: str) -> bool:
    """Whether the path is names joined by '/', and none of them leads elsewhere."""
    names = path.split("/")
    return (
        len(path.encode(errors="replace")) <= LONGEST_PATH
        and not {"", ".", ".."} & set(names)
        and not any(unicodedata.category(character) in CONTROL for character in path)
    )


def _shown(url: str) -> str:
    """The URL without the user, password and query it may have, which are never shown again."""
    user = re.match(r"\w+://([^/\s]*)@", url)
    if user:
        hide(user[1].split(":", 1))
    return redacted(url).rstrip("/")
