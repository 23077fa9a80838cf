"""Reading what others wrote: no more than there is, by its hash, and never through a link."""

import hashlib
import io
import os
from functools import cache
from pathlib import Path


class BoundedFile(io.BufferedReader):
    """A regular file, open for reading, that is never asked for more than it has.

    Python makes room for all that a reader asks for, and headers of damaged files ask for
    gigabytes. Raises OSError as `open` does.
    """

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path)
        super().__init__(raw)
        self.size = os.fstat(raw.fileno()).st_size

    def read(self, count: int | None = -1, /) -> bytes:
        """At most `count` bytes."""
        left = max(0, self.size - self.tell())
        return super().read(left if count is None or count < 0 else min(count, left))


def sha256(path: Path) -> str:
    """Hash of a file's content, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """The same, read once per process while size and time stay: models may be gigabytes."""
    found = path.stat()
    return _known_sha256(path.resolve(), found.st_size, found.st_mtime_ns, found.st_ino)


def file_state(file: Path) -> tuple[str, int, int] | None:
    """What changes when another content comes into the place; None where there is no file."""
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file), found.st_mtime_ns, found.st_size


@cache
def _known_sha256(path: Path, *_mark: int) -> str:
    return sha256(path)


def link_on_the_way(root: Path, path: Path) -> Path | None:
    """The first symbolic link below `root` on the way to `path`, which lies below it, or None.

    A store may be filled by others, and a link in it would read or overwrite whatever it points to
    with the rights of who runs this. Links above a twin's folders are its owner's own.
    """
    at = root
    for name in path.relative_to(root).parts:
        at = at / name
        if at.is_symlink():
            return at
    return None
