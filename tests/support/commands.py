"""For tests of the command line: the fixture `mdth`'s type, a terminal, Ctrl-C."""

import io
import signal
from collections.abc import Callable
from typing import Any

Command = Callable[..., Any]  # arguments -> code, out, err


class Terminal(io.StringIO):
    """A stream that a user looks at."""

    def isatty(self) -> bool:
        """So it says."""
        return True


def hear_interrupts() -> None:
    """What a shell starts in the background ignores Ctrl-C (nohup: a hangup), and so would all."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def fails(ended: Any, *words: str) -> None:
    """Nothing, where a command ended with 1 and said these words."""
    assert ended.code == 1
    assert not [word for word in words if word not in ended.err], ended.err
