"""Text without secrets: what may go into logs, manifests and error texts."""

import logging
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST = 6  # what is shorter is no secret, and would hide parts of ordinary words

_NAMES = r"secret|passw|token|signature|credential|authorization|api_?key|access_?key|key_?id|sig\b"
_PATTERNS = (
    # user:password@ of a URL, also with a '/' in the password, as long as it is no host:port/
    (re.compile(r"://[^\s/]*@"), "://"),
    (re.compile(r"://[^\s/?#:@]+:(?!\d{1,5}(?:/|$))[^\s@]*@"), "://"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), HIDDEN),
    (re.compile(r"(?i)(?<=[?&]x-amz-)([\w-]+)=[^\s&;,\"'<>]*"), rf"\1={HIDDEN}"),
    (re.compile(rf"(?i)<([\w-]*(?:{_NAMES}|StringToSign|CanonicalRequest)\w*)>[^<]*"), r"<\1>***"),
    (
        re.compile(
            rf"(?i)((?:{_NAMES})[\w-]*[\"']?\s*[:=]\s*(?:b(?=[\"']))?[\"']?)"
            r"(?:(?:bearer|basic|aws4-hmac-sha256)\s+)?[^\s&;,\"'<>]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(credential|signature|bearer|basic)([= ])[\w/+%.=-]{12,}"), r"\1\2***"),
)

_secrets: set[str] = set()


def hide(values: Iterable[str | None]) -> None:
    """Never show these values again, as they are or percent-encoded."""
    for value in values:
        if value and len(value) >= SHORTEST:
            _secrets.update((value, quote(value, safe=""), quote_plus(value)))


def redacted(text: str) -> str:
    """The text without secrets that are known or look like one."""
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def shortened(text: str, longest: int) -> str:
    """The text on one line, not longer, without secrets."""
    shown = "".join(letter if letter.isprintable() else " " for letter in redacted(text))
    words = " ".join(shown.split())
    return words if len(words) <= longest else f"{words[:longest]} ..."


class Redacting(logging.Filter):
    """Lets every record through, without secrets in its words or its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True; the record is changed in place."""
        try:
            said = record.getMessage()
        except (TypeError, ValueError, KeyError):
            said = str(record.msg)
        record.msg, record.args = redacted(said), None
        if record.exc_info:
            traceback = logging.Formatter().formatException(record.exc_info)
            record.exc_text, record.exc_info = redacted(traceback), None
        return True


_redacting = Redacting()


def guard_logs(*prefixes: str) -> None:
    """Redact what the loggers of these names, and all that exist below them, say."""
    for prefix in prefixes:
        logging.getLogger(prefix).addFilter(_redacting)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(tuple(f"{prefix}." for prefix in prefixes)):
            logging.getLogger(name).addFilter(_redacting)
