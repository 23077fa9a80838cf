"""The limits of a job, kept by the operating system: memory, and a time that grows with its input.

A command does its job in a child process of its own, a batch in its workers: both set `limits`. The
process of a Python caller is the caller's own, and nothing here sets limits on it unasked.
"""

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mdth.errors import CheckpointError, LimitExceeded, MdthError, in_words

MEMORY_GB, TIME_S = "MDTH_MAX_MEMORY", "MDTH_MAX_TIME"
DEFAULTS = {MEMORY_GB: 3.0, TIME_S: 300.0}
# Of the time, for each second of sound and of a clip that is decoded.
SHARE = 0.2
FORKS = hasattr(os, "fork") and hasattr(signal, "sigwaitinfo")  # Linux; not macOS, not Windows
_PARENT_ENDED = 1  # Linux's PR_SET_PDEATHSIG
_CHILD = """
import sys; from pathlib import Path; sys.path[:] = sys.argv[3:]
from mdth import guard; sys.exit(guard.read_here(sys.argv[1], Path(sys.argv[2])))
"""

_lock = threading.Lock()
_grows_by: float | None = None  # seconds for each of sound and clip, while this process has limits
_memory_times = 1  # what this process has loaded may need more
_held: int | None = None  # bytes of private data before the first limits


def setting(name: str) -> float:
    """The memory in GB or the time in s that a job may have; 0 for no limit."""
    try:
        return max(0.0, float(os.environ.get(name) or DEFAULTS[name]))
    except ValueError as error:
        raise MdthError(f"{name}={os.environ[name]}: give a number, 0 for no limit") from error


@contextmanager
def limits() -> Iterator[None]:
    """Hold this process to `MDTH_MAX_MEMORY` GB of private data and `MDTH_MAX_TIME` s of its CPUs.

    What it had before the first time does not count. For a process that does one job at a time,
    and the earlier the better: libraries loaded later hold less. On Windows nothing is limited.
    What asks for more memory is told that there is none, which becomes LimitExceeded. SIGVTALRM
    ends who takes longer (MediaPipe switches SIGPROF off), as far as `grow` adds nothing; waiting
    takes none of it.
    """
    global _grows_by, _held
    one_blas_thread()
    try:
        import resource
    except ImportError:
        yield
        return
    _held = _private_data() if _held is None else _held
    time_s, before = setting(TIME_S), resource.getrlimit(resource.RLIMIT_DATA)
    _grows_by = time_s * SHARE
    allow_memory(_memory_times)
    signal.setitimer(signal.ITIMER_VIRTUAL, time_s)
    try:
        yield
    except Exception as error:
        if isinstance(in_words(error), LimitExceeded):
            raise LimitExceeded(f"needs more memory than {_memory()}") from error
        raise
    finally:
        _grows_by = None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, before)


def one_blas_thread() -> None:
    """For libraries not loaded yet, unless the caller's environment says otherwise.

    numpy and OpenCV have an OpenBLAS each, which together hold 180 MB for every core they see:
    2.8 GB on 16 (VmData, after the imports alone). Nothing here multiplies matrices that large.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _private_data() -> int:
    """What the limit counts, bytes, as far as the system tells: on Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[5])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def grow(media_s: float) -> None:
    """So much more of a sound or clip has come in: the job gets more time, if that is limited."""
    if _grows_by:
        with _lock:
            left_s = signal.getitimer(signal.ITIMER_VIRTUAL)[0]
            signal.setitimer(signal.ITIMER_VIRTUAL, left_s + media_s * _grows_by)


def allow_memory(times: int) -> None:
    """From here on jobs of this process may have so many times the memory, 0 for any."""
    global _memory_times
    _memory_times = times
    if _grows_by is not None and (memory := setting(MEMORY_GB)):
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        more = round(times * memory * 1e9) + (_held or 0) * (times > 0)
        bounds = [bound for bound in (more, hard) if bound > 0]
        resource.setrlimit(resource.RLIMIT_DATA, (min(bounds, default=hard), hard))


def why_ended(number: int) -> str:
    """What it means that a process under `limits` ended by this signal."""
    if number == signal.SIGVTALRM:
        time_s = setting(TIME_S)
        return (
            f"stopped: it took more than {time_s:g} s of CPU time, and {time_s * SHARE:g} s for "
            f"each second of sound and clip; use less, or set {TIME_S} (seconds, 0 for no limit)"
        )
    name = signal.Signals(number).name
    if number in (signal.SIGKILL, signal.SIGTERM):
        return f"was ended from outside ({name}); often by the system, out of memory"
    return f"a library crashed ({name}), as some do that get no more memory than {_memory()}"


def _memory() -> str:
    memory = setting(MEMORY_GB) * (_memory_times or 1)
    return f"the {memory:g} GB it may have; use smaller files, or set {MEMORY_GB} (0 for no limit)"


def watched(job: Callable[[], int], died: Callable[[int, str], int]) -> int:
    """The exit code of a job that a child process does, which this one outlives to tell its end.

    died: called with the child's process id and the reason where a signal ended it. Signals for
    this process go on to the child; without this process it ends too.
    """
    if not FORKS:
        return job()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signals = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _end_with_parent()
        return job()
    while True:
        came = signal.sigwaitinfo(signals)
        if came.si_signo != signal.SIGCHLD:
            # What a terminal sends has reached the child already: it is sent to the whole group.
            if came.si_code <= 0:
                os.kill(child, came.si_signo)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else died(child, why_ended(-code))


def _end_with_parent() -> None:
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_ENDED, signal.SIGTERM)


def read_apart(function: str, path: Path) -> dict[str, Any]:
    """The arrays that `module:function` finds in a file, read by a process that has `limits`.

    That is this one, or else a child without this one's environment. Raises CheckpointError.
    """
    if _grows_by is not None:
        return _function(function)(path)
    import numpy as np

    kept = {
        name: os.environ[name] for name in (*DEFAULTS, "PATH", "SYSTEMROOT") if name in os.environ
    }
    with tempfile.TemporaryFile() as found:
        command = [sys.executable, "-c", _CHILD, function, str(path.absolute()), *sys.path]
        done = subprocess.run(
            command, env=kept, stdin=subprocess.DEVNULL, stdout=found, stderr=subprocess.PIPE
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            why = why_ended(-done.returncode) if done.returncode < 0 else (said or ["failed"])[-1]
            raise CheckpointError(why if str(path) in why else f"{path}: {why}")
        found.seek(0)
        with np.load(found, allow_pickle=False) as arrays:
            return {name[1:]: array for name, array in arrays.items()}


def read_here(function: str, path: Path) -> int:
    """The child of `read_apart`: the arrays go to stdout, an error to stderr; the exit code."""
    one_blas_thread()
    import numpy as np

    try:
        with limits():
            found = {f"_{name}": array for name, array in _function(function)(path).items()}
            np.savez(sys.stdout.buffer, allow_pickle=False, **found)
    except MdthError as error:
        sys.stderr.write(str(error))
        return 1
    return 0


def _function(name: str) -> Callable[[Path], dict[str, Any]]:
    module, _, function = name.partition(":")
    found: Callable[[Path], dict[str, Any]] = getattr(importlib.import_module(module), function)
    return found
