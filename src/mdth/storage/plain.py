"""Files of a local folder."""

import errno
import hashlib
import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mdth.files.reading import link_on_the_way
from mdth.files.write import replacing, sweep_parts
from mdth.storage.faults import Damaged

BLOCK = 1 << 20
CONTROL = ("Cc", "Cs", "Zl", "Zp")
LONGEST_NAME = 200  # bytes; stores add to them


class Entry(NamedTuple):
    """A file or folder: its name or path, size in bytes, and when it came, by the store's clock.

    is_link: it leads elsewhere, and is not followed.
    """

    name: str
    size: int = 0
    time_s: float = 0.0
    is_folder: bool = False
    is_link: bool = False


def is_plain(path: str, longest: int = LONGEST_NAME) -> bool:
    """Whether it is names joined by '/' that can be on every disk, of at most `longest` bytes.

    None of them leads elsewhere, and no character is a control character.
    """
    return (
        len(path.encode(errors="replace")) <= longest
        and not {"", ".", ".."} & set(path.split("/"))
        and not any(unicodedata.category(character) in CONTROL for character in path)
    )


class PlainFiles:
    """The files below a folder, or a URL of one; paths are relative to it."""

    def __init__(self, url: str) -> None:
        if url.startswith("file:"):
            self._root = Path(url2pathname(urlsplit(url).path))
        elif "://" in url:
            raise ValueError(f"unknown protocol {url.partition('://')[0]}")
        else:
            self._root = Path(url).expanduser()

    def entries(self, folder: str) -> Iterator[Entry]:
        """What is directly in a folder."""
        place = self._existing(folder)
        for path in place.iterdir() if place.is_dir() else ():
            found, is_link = path.lstat(), path.is_symlink()
            if is_link or path.is_dir() or path.is_file():
                yield Entry(path.name, found.st_size, found.st_mtime, path.is_dir(), is_link)

    def below(self, folder: str) -> Iterator[Entry]:
        """All files below a folder, by their path relative to it."""
        base = self._existing(folder)
        for place, _, names in os.walk(base):  # which follows no links
            for path in (Path(place, name) for name in names):
                found = path.lstat()
                yield Entry(path.relative_to(base).as_posix(), found.st_size, found.st_mtime)

    def fetch(self, path: str, file: BinaryIO, *, sha256: str | None = None) -> str:
        """Write the file into `file`, checked; gives its SHA-256 in hex."""
        file.seek(0)
        file.truncate()
        seen = hashlib.sha256()
        with self._existing(path).open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            while block := opened.read(BLOCK):
                file.write(block)
                seen.update(block)
        if file.tell() != size:
            raise Damaged(f"{file.tell()} of {size} bytes arrived")
        if sha256 is not None and seen.hexdigest() != sha256:
            raise Damaged("what arrives is not what was stored")
        return seen.hexdigest()

    def put(self, source: Path, path: str) -> None:
        """Store a local file, where it appears complete or not at all."""
        with replacing(self._full(path)) as part:
            shutil.copyfile(source, part)

    def remove(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        self._full(path).unlink(missing_ok=True)

    def sweep(self, folder: str) -> None:
        """Delete what killed processes were writing below a folder."""
        sweep_parts(self._full(folder))

    def _existing(self, path: str) -> Path:
        if not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"no folder {self._root}")
        return self._full(path)

    def _full(self, path: str) -> Path:
        link = link_on_the_way(self._root, self._root / path)
        if link is not None:
            raise PermissionError(errno.EPERM, f"{link.name} is a link, which is not followed")
        return self._root / path
