"""A call to a store, made again while what goes wrong may pass."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from mdth.errors import StorageError
from mdth.storage.faults import Fault, diagnose, failures
from mdth.storage.settings import S3Settings

log = logging.getLogger("mdth")

Answer = TypeVar("Answer")


class Failed(StorageError):
    """A call that failed for good; `code` is S3's for it, "" if a server did not answer."""

    def __init__(self, said: str, code: str = "") -> None:
        super().__init__(said)
        self.code = code


class NotThere(Failed):
    """The store answered that it has no such file."""


def _nothing_yet() -> int:
    return 0


def patiently(
    call: Callable[[], Answer],
    where: str,
    *,
    settings: S3Settings,
    progress: Callable[[], int] = _nothing_yet,
) -> Answer:
    """What the call returns. Raises StorageError, with no secret in it and none chained to it.

    progress: the bytes that arrived so far; attempts count anew after `part_bytes` of them.
    """
    failed, start, reached = 0, time.monotonic(), progress()
    while True:
        try:
            return call()
        except failures() as error:
            fault = diagnose(error)
        # Here, outside the handler, nothing the library said is chained to what is raised.
        if progress() - reached >= settings.part_bytes:
            failed, reached = 0, progress()
        failed += 1
        if not fault.passes or failed >= settings.attempts:
            kind = NotThere if fault.missing else Failed
            raise kind(_last_words(where, fault, failed, time.monotonic() - start), fault.code)
        pause_s = settings.random_pause_s(failed)
        log.info(
            "%s: %s; attempt %d of %d in %.1f s",
            *(where, fault.said, failed + 1, settings.attempts, pause_s),
        )
        time.sleep(pause_s)


def _last_words(where: str, fault: Fault, failed: int, seconds: float) -> str:
    tried = f", {failed} attempts in {seconds:.0f} s" if failed > 1 else ""
    return f"{where}: {fault.said}{tried}; {fault.advice}"
