"""The twins' storage behind one URL: a folder, `file://`, `s3://`, `gs://`, `az://`."""

import io
import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mdth.errors import MissingDependency, StorageError
from mdth.files.json import Json, parse
from mdth.files.write import replacing
from mdth.log import stages
from mdth.log.redact import guard_logs, hide, redacted
from mdth.storage.faults import NotThere, StrayName, patiently
from mdth.storage.plain import Entry, PlainFiles, is_plain
from mdth.storage.settings import S3Settings, s3_settings

if TYPE_CHECKING:
    from mdth.storage.objects import ObjectFiles

log = logging.getLogger("mdth")

OBJECTS = ("s3://", "s3a://", "gs://", "az://")
LONGEST_PATH = 900  # S3 allows keys of 1,024 bytes; the prefix of the store's URL comes before

Answer = TypeVar("Answer")


class Store:
    """Files under a URL; paths are relative to it, with '/'.

    Everything raises StorageError when the store does not answer, refuses, lacks the bucket or
    the disk is full, and MissingDependency when the URL needs a package that is not installed.
    What is repeated before that, and how often, is in docs/reliability.md. A store may be used
    from several threads and pickled; a bucket's not in a process forked from one that used it.
    """

    def __init__(self, url: str, *, settings: S3Settings | None = None) -> None:
        self.url = _shown(url)
        self._settings = settings or s3_settings()
        guard_logs("mdth")
        try:
            self._files = _opened(url, self._settings)
        except ImportError as error:
            name = error.name or "obstore"
            raise MissingDependency(
                f"{self.url}: {name} is not installed; run: pip install 'mdth[s3]'"
            ) from error
        except ValueError as error:
            said = redacted(str(error))
            raise StorageError(f"{self.url}: not a usable store URL ({said})") from None

    def files(self, folder: str) -> list[Entry]:
        """The files directly in a folder, links too; none if there is no such folder."""
        return [each for each in self._entries(folder) if each.is_link or not each.is_folder]

    def folders(self, folder: str) -> list[str]:
        """The names of the folders directly in a folder, sorted; none if it is not there."""
        found = self._entries(folder)
        return sorted(each.name for each in found if each.is_folder and not each.is_link)

    def find_json(self, path: str) -> Json | None:
        """The object in a JSON file, None where there is no such file. Raises ArtefactError."""
        content = io.BytesIO()
        try:
            self._ask(path, lambda inside: self._files.fetch(inside, content))
        except NotThere:
            return None
        return parse(content.getvalue(), f"{self.url}/{path}")

    def below(self, folder: str) -> dict[str, Entry]:
        """All files below a folder by their path relative to it; none if there is no folder.

        Also none where a bucket has a name there that is no plain path, which it is told about:
        then the library lists nothing.
        """
        try:
            found = self._ask(folder, lambda inside: list(self._files.below(inside)))
        except StrayName as error:
            log.warning("%s", error)
            return {}
        return {entry.name: entry for entry in found if is_plain(entry.name, LONGEST_PATH)}

    def download(self, path: str, target: Path, *, sha256: str | None = None) -> Path:
        """Copy a file to `target`, which appears complete or not at all.

        Its size and content are checked: against `sha256`, in hex, if that is known, else against
        what the store says of it.
        """

        def fetch(inside: str) -> None:
            with replacing(target) as part, part.open("r+b") as file:
                self._files.fetch(inside, file, sha256=sha256)

        self._ask(path, fetch)
        stages.count(target.stat().st_size)
        return target

    def sha256(self, path: str, *, known: str | None = None) -> str:
        """The SHA-256 of a file's content, in hex. Raises NotWhole where it is not the known one.

        The content goes through a file without a name, which no end of the process leaves behind.
        """

        def fetch(inside: str) -> str:
            with tempfile.TemporaryFile(prefix="mdth-") as file:
                found = self._files.fetch(inside, file, sha256=known)
                stages.count(file.seek(0, io.SEEK_END))
                return found

        return self._ask(path, fetch)

    def upload(self, source: Path, path: str) -> None:
        """Copy a file to `path`, where it appears complete or not at all."""
        self._ask(path, lambda inside: self._files.put(source, inside))
        stages.count(source.stat().st_size)

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        self._ask(path, self._files.remove)

    def sweep(self, folder: str) -> None:
        """Delete what killed processes left half-written below a folder."""
        self._ask(folder, self._files.sweep)

    def _entries(self, folder: str) -> list[Entry]:
        return self._ask(folder, lambda inside: list(self._files.entries(inside)))

    def _ask(self, path: str, call: Callable[[str], Answer]) -> Answer:
        """What the call returns for the path; trouble becomes a StorageError."""
        if not is_plain(path, LONGEST_PATH):
            raise StorageError(f"{ascii(path[:80])}: not a path inside the store")
        return patiently(lambda: call(path), f"{self.url}/{path}", settings=self._settings)


def _opened(url: str, settings: S3Settings) -> "PlainFiles | ObjectFiles":
    if not url.startswith(OBJECTS):
        return PlainFiles(url)
    from mdth.storage.objects import ObjectFiles

    return ObjectFiles(url, settings)


def _shown(url: str) -> str:
    """The URL without the user, password and query it may have, which are never shown again."""
    user = re.match(r"\w+://([^/\s]*)@", url)
    if user:
        hide(user[1].split(":", 1))
    return redacted(url).rstrip("/")
