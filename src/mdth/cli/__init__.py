"""Arguments -> one call -> exit code: 0 done, 1 an MdthError, 2 usage, 130 Ctrl-C.

The only place that prints. Nothing heavy is imported before a command runs: --help is instant.
"""

import argparse
import errno
import logging
import signal
from collections.abc import Sequence
from types import FrameType

from mdth.cli.arguments import count, parser
from mdth.console import Progress, quiet_libraries, start_logging
from mdth.errors import MdthError

log = logging.getLogger("mdth")


def main(arguments: Sequence[str] | None = None) -> int:
    """`mdth ...`: run one command and return the exit code."""
    parsed = parser().parse_args(arguments)
    return _run(parsed)


def guarantee(arguments: Sequence[str] | None = None) -> int:
    """`run_guarantee.py ...`: the seed's four flags."""
    seed = argparse.ArgumentParser(prog="run_guarantee.py", description="Run a task of a model.")
    seed.add_argument("--model", required=True, choices=["TH"], help="Talking Head")
    seed.add_argument("--task", required=True, choices=["preprocess", "inference"])
    seed.add_argument("--twin-id", required=True, metavar="TWIN")
    seed.add_argument("--n-gpus", type=count, default=1, metavar="N")
    parsed = seed.parse_args(arguments)
    return _run(
        parser().parse_args([parsed.task, f"--n-gpus={parsed.n_gpus}", "-v", "--", parsed.twin_id])
    )


def _run(parsed: argparse.Namespace) -> int:
    """Run the command; every way it can end becomes an exit code and at most one line."""
    with quiet_libraries() as stderr:
        handler = start_logging(stderr, verbose=parsed.verbose)
        before = signal.signal(signal.SIGTERM, _stop)
        progress = Progress(stderr)
        code, last_words = 0, ""
        try:
            parsed.command(parsed, progress)
        except MdthError as error:
            code, last_words = 1, f"error: {' '.join(str(error).split())}"
        except OSError as error:
            code, last_words = 1, f"error: {_in_words(error)}"
        except KeyboardInterrupt:
            code, last_words = 130, "stopped"
        finally:
            progress.clear()
            signal.signal(signal.SIGTERM, before)
            log.removeHandler(handler)
        if last_words:
            print(f"mdth: {last_words}", file=stderr)
    return code


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _in_words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full; free some space and run again"
    if isinstance(error, BrokenPipeError):
        return "the reader of the raw frames closed the pipe"
    return f"{where}{error.strerror or error}"
