"""A file on its way from an S3 server: hashed as it arrives, continued where it broke."""

import hashlib
import re
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec.asyn import sync

from mdth.storage.faults import Damaged, code_of
from mdth.storage.retry import patiently

if TYPE_CHECKING:
    from mdth.storage.s3 import S3Files

BLOCK = 1 << 18
REPLACED = {"PreconditionFailed", "412", "InvalidRange", "416"}
PLAIN_ENCRYPTION = (None, "AES256")  # with others the ETag is not the content's MD5

_MD5 = re.compile(r"[0-9a-f]{32}")


class Download:
    """One file; `run` brings it into `file`, which is emptied first."""

    def __init__(
        self, files: "S3Files", path: str, file: BinaryIO, *, sha256: str | None = None
    ) -> None:
        self._files, self._path, self._file = files, path, file
        self._expected = sha256
        self._restart()

    def run(self) -> None:
        """The whole file, with the size that the server named and the right content.

        The content is compared with the SHA-256 if one is given, else with the ETag if that is a
        plain MD5. Raises StorageError.
        """
        patiently(
            self._attempt,
            self._files.where(self._path),
            settings=self._files.settings,
            progress=lambda: self._most,
        )

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._done, self._size, self._etag = 0, 0, ""
        self._most = 0
        self._checked_s, self._checked_at = time.monotonic(), 0
        self._plain = False
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def _attempt(self) -> None:
        connection = self._files.connection()
        try:
            sync(connection.loop, self._stream, connection)
        except OSError as error:
            if code_of(error) in REPLACED:
                self._restart()
            raise
        if self._done != self._size:
            raise Damaged(f"{self._done} of {self._size} bytes arrived")
        if not self._is_right():
            self._restart()
            raise Damaged("what arrives is not what was stored")

    async def _stream(self, connection: Any) -> None:
        """Append what is missing."""
        going_on = {"Range": f"bytes={self._done}-", "IfMatch": self._etag} if self._done else {}
        answer = await connection._call_s3(
            "get_object", Bucket=self._files.bucket, Key=self._files.key(self._path), **going_on
        )
        body = answer["Body"]
        try:
            self._begin(answer)
            self._checked_s, self._checked_at = time.monotonic(), self._done
            while block := await body.read(BLOCK):
                self._take(block)
                self._check_pace()
        finally:
            body.close()

    def _begin(self, answer: dict[str, Any]) -> None:
        """Start anew unless this answer goes on where the last one broke."""
        etag = answer.get("ETag", "")
        start = f"bytes {self._done}-"
        if self._done and etag == self._etag and answer.get("ContentRange", "").startswith(start):
            return
        if self._done:
            self._restart()
        if answer.get("ContentRange"):
            raise Damaged("the server sent another range than asked for")
        self._etag, self._size = etag, int(answer["ContentLength"])
        self._plain = (
            answer.get("ServerSideEncryption") in PLAIN_ENCRYPTION
            and "SSECustomerAlgorithm" not in answer
        )

    def _take(self, block: bytes) -> None:
        self._file.write(block)
        self._md5.update(block)
        self._sha256.update(block)
        self._done += len(block)
        self._most = max(self._most, self._done)

    def _check_pace(self) -> None:
        """Raises TimeoutError when too little came since the last check that was due."""
        settings, now = self._files.settings, time.monotonic()
        if now - self._checked_s < settings.read_timeout_s:
            return
        if self._done - self._checked_at < settings.least_bytes:
            raise TimeoutError
        self._checked_s, self._checked_at = now, self._done

    def _is_right(self) -> bool:
        if self._expected is not None:
            return self._sha256.hexdigest() == self._expected
        etag = self._etag.strip('"').lower()
        if self._plain and _MD5.fullmatch(etag):
            return self._md5.hexdigest() == etag
        return True
