"""What is seen on stderr: log lines for people or programs, a progress bar, nothing else."""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from mdth.log.redact import Redacting
from mdth.log.stages import current_twin

log = logging.getLogger("mdth")

BAR_AFTER_S = 2.0
REDRAW_S = 0.2
TELL_S = 5.0
BAR_WIDTH, LEAST_BAR = 24, 5
STDERR = 2
TEXT, JSON = "text", "json"
LOG_KINDS = (TEXT, JSON)


class Progress:
    """How far the work is, after 2 s of it: a line drawn again and again on a terminal.

    As JSON (`kind`) log lines in its place, now and then; else nothing.
    """

    def __init__(self, stream: TextIO, *, kind: str = TEXT) -> None:
        self._stream, self._kind = stream, kind
        self.visible = kind == TEXT and stream.isatty()
        self._start: float | None = None
        self._told = 0.0
        self._drawn = False
        self._done = 0

    def __call__(self, done: int, total: int | None, unit: str = "frames") -> None:
        """`done` frames are made, of `total` if known; fewer than before start a new count."""
        now = time.monotonic()
        if self._start is None or done < self._done:
            self._start = now
        self._done = done
        every_s = TELL_S if self._kind == JSON else REDRAW_S
        if now - self._start < BAR_AFTER_S or now - self._told < every_s:
            return
        self._told = now
        if self._kind == JSON:
            log.info("%d of %s %s", done, total or "?", unit, extra={"done": done, "total": total})
        elif self.visible:
            spent_s = now - self._start
            self.draw(progress_line(done, total, spent_s, unit=unit, width=self._width()))

    def draw(self, line: str) -> None:
        """Show this line in the place of the last one."""
        if self.visible:
            self._drawn = True
            self._stream.write(f"\r{line[: self._width()]}\x1b[K")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._drawn = False
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _width(self) -> int:
        """Columns that can be written to without the cursor going to the next line."""
        try:
            return (os.get_terminal_size(self._stream.fileno()).columns or 80) - 1
        except (OSError, ValueError):
            return 79


_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


def watching() -> Progress:
    """Who shows how far the work in this context is: the command line's, else one on stderr."""
    return _progress.get() or Progress(sys.stderr)


def progress_line(
    done: int, total: int | None, spent_s: float, *, unit: str = "frames", width: int = 79
) -> str:
    """One line for `done` frames or bytes made in `spent_s`, at most `width` characters if it can.

    What does not fit is left out: first the bar, then the rate.
    """
    rate = done / spent_s
    said = f"{rate / 1e6:.1f} MB/s" if unit == "bytes" else f"{rate:.0f} {unit}/s"
    if not total:
        return f"{done} {unit}, {said}"
    share = min(1.0, done / total)
    left = f"{minutes(max(0.0, (total - done) / rate) if rate else 0.0)} left"
    room = min(BAR_WIDTH, width - len(f"[] 100%  {said}  {left}"))
    if room < LEAST_BAR:
        line = f"{share:.0%}  {said}  {left}"
        return line if len(line) <= width else f"{share:.0%}  {left}"
    bar = ("#" * round(share * room)).ljust(room, ".")
    return f"[{bar}] {share:4.0%}  {said}  {left}"


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


_FIELDS = ("stage", "seconds", "bytes", "done", "total", "error", "exit")


def one_line(text: str) -> str:
    """The text without what would end a line or move a terminal's cursor."""
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """The text with escapes in the place of what is no visible character."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@contextlib.contextmanager
def logging_to(stream: TextIO, *, verbose: bool, kind: str = TEXT) -> Iterator[Progress]:
    """Send the package's log to `stream`: warnings always, the rest on request or as JSON.

    As JSON also Python's own warnings: nothing but objects may come out there. Gives the bar that
    belongs to it.
    """
    progress = Progress(stream, kind=kind)
    handler = logging.StreamHandler(stream)

    def without_bar(_: logging.LogRecord) -> bool:
        progress.clear()
        return True

    handler.addFilter(without_bar)
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
    before = _progress.set(progress)
    try:
        yield progress
    finally:
        progress.clear()
        _progress.reset(before)
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
    except OSError:  # closed: nothing else that is opened may take its place
        kept = os.open(os.devnull, os.O_WRONLY)
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    ours = os.fdopen(kept, "w", 1, encoding=encoding, errors="backslashreplace")
    before, sys.stderr = sys.stderr, ours
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), STDERR)
    try:
        yield ours
    finally:
        sys.stderr = before
        os.dup2(kept, STDERR)
        ours.close()
