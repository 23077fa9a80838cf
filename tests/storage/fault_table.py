"""The faults that the store is measured with, and the table that docs/reliability.md shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from fault_proxy import (
    ALWAYS,
    CUT,
    ETAG,
    LOST_ANSWER,
    RESET,
    STALL,
    STALL_INSIDE,
    FaultProxy,
    Refusal,
)

from mdth.errors import StorageError
from mdth.storage.settings import S3Settings
from mdth.storage.store import Store

# As the real ones, but shorter: attempts and outcomes do not depend on how long a pause is.
QUICK = S3Settings(first_wait_s=0.01, part_bytes=5 << 20)
IMPATIENT = replace(QUICK, read_timeout_s=0.3, least_upload_bps=1e9)
# Where a request that is answered has to come through, in one of its five tries.
WAITING = replace(IMPATIENT, read_timeout_s=1.0)
STALL_S = 30.0
HEAD = """| fault | once | for good | requests | at most | the error ends with |
|---|---|---|---|---|---|"""

LIST, GET, PUT, PART, DELETE = "list", "get", "put", "part", "delete"
ALL = (LIST, GET, PUT, PART, DELETE)


@dataclass(frozen=True)
class Case:
    """A fault by the name it has in the document, and the operations it can happen to.

    stalls: each attempt ends with the read timeout.
    """

    name: str
    fault: str | Refusal
    operations: tuple[str, ...] = ALL
    stalls: bool = False

    def settings(self, operation: str, *, for_good: bool) -> S3Settings:
        """What to open the store with; parts beside the broken one are answered in any case."""
        if not self.stalls:
            return QUICK
        return IMPATIENT if for_good and operation != PART else WAITING


CASES = [
    Case("connection reset", RESET),
    Case("connection reset after the request was carried out", LOST_ANSWER),
    Case("500 InternalError", Refusal(500, "InternalError", "We encountered an internal error.")),
    Case("502 of a gateway, no body", Refusal(502)),
    Case("503 SlowDown", Refusal(503, "SlowDown", "Please reduce your request rate.")),
    Case("upload in parts lost, 404 NoSuchUpload", Refusal(404, "NoSuchUpload", "None."), (PART,)),
    Case("read cut half-way", CUT, (LIST, GET)),
    Case("30 s stall before the answer", STALL, (LIST, GET, PUT, DELETE), stalls=True),
    Case("no answer to a part of an upload", STALL, (PART,), stalls=True),
    Case("30 s stall in the middle of a read", STALL_INSIDE, (GET,), stalls=True),
    Case("wrong ETag (the content arrives damaged)", ETAG, (GET,)),
    Case("clock skew, 403 RequestTimeTooSkewed", Refusal(403, "RequestTimeTooSkewed", "Too late.")),
    Case("expired credentials, 400 ExpiredToken", Refusal(400, "ExpiredToken", "It has expired.")),
    Case("missing bucket, 404 NoSuchBucket", Refusal(404, "NoSuchBucket", "There is no bucket.")),
    Case("access denied, 403 AccessDenied", Refusal(403, "AccessDenied", "Access Denied")),
]


@dataclass(frozen=True)
class Outcome:
    """What happened: whether one fault was survived, and how a lasting one ended."""

    survives: bool
    requests: int
    error: str


# The requests of each operation, as the proxy sees them: method and a pattern of path and query.
REQUESTS = {
    LIST: ("GET", r"list-type=2"), GET: ("GET", r"/a\.bin(\?x-id=GetObject)?$"),
    PUT: ("PUT", r"/new\.bin"), PART: ("PUT", r"/large\.bin\?.*partNumber=2"),
    DELETE: ("DELETE", r"/a\.bin"),
}  # fmt: skip


def operations(store: Store, folder: Path) -> dict[str, Callable[[], object]]:
    """Each operation as a call; the store has `raw/t/a.bin` of 1 MB, the folder the sources."""
    return {
        LIST: lambda: store.files("raw/t"),
        GET: lambda: store.download("raw/t/a.bin", folder / "back.bin"),
        PUT: lambda: store.upload(folder / "a.bin", "raw/t/new.bin"),
        PART: lambda: store.upload(folder / "large.bin", "raw/t/large.bin"),
        DELETE: lambda: store.remove("raw/t/a.bin"),
    }


def put_sources(folder: Path) -> None:
    (folder / "a.bin").write_bytes(bytes(range(250)) * 4000)
    (folder / "large.bin").write_bytes(bytes(range(250)) * 44_000)


@contextmanager
def broken(proxy: FaultProxy, case: Case, operation: str, times: int) -> Iterator[None]:
    """The fault happens to so many requests of the operation, which are counted from zero."""
    method, pattern = REQUESTS[operation]
    proxy.seen.clear()
    proxy.break_next(case.fault, method=method, pattern=pattern, times=times)
    try:
        yield
    finally:
        proxy.rules.clear()


def measure(case: Case, operation: str, proxy: FaultProxy, folder: Path, url: str) -> Outcome:
    once, for_good = (
        operations(Store(url, settings=case.settings(operation, for_good=way)), folder)[operation]
        for way in (False, True)
    )
    Store(url, settings=QUICK).upload(folder / "a.bin", "raw/t/a.bin")
    survives = True
    with broken(proxy, case, operation, 1):
        try:
            once()
        except StorageError:
            survives = False
    with broken(proxy, case, operation, ALWAYS):
        try:
            for_good()
        except StorageError as error:
            return Outcome(survives, proxy.count(*REQUESTS[operation]), str(error))
    return Outcome(survives, proxy.count(*REQUESTS[operation]), "")


def row(case: Case, outcome: Outcome, settings: S3Settings) -> str:
    """The document's line; `settings` are the real ones."""
    once = "tried again, succeeds" if outcome.survives else "error"
    lasting = "error" if outcome.error else "succeeds"
    limit = "at once"
    if outcome.requests > 1:
        pauses = sum(settings.pause_s(failures) for failures in range(1, settings.attempts))
        of_parts = case.operations == (PART,)
        attempt_s = settings.part_timeout_s if of_parts else settings.read_timeout_s
        limit = f"{outcome.requests * attempt_s * case.stalls + pauses:.1f} s"
    advice = outcome.error.rpartition("; ")[2]
    return f"| {case.name} | {once} | {lasting} | {outcome.requests} | {limit} | {advice} |"
