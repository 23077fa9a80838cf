"""What is seen on stderr: log lines for people or programs, a progress bar, nothing else."""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

from mdth.log.redact import Redacting
from mdth.log.stages import current_twin

BAR_AFTER_S = 2.0
REDRAW_S = 0.2
BAR_WIDTH = 24
STDERR = 2
TEXT, JSON = "text", "json"
LOG_KINDS = (TEXT, JSON)


class Progress:
    """How far the work is, in a line that is drawn again and again, on a terminal only.

    Called with frames it is a bar with frames per second and time left, after 2 s of work.
    """

    def __init__(self, stream: TextIO, *, visible: bool = True) -> None:
        self._stream = stream
        self.visible = visible and stream.isatty()
        self._start: float | None = None
        self._drawn = 0.0
        self._done = 0

    def __call__(self, done: int, total: int | None) -> None:
        """`done` frames are made, of `total` if known; fewer than before start a new count."""
        now = time.monotonic()
        if self._start is None or done < self._done:
            self._start = now
        self._done = done
        if now - self._start >= BAR_AFTER_S and now - self._drawn >= REDRAW_S:
            self.draw(progress_line(done, total, now - self._start))

    def draw(self, line: str) -> None:
        """Show this line in the place of the last one."""
        if self.visible:
            self._drawn = time.monotonic()
            self._stream.write(f"\r{line}\x1b[K")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def progress_line(done: int, total: int | None, spent_s: float) -> str:
    """One line for `done` frames made in `spent_s`."""
    rate = done / spent_s
    if not total:
        return f"{done} frames, {rate:.0f} frames/s"
    share = min(1.0, done / total)
    bar = ("#" * round(share * BAR_WIDTH)).ljust(BAR_WIDTH, ".")
    left_s = max(0.0, (total - done) / rate) if rate else 0.0
    return f"[{bar}] {share:4.0%}  {rate:.0f} frames/s  {minutes(left_s)} left"


def minutes(seconds: float) -> str:
    """A time as 3:20."""
    return "{}:{:02d}".format(*divmod(round(seconds), 60))


class _Words(logging.Formatter):
    """`mdth: what happened`, on one line whatever is in the names of files."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; the last one of a command that failed says so."""
        failed = getattr(record, "exit", 0) == 1
        return f"mdth: {'error: ' * failed}{one_line(record.getMessage())}"


class _Objects(logging.Formatter):
    """A JSON object: time, level, twin and message; of a stage and an end their `_FIELDS`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {"time": moment, "level": record.levelname.lower()}
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if twin := getattr(record, "twin", None) or current_twin():
            line["twin"] = twin
        return json.dumps({**line, "message": record.getMessage()}, default=str)


_FIELDS = ("stage", "seconds", "bytes", "error", "exit")


def one_line(text: str) -> str:
    """The text without what would end a line or move a terminal's cursor."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """The text with escapes in the place of what is no visible character."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@contextlib.contextmanager
def logging_to(stream: TextIO, *, verbose: bool, kind: str = TEXT) -> Iterator[None]:
    """Send the package's log to `stream`: warnings always, the rest on request or as JSON.

    As JSON also Python's own warnings: nothing but objects may come out there.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Objects() if kind == JSON else _Words())
    # The store hides its secrets where they come up; whatever slips through ends here.
    handler.addFilter(Redacting())
    loggers = [logging.getLogger("mdth")]
    loggers[0].setLevel(logging.INFO if verbose or kind == JSON else logging.WARNING)
    if kind == JSON:
        logging.captureWarnings(True)
        loggers.append(logging.getLogger("py.warnings"))
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        logging.captureWarnings(False)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[TextIO]:
    """The real stderr for our own words, while what native libraries write there goes nowhere.

    MediaPipe's C++ logs to file descriptor 2 from its own threads whatever its settings say.
    """
    try:
        kept = os.dup(STDERR)
    except OSError:
        yield sys.stderr
        return
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    ours = os.fdopen(kept, "w", 1, encoding=encoding, errors="backslashreplace")
    before, sys.stderr = sys.stderr, ours
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
    try:
        yield ours
    finally:
        sys.stderr = before
        os.dup2(kept, STDERR)
        ours.close()
