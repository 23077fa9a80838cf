"""`mdth batch`: one task for many twins, a word on stderr as they end, a table at the end."""

import argparse
import contextlib
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdth.errors import InputError, MdthError
from mdth.log.console import Progress, minutes
from mdth.options import GROUPS, TABLE, Options

if TYPE_CHECKING:
    from mdth.batch.job import Result

# How far it is is said with and without -v.
log = logging.getLogger("mdth.batch")
log.setLevel(logging.INFO)

# Each with the groups of the table that it takes.
OPTIONS_OF = {"preprocess": ("portrait", "engine"), "inference": ("motion", "video", "engine")}
TASKS = {name: f"mdth.twins.tasks:{name}" for name in OPTIONS_OF}
# Into a file or a log, a line at most so often.
REPORT_EVERY_S = 10.0


def batch(parsed: argparse.Namespace, progress: Progress) -> tuple[()]:
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
        tally = Tally(len(twins), progress)
        # Also what is finished when Ctrl-C ends the batch is told.
        stack.callback(lambda: print(table.text(results)) if results else None)
        stack.callback(progress.clear)
        # Libraries print into what would be the table: Ray tells of dead workers on stdout.
        nowhere = stack.enter_context(Path(os.devnull).open("w"))
        stack.enter_context(contextlib.redirect_stdout(sys.stderr if parsed.verbose else nowhere))
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
    return ()


def _settings(parsed: argparse.Namespace) -> dict[str, Any]:
    """The task's own options. Raises InputError for one of the other task's."""
    known = {option.name for group in OPTIONS_OF[parsed.task] for option in GROUPS[group][1]}
    for name, entry in TABLE.items():
        if name not in known and getattr(parsed, name, entry.default) != entry.default:
            raise InputError(f"--{name.replace('_', '-')} is no option of {parsed.task}")
    own = {name: getattr(parsed, name) for name in TABLE if name in known}
    Options.of(**own)
    return {**own, "force": parsed.force}


class Tally:
    """How many of `total` twins ended, how many failed, and about how long the rest takes.

    In the progress's line on a terminal, else in the log now and then; each failure at once.
    """

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._begun = self._told = time.monotonic()
        self._ended = self._failed = self._worked = 0

    def add(self, result: "Result") -> None:
        """Count one more."""
        self._ended += 1
        self._worked += result.state != "skipped"
        if result.state == "failed":
            self._failed += 1
            self._progress.clear()
            log.error("%s failed: %s", result.twin, result.error, extra={"twin": result.twin})
        self._progress.draw(self.line())
        now = time.monotonic()
        if self._progress.visible:
            return
        if now - self._told >= REPORT_EVERY_S or self._ended == self._total:
            self._told = now
            log.info("%s", self.line())

    def line(self) -> str:
        """For example `12 of 50 twins, 1 failed, about 3:20 left`."""
        words = [f"{self._ended} of {self._total} twins", f"{self._failed} failed"]
        left = self._total - self._ended
        if self._worked and left:
            left_s = left * (time.monotonic() - self._begun) / self._worked
            words.append(f"about {minutes(left_s)} left")
        return ", ".join(words)
