"""Files of a local folder, and of whatever else fsspec has a filesystem for."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from mdth.log.redact import guard_logs
from mdth.storage.faults import Damaged
from mdth.storage.links import link_on_the_way
from mdth.storage.listing import Entry
from mdth.storage.unfinished import part_of, sweep_parts

BLOCK = 1 << 20


class PlainFiles:
    """The files below a URL; paths are relative to it."""

    def __init__(self, url: str) -> None:
        self._files, root = fsspec.core.url_to_fs(url)
        guard_logs("fsspec", "aiohttp", "asyncio")
        self._root = root.rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    def entries(self, folder: str) -> Iterator[Entry]:
        """What is directly in a folder."""
        self._check_root()
        try:
            found: list[dict[str, Any]] = self._files.ls(self._full(folder), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return
        for info in found:
            name, is_folder = PurePosixPath(info["name"]).name, info["type"] == "directory"
            is_link = bool(info.get("islink"))
            if is_link or is_folder or info["type"] == "file":
                yield Entry(name, int(info["size"] or 0), _time_s(info), is_folder, is_link)

    def below(self, folder: str) -> Iterator[Entry]:
        """All files below a folder, by their path relative to it."""
        self._check_root()
        base = self._full(folder)
        if self._local:
            yield from _below(Path(base))
            return
        for name, info in self._files.find(base, detail=True).items():
            yield Entry(name.removeprefix(base).lstrip("/"), int(info["size"] or 0), _time_s(info))

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        self._check_root()
        return bool(self._files.exists(self._full(path)))

    def fetch(self, path: str, file: BinaryIO, *, sha256: str | None = None) -> None:
        """Write the file into `file`, checked."""
        file.seek(0)
        file.truncate()
        size = self._files.info(self._full(path))["size"]
        seen = hashlib.sha256()
        with self._files.open(self._full(path), "rb") as opened:
            while block := opened.read(BLOCK):
                file.write(block)
                seen.update(block)
        if file.tell() != size:
            raise Damaged(f"{file.tell()} of {size} bytes arrived")
        if sha256 is not None and seen.hexdigest() != sha256:
            raise Damaged("what arrives is not what was stored")

    def put(self, source: Path, path: str) -> None:
        """Store a local file; in a local folder it appears complete or not at all."""
        if self._local:
            _copy(source, Path(self._full(path)))
        else:
            self._files.put_file(str(source), self._full(path))

    def remove(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        try:
            self._files.rm_file(self._full(path))
        except FileNotFoundError:
            return

    def sweep(self, folder: str) -> None:
        """Delete what killed processes were writing below a local folder."""
        if self._local:
            sweep_parts(Path(self._full(folder)))

    def _full(self, path: str) -> str:
        full = f"{self._root}/{path}"
        link = link_on_the_way(Path(self._root), Path(full)) if self._local else None
        if link is not None:
            raise PermissionError(errno.EPERM, f"{link.name} is a link, which is not followed")
        return full

    def _check_root(self) -> None:
        if self._local and not Path(self._root).is_dir():
            raise FileNotFoundError(f"no folder {self._root}")


def _below(folder: Path) -> Iterator[Entry]:
    for place, _, names in os.walk(folder):  # which follows no links
        for path in (Path(place, name) for name in names):
            found = path.lstat()
            yield Entry(path.relative_to(folder).as_posix(), found.st_size, found.st_mtime)


def _time_s(info: dict[str, Any]) -> float:
    """When a file was written, as the kinds of filesystems tell it."""
    time = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    return time.timestamp() if isinstance(time, datetime) else float(time)


def _copy(source: Path, target: Path) -> None:
    with part_of(target) as part:
        shutil.copyfile(source, part)
        with part.open("rb") as opened:
            os.fsync(opened.fileno())
        part.replace(target)
