"""Files in a bucket: S3 and all that speaks like it, Google's and Azure's stores.

`obstore` signs and sends. A request is one call here, repeated, counted and explained in one place;
only the parts of an upload are repeated by the library, each for itself.
"""

import configparser
import mimetypes
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import obstore
from obstore import store as stores

from mdth.errors import StorageError
from mdth.log.redact import guard_logs, hide
from mdth.storage.download import Download
from mdth.storage.faults import KEYS, NotThere, diagnose, failures, patiently
from mdth.storage.plain import Entry
from mdth.storage.settings import MIB, S3Settings

S3 = ("s3://", "s3a://")
AT_ONCE = MIB  # smaller files need no more time than an answer
PLAIN_ENCRYPTION = (None, "AES256")  # with others the ETag is not the content's MD5
CLOUDS = ("AWS_", "AZURE_", "GOOGLE_")  # what settings of theirs begin with
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class ObjectFiles:
    """The files below a URL such as `s3://bucket/prefix`; paths are relative to it.

    May be used from several threads and, pickled, in another process: it holds no connection, but
    takes the one this process has for the URL.
    """

    def __init__(self, url: str, settings: S3Settings) -> None:
        self.settings = settings
        self._url = url
        endpoint = os.environ.get("MDTH_S3_ENDPOINT") or os.environ.get("AWS_ENDPOINT_URL") or ""
        self._endpoint = endpoint if url.startswith(S3) else ""
        for address in (url, self._endpoint):
            if re.search(r"@|\?", address):
                raise ValueError("no user, password or query in an address; " + KEYS)
        try:
            self.client()
        except failures() as error:
            raise ValueError(str(error).partition("\n")[0]) from None

    def client(self, *, for_parts: bool = False) -> Any:
        """The `obstore` store of this process, thread-safe, with its pool of connections.

        for_parts: one that waits long enough for parts of uploads, and repeats them.
        """
        _refuse_forks()
        environment = tuple(sorted(i for i in os.environ.items() if i[0].startswith(CLOUDS)))
        return _connect(self._url, self.settings, (self._endpoint, environment, for_parts))

    def entries(self, folder: str) -> Iterator[Entry]:
        """What is directly in a folder."""
        found = self.client().list_with_delimiter(folder)
        for path in found["common_prefixes"]:
            yield Entry(PurePosixPath(path).name, is_folder=True)
        for file in found["objects"]:
            if file["path"] != folder:  # some tools leave an object for the folder itself
                yield _entry(file, PurePosixPath(file["path"]).name)

    def below(self, folder: str) -> Iterator[Entry]:
        """All files below a folder, by their path relative to it.

        Some tools leave an empty object for a folder: what is empty and has no suffix is no file.
        """
        for file in self.client().list(folder).collect():
            if file["size"] or PurePosixPath(file["path"]).suffix:
                yield _entry(file, file["path"].removeprefix(f"{folder}/"))

    def fetch(self, path: str, file: BinaryIO, *, sha256: str | None = None) -> str:
        """Write the file into `file`, checked; goes on where it broke. Gives its SHA-256 in hex."""
        download = Download(
            file,
            ask=lambda options: self.client().get(path, options=options),
            settings=self.settings,
            sha256=sha256,
            is_md5=lambda: self._etag_is_md5(path),
        )
        where, settings = f"{self._url}/{path}", self.settings
        return patiently(download.attempt, where, settings=settings, progress=lambda: download.most)

    def put(self, source: Path, path: str) -> None:
        """Store a local file, where it appears complete or not at all; a large one in parts."""
        if source.stat().st_size <= min(AT_ONCE, self.settings.part_bytes):
            self.client().put(path, source.read_bytes(), attributes=_attributes(path))
            return
        size = source.stat().st_size
        part = self.settings.part_size(size)
        self.client(for_parts=True).put(
            path,
            _blocks(source, size, part),
            attributes=_attributes(path),
            use_multipart=size > part,
            chunk_size=part,
            max_concurrency=self.settings.parallel,
        )

    def remove(self, path: str) -> None:
        """Delete a file; one that is not there is no error."""
        try:
            self.client().delete(path)
        except FileNotFoundError as error:
            if diagnose(error).kind is not NotThere:
                raise

    def sweep(self, folder: str) -> None:
        """Nothing: uploads in parts that a killed process began are seen by the bucket's rules."""

    def _etag_is_md5(self, path: str) -> bool:
        """Whether S3's ETag of a file sent in one piece is the MD5 of its content."""
        if not self._url.startswith(S3):
            return False
        address = obstore.sign(self.client(), "HEAD", path, timedelta(minutes=5))
        request = urllib.request.Request(address, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=self.settings.read_timeout_s) as answer:
                kind, key = "x-amz-server-side-encryption", "-customer-algorithm"
                encrypted = answer.headers.get(kind) not in PLAIN_ENCRYPTION
                return not encrypted and answer.headers.get(kind + key) is None
        except urllib.error.HTTPError:  # it takes the customer's key to be told
            return False


def _entry(file: Any, name: str) -> Entry:
    return Entry(name, int(file["size"]), file["last_modified"].timestamp())


def _attributes(path: str) -> dict[str, str]:
    content_type, _ = mimetypes.guess_type(path)
    return {"Content-Type": content_type} if content_type else {}


def _blocks(source: Path, size: int, part: int) -> Iterator[bytes]:
    """The content in parts, so that no more than are on their way are in memory."""
    sent = 0
    with source.open("rb") as file:
        while block := file.read(part):
            sent += len(block)
            yield block
    if sent != size:
        raise OSError("the file changed while it was sent")


# The processes that have used the library, this one and those it was forked from.
_users: set[int] = set()


def _refuse_forks() -> None:
    """Raise StorageError where the library would wait for threads that a fork left behind."""
    if os.getpid() in _users:
        return
    if _users:
        raise StorageError(
            "this process was forked from one that has used the store already, which cannot work; "
            "start it with multiprocessing.get_context('spawn')"
        )
    _users.add(os.getpid())


@lru_cache(maxsize=64)
def _connect(url: str, settings: S3Settings, how: tuple[str, object, bool]) -> Any:
    """One pool of connections in this process for a URL, an environment and a purpose."""
    endpoint, _, for_parts = how
    timeout_s = settings.part_timeout_s if for_parts else settings.read_timeout_s
    options: dict[str, Any] = {
        "client_options": {
            "connect_timeout": timedelta(seconds=settings.connect_timeout_s),
            "read_timeout": timedelta(seconds=timeout_s),
            "timeout": timedelta(days=1),  # of a whole download, which may be large
            "allow_http": endpoint.startswith("http://"),
        },
        "retry_config": {
            "max_retries": settings.attempts - 1 if for_parts else 0,  # else `patiently` repeats
            "retry_timeout": timedelta(days=1),
            "backoff": {
                "init_backoff": timedelta(seconds=settings.first_wait_s),
                "max_backoff": timedelta(seconds=settings.longest_wait_s),
                "base": 2,
            },
        },
    }
    guard_logs("obstore")
    if not url.startswith(S3):
        return stores.from_url(url, **options)
    bucket, _, prefix = url.partition("://")[2].partition("/")
    profile = _profile()
    hide(os.environ.get(name) for name in SECRETS)
    hide(profile.get(name.lower()) for name in SECRETS)
    if endpoint:
        options["endpoint"] = endpoint
    options |= {name.removeprefix("aws_"): value for name, value in profile.items()}
    # Not every server has the request that deletes many at once.
    options |= {"prefix": prefix.strip("/") or None, "disable_bulk_delete": True}
    return stores.S3Store(bucket, **options)


def _profile() -> dict[str, str]:
    """What AWS_PROFILE, or the profile `default`, has in AWS's files and the environment has not.

    Raises ValueError for a profile without keys of its own.
    """
    chosen = os.environ.get("AWS_PROFILE")
    name, found = chosen or "default", configparser.RawConfigParser()
    files = {"AWS_CONFIG_FILE": "config", "AWS_SHARED_CREDENTIALS_FILE": "credentials"}
    for variable, file in files.items():
        found.read(Path(os.environ.get(variable) or f"~/.aws/{file}").expanduser(), "utf-8")
    section: dict[str, str] = {}
    for title in (f"profile {name}", name):
        section |= dict(found[title]) if title in found else {}
    keys = {key.lower() for key in SECRETS}
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        keys = set()
    elif chosen and "aws_access_key_id" not in section:
        raise ValueError(
            f"the AWS profile {chosen!r} has no keys of its own; run: "
            f'eval "$(aws configure export-credentials --profile {chosen} --format env)"'
        )
    if not (os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")):
        keys = keys | {"region"}
    return {key: value for key, value in section.items() if key in keys}
