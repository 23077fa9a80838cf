"""A file on its way from an object store: continued where it broke, checked when it is whole."""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from mdth.storage.faults import MEANWHILE, Damaged, code_of, failures
from mdth.storage.settings import S3Settings

_MD5 = re.compile(r"[0-9a-f]{32}")


class Download:
    """One file, brought into `file` by as many attempts as it takes; `most` bytes arrived so far.

    ask: gives the store's answer, with options of `obstore.get`. sha256: of the content, if it is
    known; else it is compared with the ETag, if that `is_md5`.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        ask: Callable[[Any], Any],
        settings: S3Settings,
        sha256: str | None,
        is_md5: Callable[[], bool],
    ) -> None:
        self._file, self._ask, self._settings = file, ask, settings
        self._expected, self._is_md5 = sha256, is_md5
        self._has_ranges, self._etag = True, ""
        self._restart()

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.most = 0

    def attempt(self) -> str:
        """Append what is missing, and check size and content of the whole; gives its SHA-256.

        Raises what the store raises, and Damaged.
        """
        if not self._has_ranges:
            self._restart()
        done = self._file.tell()
        try:
            answer = self._ask({"range": {"offset": done}, "if_match": self._etag} if done else {})
            if done and answer.meta["e_tag"] != self._etag:
                self._restart()
                raise Damaged("the file was replaced meanwhile")
            self._etag = answer.meta["e_tag"] or ""
            self._receive(answer)
        except failures() as error:
            self._has_ranges &= "NotPartial" not in str(error)
            if code_of(error) in MEANWHILE:
                self._restart()
            raise
        if self._file.tell() != answer.meta["size"]:
            raise Damaged(f"{self._file.tell()} of {answer.meta['size']} bytes arrived")
        sha256 = self._digest("sha256")
        if not self._is_right(sha256):
            self._restart()
            raise Damaged("what arrives is not what was stored")
        return sha256

    def _receive(self, answer: Any) -> None:
        """Raises TimeoutError when too little came since the last check that was due."""
        settings, arrived = self._settings, self._file.tell()
        checked_s, checked_at = time.monotonic(), arrived
        for block in answer.stream(min_chunk_size=1):
            self._file.write(block)
            arrived += len(block)
            self.most = max(self.most, arrived)
            if time.monotonic() - checked_s < settings.read_timeout_s:
                continue
            if arrived - checked_at < settings.least_bytes:
                raise TimeoutError
            checked_s, checked_at = time.monotonic(), arrived

    def _digest(self, kind: str) -> str:
        self._file.seek(0)
        return hashlib.file_digest(self._file, kind).hexdigest()  # type: ignore[arg-type]

    def _is_right(self, sha256: str) -> bool:
        if self._expected is not None:
            return sha256 == self._expected
        etag = self._etag.strip('"').lower()
        return not _MD5.fullmatch(etag) or etag == self._digest("md5") or not self._is_md5()
