"""The inside of the process that runs cases of one target, with limited memory."""

import importlib
import logging
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from mdth import guard
from mdth.errors import MdthError


class Ended(NamedTuple):
    """outcome: "result", "refused" or "finding", which says why. peak_mb: of the process so far."""

    outcome: str
    why: str
    seconds: float
    peak_mb: int


def enter(targets: str, target: str, folder: str) -> None:
    """Make this process a worker for a target of a module; files go into a folder.

    What a killed one leaves there goes with the folder.
    """
    global _target, _printed
    os.environ |= {guard.MEMORY_GB: "2"}
    logging.getLogger("mdth").setLevel(logging.CRITICAL)
    _target = importlib.import_module(targets).TARGETS[target]
    _printed = tempfile.TemporaryFile()  # whatever libraries print, on either stream
    tempfile.tempdir = folder
    for stream in (1, 2):
        os.dup2(_printed.fileno(), stream)
    run_case(b"")  # what is imported for the first time here is no case's memory


def generated(seed: int, count: int) -> list[bytes]:
    """The cases of a seed; the same each time."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    made: list[bytes] = []

    @seeded(seed)
    @settings(
        max_examples=count, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(_target.cases())
    def collect(content: bytes) -> None:
        made.append(content)

    collect()
    return made


def run_case(content: bytes) -> Ended:
    start = time.monotonic()
    outcome, why = _outcome(content)
    return Ended(outcome, why, round(time.monotonic() - start, 3), _peak_mb())


def _outcome(content: bytes) -> tuple[str, str]:
    _printed.seek(0)
    _printed.truncate()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with guard.limits():
                _target.run(content, Path(folder))
            found = "result"
        except MdthError:
            found = "refused"
        except Exception:  # noqa: BLE001  any other one is what is looked for
            return "finding", traceback.format_exc(limit=-6)
    sys.stderr.flush()
    _printed.seek(0)
    if b"Traceback" in (printed := _printed.read()):
        return "finding", f"prints {printed[-1000:].decode('utf-8', 'replace')}"
    return found, ""


def _peak_mb() -> int:
    """The process's own high water mark; `getrusage` would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024
