"""Errors as RFC 9457 problem details, in the words of MdthError and without the server's paths."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from mdth import errors
from mdth.errors import InputError, MdthError, in_words
from mdth.log.redact import shortened

log = logging.getLogger("mdth")

LONGEST = 1000
_FOLDERS = re.compile(r"(?<![\w:/.])(?:/[^\s/:;,()'\"]+)+/(?=[^\s/])")


def in_user_words(text: str, job: dict[str, Any] | None = None, *, data: Path | None = None) -> str:
    """The words without folders of this machine, files by the names that their owner knows.

    data: a folder that may have spaces in its name.
    """
    known = text.replace(f"{data}/", "/") if data else text
    words = shortened(_FOLDERS.sub("", known[: 4 * LONGEST]), LONGEST)
    names = (job or {}).get("request", {}).get("names", {})
    for name, own in names.items():  # which the files have here
        words = words.replace(f"{name}: ", f"{own}: ")
    return words


class Refused(HTTPException):
    """An answer that is a problem. kind: the name of an MdthError, "" for HTTP's own."""

    def __init__(
        self, status: int, detail: str, *, kind: str = "", field: str | None = None, **headers: str
    ) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(status, detail, named)
        self.kind, self.field = kind, field


_STATUS = {
    **{"NotFound": 404, "Conflict": 409, "TooMuch": 429, "LimitExceeded": 422},
    **{"MissingDependency": 501, "DeviceError": 503, "StorageError": 507},
}


def status_of(kind: str) -> int:
    """The HTTP status that an error of this name stands for."""
    known = getattr(errors, kind, MdthError)
    return _STATUS.get(kind) or (422 if issubclass(known, InputError) else 500)


@contextmanager
def about_field(field: str) -> Iterator[None]:
    """What is wrong inside is wrong with this field of the request."""
    try:
        yield
    except MdthError as error:
        kind = type(error).__name__
        raise Refused(status_of(kind), str(error), kind=kind, field=field) from error


def problem(
    status: int, detail: str, *, kind: str = "", field: str | None = None
) -> dict[str, Any]:
    """A problem's members."""
    where = f"urn:mdth:{kind}" if kind else "about:blank"
    found = {"type": where, "title": kind or HTTPStatus(status).phrase, "status": status}
    return {**found, "detail": detail, **({"field": field} if field else {})}


def of_error(error: Exception, data: Path) -> dict[str, Any]:
    """The problem that an error of a live call is; data: whose name nobody is told."""
    if isinstance(error, HTTPException):
        return problem(error.status_code, error.detail, kind=getattr(error, "kind", ""))
    if isinstance(error, TimeoutError):
        return problem(408, "nothing came, or nothing was taken, for too long")
    words = in_words(error)
    kind, told = type(words).__name__, in_user_words(str(words), data=data)
    log.info("live: %s", words)
    return problem(status_of(kind), told, kind=kind)


def answer(error: HTTPException) -> JSONResponse:
    """What is answered in its place."""
    kind, field = getattr(error, "kind", ""), getattr(error, "field", None)
    about = problem(error.status_code, in_user_words(error.detail), kind=kind, field=field)
    return JSONResponse(about, error.status_code, error.headers, "application/problem+json")
