"""The inside of a local worker process: one twin after the other, models loaded once."""

import json
import logging
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, NoReturn

from mdth.batch.job import Job, attempt
from mdth.log.stages import current_twin

LONGEST_LINE = 10_000
# What every log record has; anything else was given as `extra`.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def run(connection: Connection, job: Job, environment: dict[str, str], cores: set[int]) -> None:
    """Do the job for each twin that comes, until the connection closes.

    connection: twin ids come in; JSON goes out, {"log": ...} and for each twin {"outcome": ...}.
    cores: the only ones to run on; libraries size their thread pools by them.
    """
    # A group of its own: it can be killed with all that it starts, and Ctrl-C does not reach it.
    # It is the parent that decides, and it says SIGTERM.
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    os.environ.update(environment)
    if sys.platform == "linux" and cores:
        os.sched_setaffinity(0, cores)
    teller = _Teller(connection)
    logger = logging.getLogger("mdth")
    logger.addHandler(_Forward(teller))
    logger.setLevel(job.log_level)
    try:
        while True:
            twin = connection.recv_bytes().decode()
            teller.tell({"outcome": attempt(job, twin).as_json()})
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


class _Teller:
    """Sends whole messages from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message."""
        content = json.dumps(message, default=str).encode()
        with self._lock:
            self._connection.send_bytes(content)


class _Forward(logging.Handler):
    """Log records go to the parent, which knows where its user reads them."""

    def __init__(self, teller: _Teller) -> None:
        super().__init__()
        self._teller = teller

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record with its `extra`s."""
        extra = {name: value for name, value in vars(record).items() if name not in _USUAL}
        said, twin = record.getMessage()[:LONGEST_LINE], current_twin()
        kept = {
            "name": record.name,
            "levelno": record.levelno,
            "levelname": record.levelname,
            # Lines of several workers stand side by side.
            "msg": f"{twin}: {said}" if twin and twin not in said else said,
            "created": record.created,
            "twin": twin,
        }
        try:
            self._teller.tell({"log": {**extra, **kept}})
        except OSError:
            return
