"""The twins' storage behind one URL: a local folder, `file://`, `memory://` or `s3://`."""

import importlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from mdth.errors import ArtefactError, MissingDependency, StorageError
from mdth.storage.choice import Candidate, in_order
from mdth.storage.layout import MANIFEST

log = logging.getLogger("mdth")

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 30
ATTEMPTS = 3


class Stored(NamedTuple):
    """A file in the store: its size in bytes, and when it came there by the store's clock."""

    size: int
    time_s: float


class Store:
    """Files under a URL; paths are relative to it, with '/'.

    Everything raises StorageError when the store does not answer, refuses, lacks the bucket or
    the disk is full, and MissingDependency when the URL needs a package that is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = _clean(url)
        options = _s3_options() if url.startswith(("s3://", "s3a://")) else {}
        try:
            self._files, root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise MissingDependency(
                f"{self.url}: {error.name or 's3fs'} is not installed; run: pip install 'mdth[s3]'"
            ) from error
        except ValueError as error:
            raise StorageError(
                f"{self.url}: not a usable store URL ({_clean(str(error))})"
            ) from error
        if options:
            self._files.retries = ATTEMPTS
        self._root = root.rstrip("/")
        self._local = isinstance(self._files, LocalFileSystem)

    def files(self, folder: str) -> list[Candidate]:
        """The files directly in a folder, in natural order; none if there is no such folder."""
        found = self._listing(folder)
        return in_order(
            Candidate(name, int(info["size"] or 0))
            for name, info in found.items()
            if info["type"] == "file"
        )

    def folders(self, folder: str) -> list[str]:
        """The names of the folders directly in a folder, sorted; none if it is not there."""
        found = self._listing(folder)
        return sorted(name for name, info in found.items() if info["type"] == "directory")

    def _listing(self, folder: str) -> dict[str, Any]:
        """What is directly in a folder, by name; nothing if there is no such folder."""
        with self._talking(folder):
            self._check_root()
            try:
                found = self._files.ls(self._full(folder), detail=True, refresh=True)
            except (FileNotFoundError, NotADirectoryError) as error:
                if _is_answer(error):
                    raise
                return {}
        names = ((PurePosixPath(info["name"]).name, info) for info in found)
        return {name: info for name, info in names if name}

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        with self._talking(path):
            self._check_root()
            return bool(self._files.exists(self._full(path)))

    def read_json(self, path: str) -> dict[str, Any]:
        """The object in a JSON file. Raises ArtefactError when it is not one."""
        with self._talking(path):
            content = self._files.cat_file(self._full(path))
        try:
            value = json.loads(content)
        except ValueError as error:
            raise ArtefactError(f"{self.url}/{path}: not JSON ({error})") from error
        if not isinstance(value, dict):
            raise ArtefactError(f"{self.url}/{path}: not a JSON object")
        return value

    def find_json(self, path: str) -> dict[str, Any] | None:
        """The object in a JSON file, None where there is no such file. Raises ArtefactError."""
        try:
            return self.read_json(path) if self.exists(path) else None
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None  # it went between the two questions
            raise

    def below(self, folder: str) -> dict[str, Stored]:
        """All files below a folder by their path relative to it; none if there is no folder."""
        with self._talking(folder):
            self._check_root()
            base = self._full(folder)
            found = self._files.find(base, detail=True)
        files = {str(PurePosixPath(name).relative_to(base)): info for name, info in found.items()}
        if any(".." in PurePosixPath(path).parts for path in files):
            raise StorageError(f"{self.url}/{folder}: a file name with '..' in it; remove it")
        return {path: Stored(int(info["size"] or 0), _time_s(info)) for path, info in files.items()}

    def download(self, path: str, target: Path) -> Path:
        """Copy a file to `target`, which appears complete or not at all."""
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        with self._talking(path):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                size = self._files.info(self._full(path))["size"]
                self._files.get_file(self._full(path), str(part))
                if part.stat().st_size != size:
                    raise OSError(f"{part.stat().st_size} of {size} bytes arrived")
                _sync(part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        return target

    def download_folder(self, folder: str, target: Path) -> Path:
        """Copy a folder and all below it to `target`, replacing what is there when complete."""
        paths = self._below(folder)
        if not paths:
            raise StorageError(f"{self.url}/{folder}: nothing is there; check MDTH_STORE")
        with self._talking(folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=target.parent) as scratch:
                new, old = Path(scratch, "new"), Path(scratch, "old")
                for path in paths:
                    self.download(f"{folder}/{path}", new / path)
                if target.exists():
                    target.replace(old)
                new.replace(target)
        return target

    def upload(self, source: Path, path: str) -> None:
        """Copy a file to `path`, where it appears complete or not at all."""
        with self._talking(path):
            full = self._full(path)
            if self._local:
                _copy(source, Path(full))
            else:
                self._files.put_file(str(source), full)

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        with self._talking(path):
            try:
                self._files.rm_file(self._full(path))
            except FileNotFoundError:
                return

    def publish(self, source: Path, folder: str) -> None:
        """Make `folder` a copy of the local folder `source`: data first, the manifest last.

        The old manifest goes first, so that a manifest always stands for complete data. Files of an
        earlier publication that are not in `source` are deleted.
        """
        new = sorted(str(file.relative_to(source).as_posix()) for file in _real_files(source))
        old = self._below(folder) if self.exists(folder) else []
        self.remove(f"{folder}/{MANIFEST}")
        for path in [path for path in new if path != MANIFEST]:
            self.upload(source / path, f"{folder}/{path}")
        for path in set(old) - set(new) - {MANIFEST}:
            self.remove(f"{folder}/{path}")
        if MANIFEST in new:
            self.upload(source / MANIFEST, f"{folder}/{MANIFEST}")

    def _below(self, folder: str) -> list[str]:
        """The paths of all files below a folder, relative to it."""
        with self._talking(folder):
            base = self._full(folder)
            found = [PurePosixPath(name) for name in self._files.find(base)]
            relative = [path.relative_to(PurePosixPath(base)) for path in found]
        if any(".." in path.parts for path in relative):
            raise StorageError(f"{self.url}/{folder}: a file name with '..' in it; remove it")
        return [str(path) for path in relative]

    def _full(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or ".." in parts or parts[0] == "/":
            raise StorageError(f"{path!r}: not a path inside the store")
        return "/".join((self._root, *parts))

    def _check_root(self) -> None:
        if self._local and not Path(self._root).is_dir():
            raise FileNotFoundError(f"no folder {self._root}")

    @contextmanager
    def _talking(self, path: str) -> Iterator[None]:
        """Turns what the store or the disk says into a StorageError without secrets."""
        try:
            yield
        except _failures() as error:
            said = _clean(getattr(error, "strerror", None) or str(error) or type(error).__name__)
            raise StorageError(f"{self.url}/{path}: {said}; {_hint(error)}") from error


def _time_s(info: dict[str, Any]) -> float:
    """When a file was written, as the kinds of stores tell it."""
    time = info.get("mtime") or info.get("LastModified") or info.get("created") or 0.0
    return time.timestamp() if isinstance(time, datetime) else float(time)


def _s3_options() -> dict[str, Any]:
    """Options for any S3-compatible server, with bounded patience."""
    endpoint = os.environ.get("MDTH_S3_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL")
    return {
        "endpoint_url": endpoint or None,
        "use_listings_cache": False,
        "skip_instance_cache": True,
        "config_kwargs": {
            # Servers other than Amazon's do not know the newer checksums.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
            "retries": {"total_max_attempts": 1},  # s3fs repeats on its own, see `Store`
        },
    }


def _failures() -> tuple[type[Exception], ...]:
    """What a store can raise; the S3 library's own only if it is installed."""
    try:
        botocore = importlib.import_module("botocore.exceptions")
    except ImportError:
        return (OSError,)
    return (OSError, botocore.BotoCoreError, botocore.ClientError)


def _is_answer(error: BaseException) -> bool:
    """Whether a server said "not found" itself: for a listing that means there is no bucket."""
    return hasattr(error.__cause__, "response")


def _hint(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "check MDTH_STORE and the name"
    if isinstance(error, PermissionError) or "redential" in str(error):
        return "check the credentials and permissions"
    return "check that the store can be reached (MDTH_STORE, MDTH_S3_ENDPOINT) and has space"


def _clean(text: str) -> str:
    """The text without user names and passwords of URLs."""
    return re.sub(r"://[^/\s@]*@", "://", text)


def _real_files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, part)
        _sync(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sync(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
