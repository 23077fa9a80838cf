"""What can go wrong with a store: what it means, whether it may pass, and what to do about it."""

import errno
import html
import logging
import random
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from mdth.errors import StorageError
from mdth.log.redact import shortened
from mdth.storage.settings import S3Settings

log = logging.getLogger("mdth")

LONGEST_SAID = 300

CLOCK = "set this machine's clock (NTP), then run again"
EXPIRED = "renew the credentials (AWS_SESSION_TOKEN and keys, or the login that made them)"
KEYS = "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE)"
BUCKET = "create the bucket, or check MDTH_STORE and MDTH_S3_ENDPOINT"
REGION = "set AWS_REGION to the bucket's region, or check MDTH_S3_ENDPOINT"
DENIED = "ask for permission to list, read and write there, or check the credentials"
NAME = "check MDTH_STORE and the name"
REACH = "check that the store can be reached (MDTH_STORE, MDTH_S3_ENDPOINT)"
LATER = "try again later"
DAMAGED = "put the file into the store again"
SPACE = "free some space, then run again"
LOCAL = "check the disk and MDTH_STORE"

ADVICE = {
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), CLOCK),
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired", "InvalidToken"), EXPIRED),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch"), KEYS),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "PermanentRedirect", "301"), REGION),
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName"), BUCKET),
    **dict.fromkeys(("NoSuchKey", "404"), NAME),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "403"), DENIED),
    **dict.fromkeys(("InsufficientStorage", "507", "QuotaExceeded"), SPACE),
}

# What servers, and gateways before them, say when the same request may succeed a moment later.
BUSY = ("ServiceUnavailable", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests")
MEANWHILE = ("PreconditionFailed", "412", "InvalidRange", "416")
PASSING = {
    **dict.fromkeys((*BUSY, "RequestLimitExceeded", "429", "503"), "the server is busy"),
    **dict.fromkeys(("InternalError", "500"), "the server failed"),
    **dict.fromkeys(MEANWHILE, "the file was replaced meanwhile"),
    **dict.fromkeys(("BadDigest", "XAmzContentSHA256Mismatch"), "a damaged upload arrived"),
    "IncompleteBody": "half an upload arrived",
    "RequestTimeout": "the server did not get the whole request in time",
    "OperationAborted": "another request is under way",
    "NoSuchUpload": "the server lost what was sent",
    "502": "a gateway failed",
    "504": "a gateway timed out",
}

Answer = TypeVar("Answer")


class Damaged(OSError):
    """What arrived is not what was asked for; another attempt may do better."""


class NotThere(StorageError):
    """The store answered that it has no such file."""


class NotWhole(StorageError):
    """What the store has is not what was put there."""


class StrayName(StorageError):
    """A folder of a bucket cannot be listed: a key in it is no plain path."""


@dataclass(frozen=True)
class Fault:
    """What was said, without secrets; what to do; whether it may pass by itself; what is raised."""

    said: str
    advice: str
    passes: bool
    kind: type[StorageError] = StorageError


# What the library says where no answer came, and the kinds of its HTTP errors.
WITHOUT_ANSWER = [
    (r"//169\.254\.|redential", Fault("no usable credentials", KEYS, passes=False)),
    (
        r"InvalidPath",
        Fault("a name in there is not a plain file name", "remove it", False, StrayName),
    ),
    (r"edirect", Fault("the server sends to another place", REGION, passes=False)),
    (r"ertificate", Fault("the server's certificate cannot be trusted", REACH, passes=False)),
    (r"kind: (Timeout|TimedOut)", Fault("no answer in time", f"{REACH}, or {LATER}", passes=True)),
    (r"kind: Connect\b", Fault("no connection, or it broke", f"{REACH}, or {LATER}", passes=True)),
    (r"HttpError", Fault("the connection broke", f"{REACH}, or {LATER}", passes=True)),
    (r"", Fault("the answer is not one of an object store", REACH, passes=True)),
]


def failures() -> tuple[type[Exception], ...]:
    """What a store can raise; the library's own only if it is in use."""
    library = sys.modules.get("obstore.exceptions")
    return (OSError, library.BaseError) if library else (OSError,)


def code_of(error: BaseException) -> str:
    """The error code in a server's answer, else its status, else ""."""
    code = re.search(r"<Code>\s*(\w+)\s*</Code>", str(error))
    status = re.search(r"status code: (\d{3})", str(error))
    if code and (code[1] in ADVICE or code[1] in PASSING or not status or status[1] < "500"):
        return code[1]
    return status[1] if status else ""


def diagnose(error: BaseException) -> Fault:
    """What this failure means."""
    if isinstance(error, OSError) and "Debug source" not in str(error):  # not the library's
        return _local(error)
    # Amazon's machines are asked for credentials at such an address where nobody gave any.
    code = "" if "//169.254." in str(error) else code_of(error)
    if code in PASSING:
        advice = DAMAGED if "damaged" in PASSING[code] else LATER
        return Fault(f"{PASSING[code]} ({code})", advice, passes=True)
    if code:
        said = shortened(_message(error), LONGEST_SAID)
        # Some servers refuse for the time as they refuse for everything else.
        late = code in ("AccessDenied", "403") and _ABOUT_TIME.search(said)
        advice = CLOCK if late else ADVICE.get(code, REACH)
        kind = NotThere if code in ("NoSuchKey", "404") else StorageError
        return Fault(f"{said} ({code})", advice, False, kind)
    return next(fault for pattern, fault in WITHOUT_ANSWER if re.search(pattern, str(error)))


_ABOUT_TIME = re.compile(r"(?i)server.?s time|request has expired|skew")


def _message(error: BaseException) -> str:
    """What a server's answer says."""
    message = re.search(r"<Message>([^<]*)</Message>", str(error))
    status = re.search(r"status code: \d* ([\w ]*)", str(error))
    return html.unescape(message[1]) if message else status[1] if status else "refused"


def _local(error: OSError) -> Fault:
    """The failure of this machine's disk, or of what arrived."""
    said = shortened(error.strerror or str(error) or type(error).__name__, LONGEST_SAID)
    if isinstance(error, Damaged):
        return Fault(said, DAMAGED, True, NotWhole)
    if isinstance(error, TimeoutError):
        return Fault("no answer in time", f"{REACH}, or {LATER}", passes=True)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Fault(said, SPACE, passes=False)
    if isinstance(error, PermissionError):
        return Fault(said, DENIED, passes=False)
    if isinstance(error, FileNotFoundError):
        return Fault(said, NAME, False, NotThere)
    return Fault(said, LOCAL, passes=False)


def patiently(
    call: Callable[[], Answer],
    where: str,
    *,
    settings: S3Settings,
    progress: Callable[[], int] = int,
) -> Answer:
    """What the call returns, made again while what goes wrong may pass.

    progress: the bytes that arrived so far; attempts count anew after `part_bytes` of them.
    Raises StorageError, with no secret in it and none chained to it.
    """
    failed, start, reached = 0, time.monotonic(), progress()
    while True:
        try:
            return call()
        except failures() as error:
            fault = diagnose(error)
            retried = re.search(r"after (\d+) retries", str(error))
        # Here, outside the handler, nothing the library said is chained to what is raised.
        if progress() - reached >= settings.part_bytes:
            failed, reached = 0, progress()
        failed += 1 + (int(retried[1]) if retried else 0)
        if not fault.passes or failed >= settings.attempts:
            tried_s = time.monotonic() - start
            tried = f", {failed} attempts in {tried_s:.0f} s" if failed > 1 else ""
            raise fault.kind(f"{where}: {fault.said}{tried}; {fault.advice}")
        # Shortened at random, so that many clients do not come back at the same moment.
        pause_s = settings.pause_s(failed) * random.uniform(0.5, 1.0)
        log.info(
            "%s: %s; attempt %d of %d in %.1f s",
            *(where, fault.said, failed + 1, settings.attempts, pause_s),
        )
        time.sleep(pause_s)
