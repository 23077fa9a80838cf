"""Arguments -> one call -> exit code: 0 done, 1 an MdthError, 2 usage, 130 and so on a signal.

The only place that prints. Nothing heavy is imported before a command runs: --help is instant.
"""

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from mdth import guard
from mdth.cli import commands, live
from mdth.cli.arguments import count, parser
from mdth.errors import MdthError, check_address_space, in_words
from mdth.log.console import JSON, logging_to, one_line, quiet_libraries

log = logging.getLogger("mdth")

# PyAV tells of what is raised in a file that it reads, and reads on.
READERS = ("BoundedFile.read", "_Unnamed.seek")
LATER_S = 0.02
STOPS = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
# What reads files from outside; the workers of a batch have limits of their own.
JOBS = (
    *(commands.talk, commands.dub, commands.prepare, commands.mesh, commands.task),
    *(commands.compare, live.live),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """`mdth ...`: run one command and return the exit code.

    arguments: those of this process where none are given, which is ours then: jobs have limits.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    run = _watched if arguments is None else _run
    if not _wants_json(given):
        return run(parser().parse_args(given))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser().parse_args(given)
    except SystemExit as stop:
        if stop.code:
            last = said.getvalue().strip().splitlines()[-1]
            with logging_to(sys.stderr, verbose=False, kind=JSON):
                log.error(last, extra={"error": "Usage", "exit": stop.code})
        raise
    return run(parsed)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether `--log json` is among the arguments, which may be wrong otherwise."""
    following = zip(arguments, [*arguments, ""][1:], strict=True)
    return any(pair == ("--log", JSON) or pair[0] == f"--log={JSON}" for pair in following)


def guarantee(arguments: Sequence[str] | None = None) -> int:
    """`run_guarantee.py ...`: the seed's four flags."""
    seed = argparse.ArgumentParser(prog="run_guarantee.py", description="Run a task of a model.")
    seed.add_argument("--model", required=True, choices=["TH"], help="Talking Head")
    seed.add_argument("--task", required=True, choices=["preprocess", "inference"])
    seed.add_argument("--twin-id", required=True, metavar="TWIN")
    seed.add_argument("--n-gpus", type=count, default=1, metavar="N")
    parsed = seed.parse_args(arguments)
    given = [parsed.task, f"--n-gpus={parsed.n_gpus}", "-v", "--", parsed.twin_id]
    return (_watched if arguments is None else _run)(parser().parse_args(given))


def _watched(parsed: argparse.Namespace) -> int:
    """Run the command; a job under the limits, in a process of its own."""
    if parsed.command not in JOBS:
        return _run(parsed)

    def died(child: int, why: str) -> int:
        with logging_to(sys.stderr, verbose=False, kind=parsed.log):
            with contextlib.suppress(MdthError, OSError):
                commands.tidy(parsed, child)
            log.error("%s", why, extra={"error": "LimitExceeded", "exit": 1})
        return 1

    return guard.watched(lambda: _run(parsed, limited=guard.FORKS), died)


def _run(parsed: argparse.Namespace, *, limited: bool = False) -> int:
    """Run the command; every way it can end becomes an exit code and at most one line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A path may be no text, or none in the system's; what reads stdout gets it as it is.
        encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
        sys.stdout.reconfigure(encoding=encoding, errors=errors)
    # This process is ours: painters fill its cores, and OpenCV's own threads would only stand in
    # their way and hold 140 MB more at 1280 px.
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
    guard.one_blas_thread()
    # Threads of torch that wait take a busy machine's cores from those that work: the seed's
    # preparing takes 79 s of CPU instead of 55.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with (
        quiet_libraries() as stderr,
        logging_to(stderr, verbose=parsed.verbose, kind=parsed.log) as progress,
    ):
        # What nohup ignores stays ignored.
        before = {
            number: signal.signal(number, _stop)
            for number in STOPS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        try:
            check_address_space()
            with guard.limits() if limited else contextlib.nullcontext():
                for line in parsed.command(parsed, progress):
                    progress.clear()
                    print(line, flush=True)
        except (KeyboardInterrupt, _Terminated) as stop:
            code = stop.args[0] if isinstance(stop, _Terminated) else 130
            log.error("stopped", extra={"error": "Stopped", "exit": code})
            return code
        except Exception as error:  # noqa: BLE001 (here all of them end in words)
            words = one_line(str(in_words(error)))
            log.error("%s", words, extra={"error": type(error).__name__, "exit": 1})
            return 1
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    return 0


class _Terminated(BaseException):
    """SIGTERM or SIGHUP came: what is open is closed, nothing half-made stays."""


def _stop(number: int, frame: FrameType | None) -> None:
    """End the command, a moment later where it is reading for a library, which would go on."""
    if frame and frame.f_code.co_qualname in READERS and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda _, later: _stop(number, later))
        signal.setitimer(signal.ITIMER_REAL, LATER_S)
        return
    for again in STOPS:  # one that follows, as where a group is ended, breaks no tidying off
        signal.signal(again, signal.SIG_IGN)
    raise _Terminated(128 + number)
