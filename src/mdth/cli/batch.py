"""`mdth batch`: one task for many twins, a word on stderr as they end, a table at the end."""

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mdth.errors import InputError, MdthError
from mdth.log.console import TEXT, Progress, as_json, one_line
from mdth.options import TABLE, Options

if TYPE_CHECKING:
    from mdth.batch.job import Result

TASKS = {
    "preprocess": "mdth.twins.tasks:preprocess",
    "inference": "mdth.twins.tasks:inference",
}
# Into a file or a log, a line at most so often.
REPORT_EVERY_S = 10.0


def batch(parsed: argparse.Namespace, progress: Progress) -> None:
    """One task for many twins -> a table of results. Raises MdthError when any failed."""
    from mdth.batch import names, table
    from mdth.batch.job import Job
    from mdth.batch.run import run

    settings = _settings(parsed)
    job = Job(TASKS[parsed.task], settings, logging.getLogger("mdth").level)
    twins = names.read(parsed.twins)
    results: list[Result] = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(table.ResultsFile(parsed.results)) if parsed.results else None
        tally = Tally(len(twins), sys.stderr, text=parsed.log == TEXT)
        # Also what is finished when Ctrl-C ends the batch is told.
        stack.callback(lambda: print(table.text(results)) if results else None)
        stack.callback(tally.clear)
        stack.enter_context(_others_silent(verbose=parsed.verbose))
        running = run(
            twins,
            job,
            workers=parsed.workers,
            gpus=parsed.n_gpus,
            where=parsed.cluster,
            retries=parsed.retries,
            timeout_s=parsed.timeout or None,
        )
        for result in stack.enter_context(contextlib.closing(running)):
            results.append(result)
            if file:
                file.add(result)
            tally.add(result)
    failed = sum(result.state == "failed" for result in results)
    if failed:
        raise MdthError(
            f"{failed} of {len(twins)} twins failed; the table says why, and the same command "
            "again repeats only those"
        )


def _settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """The task's own options. Raises InputError for one of the other task's."""
    known = parsed.options_of[parsed.task]
    for name, entry in TABLE.items():
        if name not in known and getattr(parsed, name) != entry.default:
            raise InputError(f"--{name.replace('_', '-')} is no option of {parsed.task}")
    own = {name: getattr(parsed, name) for name in TABLE if name in known}
    Options.of(**own)
    return {**own, "force": parsed.force}


@contextlib.contextmanager
def _others_silent(*, verbose: bool) -> Iterator[None]:
    """Keep what libraries print out of the table: Ray tells of dead workers on stdout."""
    if verbose:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    else:
        with (
            Path(os.devnull).open("w", encoding="utf-8") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            yield


class Tally:
    """How many of `total` twins ended, how many failed, and about how long the rest takes.

    One line that is drawn again on a terminal, else a line now and then; each failure at once.
    text: lines for people, else JSON for programs.
    """

    def __init__(self, total: int, stream: TextIO, *, text: bool = True) -> None:
        self._total = total
        self._stream = stream
        self._text = text
        self._drawn = text and stream.isatty()
        self._begun = self._told = time.monotonic()
        self._ended = self._failed = self._worked = 0

    def add(self, result: "Result") -> None:
        """Count one more."""
        self._ended += 1
        self._worked += result.state != "skipped"
        if result.state == "failed":
            self._failed += 1
            self.clear()
            self._say("error", f"{result.twin} failed: {result.error}", twin=result.twin)
        now = time.monotonic()
        if self._drawn:
            self._stream.write(f"\r{self.line()}\x1b[K")
        elif now - self._told >= REPORT_EVERY_S or self._ended == self._total:
            self._told = now
            self._say("info", self.line())
        self._stream.flush()

    def line(self) -> str:
        """For example `12 of 50 twins, 1 failed, about 3:20 left`."""
        words = [f"{self._ended} of {self._total} twins", f"{self._failed} failed"]
        left = self._total - self._ended
        if self._worked and left:
            left_s = left * (time.monotonic() - self._begun) / self._worked
            minutes, seconds = divmod(round(left_s), 60)
            words.append(f"about {minutes}:{seconds:02d} left")
        return ", ".join(words)

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _say(self, level: str, words: str, *, twin: str | None = None) -> None:
        line = f"mdth: {one_line(words)}" if self._text else as_json(level, words, twin=twin)
        self._stream.write(f"{line}\n")
