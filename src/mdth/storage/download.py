"""A file on its way from an object store: hashed as it arrives, continued where it broke."""

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
        self._has_ranges = True
        self._restart()

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._done, self._size, self.most, self._etag = 0, 0, 0, ""
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()

    def attempt(self) -> str:
        """Append what is missing, and check size and content of the whole; gives its SHA-256.

        Raises what the store raises, and Damaged.
        """
        if not self._has_ranges:
            self._restart()
        going_on = {"range": {"offset": self._done}, "if_match": self._etag} if self._done else {}
        try:
            answer = self._ask(going_on)
            if self._done and answer.meta["e_tag"] != self._etag:
                self._restart()
                raise Damaged("the file was replaced meanwhile")
            self._etag, self._size = answer.meta["e_tag"] or "", answer.meta["size"]
            self._receive(answer)
        except failures() as error:
            self._has_ranges &= "NotPartial" not in str(error)
            if code_of(error) in MEANWHILE:
                self._restart()
            raise
        if self._done != self._size:
            raise Damaged(f"{self._done} of {self._size} bytes arrived")
        if not self._is_right():
            self._restart()
            raise Damaged("what arrives is not what was stored")
        return self._sha256.hexdigest()

    def _receive(self, answer: Any) -> None:
        """Raises TimeoutError when too little came since the last check that was due."""
        settings = self._settings
        checked_s, checked_at = time.monotonic(), self._done
        for block in answer.stream(min_chunk_size=1):
            self._file.write(block)
            self._md5.update(block)
            self._sha256.update(block)
            self._done += len(block)
            self.most = max(self.most, self._done)
            if time.monotonic() - checked_s < settings.read_timeout_s:
                continue
            if self._done - checked_at < settings.least_bytes:
                raise TimeoutError
            checked_s, checked_at = time.monotonic(), self._done

    def _is_right(self) -> bool:
        if self._expected is not None:
            return self._sha256.hexdigest() == self._expected
        etag = self._etag.strip('"').lower()
        if not _MD5.fullmatch(etag) or etag == self._md5.hexdigest():
            return True
        return not self._is_md5()
