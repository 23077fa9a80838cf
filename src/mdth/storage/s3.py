"""Files in a bucket of any S3-compatible server; s3fs signs and sends, what to ask is ours.

Every request is one call here, so that it is repeated, counted and explained in one place; none of
them is a HEAD, whose refusals carry no reason.
"""

import importlib
import os
import re
import threading
from collections.abc import Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.asyn import reset_lock

from mdth.log.redact import guard_logs, hide
from mdth.storage.download import Download
from mdth.storage.faults import KEYS
from mdth.storage.listing import Entry
from mdth.storage.retry import patiently
from mdth.storage.settings import S3Settings
from mdth.storage.upload import Upload, abort_forgotten

LIBRARIES = ("botocore", "aiobotocore", "s3fs", "fsspec", "aiohttp", "asyncio")


class S3Files:
    """The files below `s3://bucket/prefix`; paths are relative to it.

    May be used from several threads, after a fork and, pickled, in another process: it holds no
    connection, but takes the one this process has for the server.
    """

    def __init__(self, url: str, settings: S3Settings) -> None:
        self.settings = settings
        self._url = url
        self._endpoint = _endpoint()
        for address in (url, self._endpoint or ""):
            if re.search(r"@|\?", address):
                raise ValueError("no user, password or query in an address; " + KEYS)
        self.bucket, self._prefix, _ = _filesystem(settings, self._endpoint).split_path(url)

    def call(self, method: str, where: str, **arguments: Any) -> Any:
        """The answer to one request to the bucket, tried patiently; `where` names it in errors."""
        return patiently(
            lambda: self.connection().call_s3(method, Bucket=self.bucket, **arguments),
            where,
            settings=self.settings,
        )

    def connection(self) -> Any:
        """The s3fs filesystem of this process, thread-safe, with its pool of connections."""
        return _filesystem(self.settings, self._endpoint)

    def key(self, path: str) -> str:
        """The object's key."""
        return "/".join(part for part in (self._prefix.strip("/"), path) if part)

    def entries(self, folder: str) -> Iterator[Entry]:
        """What is directly in a folder."""
        prefix = f"{self.key(folder)}/"
        for page in self._pages(folder, Prefix=prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", []):
                yield Entry(found["Prefix"].removeprefix(prefix).rstrip("/"), is_folder=True)
            yield from _files(page, prefix)

    def below(self, folder: str) -> Iterator[Entry]:
        """All files below a folder, by their path relative to it."""
        prefix = f"{self.key(folder)}/"
        for page in self._pages(folder, Prefix=prefix):
            yield from _files(page, prefix)

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of that name."""
        key = self.key(path)
        for prefix in (key, f"{key}/"):
            answer = self.call("list_objects_v2", self.where(path), Prefix=prefix, MaxKeys=1)
            first = [found["Key"] for found in answer.get("Contents", [])]
            if first and (first[0] == key or first[0].startswith(f"{key}/")):
                return True
        return False

    def fetch(self, path: str, file: BinaryIO, *, sha256: str | None = None) -> None:
        """Write the file into `file`, checked; goes on where it broke."""
        Download(self, path, file, sha256=sha256).run()

    def put(self, source: Path, path: str) -> None:
        """Store a local file; large ones in parallel parts."""
        Upload(self, source, path).run()

    def remove(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        self.call("delete_object", self.where(path), Key=self.key(path))

    def sweep(self, folder: str) -> None:
        """End the uploads in parts that somebody began below a folder a day ago and never ended."""
        abort_forgotten(self, folder, below=True)

    def where(self, path: str) -> str:
        """The path as it is shown."""
        return f"{self._url}/{path}"

    def _pages(self, folder: str, **which: str) -> Iterator[dict[str, Any]]:
        """The pages of a listing, of up to 1,000 objects; each is a request of its own."""
        token: dict[str, str] = {}
        while True:
            page = self.call("list_objects_v2", self.where(folder), **which, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


def _files(page: dict[str, Any], prefix: str) -> Iterator[Entry]:
    """The files of a page, without the markers that some tools leave for folders."""
    for found in page.get("Contents", []):
        if not found["Key"].endswith("/"):
            time_s = found["LastModified"].timestamp()
            yield Entry(found["Key"].removeprefix(prefix), int(found["Size"]), time_s)


def _endpoint() -> str | None:
    return os.environ.get("MDTH_S3_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL") or None


# Filesystems by process, settings, server and credentials. Those of a parent process are kept after
# a fork but never used: closing them here would close its connections' event loop.
_open: dict[tuple[object, ...], Any] = {}
_lock = threading.Lock()


def _begin_anew() -> None:
    """In a forked process: no lock that another thread held, no event loop that nobody runs."""
    global _lock
    _lock = threading.Lock()
    reset_lock()  # older versions of fsspec do not do so by themselves


os.register_at_fork(after_in_child=_begin_anew)


def _filesystem(settings: S3Settings, endpoint: str | None) -> Any:
    """One filesystem, so one pool of connections, for all stores of a server in this process."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    key = (os.getpid(), settings, endpoint, tuple(sorted(environment.items())))
    with _lock:
        if key not in _open:
            _open[key] = _connect(settings, endpoint)
        return _open[key]


def _connect(settings: S3Settings, endpoint: str | None) -> Any:
    secrets = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    hide(os.environ.get(name) for name in secrets)
    session = importlib.import_module("aiobotocore.session").get_session()
    # botocore's own reading of times is most of what a long listing takes.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
    files = fsspec.filesystem("s3", session=session, **_options(settings, endpoint))
    files.retries = 1  # `patiently` repeats
    guard_logs(*LIBRARIES)
    return files


def _time(text: str) -> datetime:
    """A time of a listing or a header."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


def _options(settings: S3Settings, endpoint: str | None) -> dict[str, Any]:
    """Options of s3fs and botocore for any S3-compatible server."""
    return {
        "endpoint_url": endpoint,
        "use_listings_cache": False,
        "skip_instance_cache": True,
        "config_kwargs": {
            # Servers other than Amazon's do not know the newer checksums; Content-MD5 is sent.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
            "connect_timeout": settings.connect_timeout_s,
            "read_timeout": settings.read_timeout_s,
            "retries": {"total_max_attempts": 1},
        },
    }
