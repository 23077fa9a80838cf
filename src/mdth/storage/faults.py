"""What can go wrong with a store: whether it may pass, and what to do about it."""

import errno
import importlib
import re
from dataclasses import dataclass
from typing import Any

from mdth.log.redact import redacted

LONGEST_SAID = 300

CLOCK = "set this machine's clock (NTP), then run again"
EXPIRED = "renew the credentials (AWS_SESSION_TOKEN and keys, or the login that made them)"
KEYS = "check the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE)"
BUCKET = "create the bucket, or check MDTH_STORE and MDTH_S3_ENDPOINT"
DENIED = "ask for permission to list, read and write there, or check the credentials"
NAME = "check MDTH_STORE and the name"
REACH = "check that the store can be reached (MDTH_STORE, MDTH_S3_ENDPOINT)"
LATER = "try again later"
DAMAGED = "put the file into the store again"
SPACE = "free some space, then run again"
LOCAL = "check the disk and MDTH_STORE"

ADVICE = {
    "RequestTimeTooSkewed": CLOCK,
    "RequestExpired": CLOCK,
    "ExpiredToken": EXPIRED,
    "TokenRefreshRequired": EXPIRED,
    "InvalidToken": EXPIRED,
    "InvalidAccessKeyId": KEYS,
    "SignatureDoesNotMatch": KEYS,
    "AuthorizationHeaderMalformed": KEYS,
    "NoSuchBucket": BUCKET,
    "InvalidBucketName": BUCKET,
    "PermanentRedirect": BUCKET,
    "NoSuchKey": NAME,
    "404": NAME,
    "AccessDenied": DENIED,
    "AllAccessDisabled": DENIED,
    "403": DENIED,
    "InsufficientStorage": SPACE,
    "507": SPACE,
    "QuotaExceeded": SPACE,
}

# What S3 servers, and gateways before them, say when the same request may succeed a moment later.
PASSING = {
    "InternalError": "the server failed",
    "ServiceUnavailable": "the server is busy",
    "SlowDown": "the server is busy",
    "Throttling": "the server is busy",
    "ThrottlingException": "the server is busy",
    "RequestLimitExceeded": "the server is busy",
    "TooManyRequests": "the server is busy",
    "RequestTimeout": "the server did not get the whole request in time",
    "OperationAborted": "another request is under way",
    "BadDigest": "a damaged upload arrived",
    "IncompleteBody": "half an upload arrived",
    "XAmzContentSHA256Mismatch": "a damaged upload arrived",
    "PreconditionFailed": "the file was replaced meanwhile",
    "412": "the file was replaced meanwhile",
    "416": "the file was replaced meanwhile",
    "InvalidRange": "the file was replaced meanwhile",
    "429": "the server is busy",
    "500": "the server failed",
    "502": "a gateway failed",
    "503": "the server is busy",
    "504": "a gateway timed out",
}


class Damaged(OSError):
    """What arrived is not what was asked for; another attempt may do better."""


@dataclass(frozen=True)
class Fault:
    """What was said, without secrets; what to do; whether it may pass by itself.

    code: S3's for it, "" if no server answered. missing: the store has no such file.
    """

    said: str
    advice: str
    passes: bool
    code: str = ""
    missing: bool = False


def failures() -> tuple[type[BaseException], ...]:
    """What a store can raise; the S3 libraries' own only if they are installed."""
    # A server that always redirects is followed by the S3 library until the stack is full.
    found: list[type[BaseException]] = [OSError, RecursionError]
    for module, names in _LIBRARY_ERRORS.items():
        try:
            found += [getattr(importlib.import_module(module), name) for name in names]
        except ImportError:
            continue
    return tuple(found)


_LIBRARY_ERRORS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
}


def code_of(error: BaseException) -> str:
    """The S3 error code in an answer, else its status, else ""."""
    response: Any = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(response, dict):
        return ""
    code = str(response.get("Error", {}).get("Code", ""))
    status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    return code if code in ADVICE or code in PASSING or not status else _known(code, status)


def _known(code: str, status: str) -> str:
    """An unknown code of a 5xx answer counts as its status."""
    return status if status in PASSING and status.startswith("5") else code


def diagnose(error: BaseException) -> Fault:
    """What this failure means."""
    code = code_of(error)
    if code in PASSING:
        advice = DAMAGED if "damaged" in PASSING[code] else LATER
        return Fault(f"{PASSING[code]} ({code})", advice, passes=True, code=code)
    if code:
        said, missing = _words(error), code == "NoSuchKey"
        return Fault(f"{said} ({code})", _advice(code, said), False, code, missing)
    return _without_answer(error)


def _advice(code: str, said: str) -> str:
    """What to do; some servers refuse for the time as they refuse for everything else."""
    if code in ("AccessDenied", "403") and _ABOUT_TIME.search(said):
        return CLOCK
    return ADVICE.get(code, REACH)


_ABOUT_TIME = re.compile(r"(?i)server.?s time|request has expired|skew")


def _without_answer(error: BaseException) -> Fault:
    """The failure of a line, of this machine, or of what was asked."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, RecursionError):
        return Fault("the server redirects without end", BUCKET, passes=False)
    if isinstance(error, Damaged):
        return Fault(_words(error), DAMAGED, passes=True)
    if names & {"ReadTimeoutError", "ConnectTimeoutError", "TimeoutError"}:
        return Fault("no answer in time", f"{REACH}, or {LATER}", passes=True)
    if names & {"SSLError", "ProxyConnectionError"}:
        return Fault(_words(error), REACH, passes=False)
    if "EndpointConnectionError" in names:
        return Fault("no connection, or it broke", f"{REACH}, or {LATER}", passes=True)
    if names & _LINE_ERRORS:
        return Fault("the connection broke", f"{REACH}, or {LATER}", passes=True)
    if "ResponseParserError" in names:
        return Fault("the answer is not one of an S3 server", REACH, passes=True)
    if names & {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
        return Fault("no usable credentials", KEYS, passes=False)
    return _local(error)


_LINE_ERRORS = {
    *("HTTPClientError", "ConnectionError", "ClientPayloadError", "ClientConnectionError"),
    *("ResponseStreamingError", "IncompleteReadError", "ClientOSError"),
}


def _local(error: BaseException) -> Fault:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return Fault(_words(error), SPACE, passes=False)
    if isinstance(error, PermissionError):
        return Fault(_words(error), DENIED, passes=False)
    if isinstance(error, FileNotFoundError):
        return Fault(_words(error), NAME, passes=False, missing=True)
    return Fault(_words(error), LOCAL, passes=False)


def _words(error: BaseException) -> str:
    """What the error says, on one line, not too long, without secrets."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    words = " ".join("".join(c if c.isprintable() else " " for c in redacted(said)).split())
    return words if len(words) <= LONGEST_SAID else f"{words[:LONGEST_SAID]}..."
