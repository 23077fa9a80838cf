"""Files that are being written: under a name of their own, locked, and swept up after a kill.

The lock ends with its process, however that ends. Whoever can take it knows that nobody writes.
"""

import fcntl
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mdth.errors import StorageError

log = logging.getLogger("mdth")

PART = ".*.part*"  # our files that are being written
SCRATCH = ".part-"  # our folders that are being filled


@contextmanager
def part_of(target: Path) -> Iterator[Path]:
    """An empty locked file beside `target`, to be written and moved there; goes if it is not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    part = target.with_name(f".{target.name}.{writer}.part")
    lock = _locked_new(part)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)
        os.close(lock)


def _locked_new(part: Path) -> int:
    while True:
        lock = os.open(part, os.O_CREAT | os.O_RDWR, 0o644)
        _locked(lock, wait=True)
        # A sweeper may have been quicker between the two calls.
        if _is_at(part, lock):
            return lock
        os.close(lock)


def _locked(lock: int, *, wait: bool) -> bool:
    """Whether the lock is ours now; on a disk without locks everybody waits for nobody."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.info("no locks on this disk (%s): run nothing twice at once there", error.strerror)
        return wait
    return True


def _is_at(part: Path, lock: int) -> bool:
    try:
        return part.stat().st_ino == os.fstat(lock).st_ino
    except FileNotFoundError:
        return False


def sweep_parts(folder: Path) -> None:
    """Delete the unfinished files in `folder` and below that nobody writes any more."""
    for part in [path for path in folder.rglob(PART) if path.is_file()]:
        try:
            lock = os.open(part, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if _locked(lock, wait=False) and _is_at(part, lock):
                part.unlink()
                log.info("removed %s, which a stopped run left", part.name)
        finally:
            os.close(lock)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Nobody else on this machine is in here with the same folder; who comes second waits."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror or error}; check MDTH_HOME") from error
    try:
        if not _locked(lock, wait=False):
            log.info("%s: waiting for another run on this machine, if there is one", folder)
            _locked(lock, wait=True)
        yield
    finally:
        os.close(lock)


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """An empty folder on the same disk as `folder`; it goes at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder.parent) as name:
        yield Path(name)


def sweep(folders: Iterable[Path]) -> None:
    """Delete all unfinished files and folders below; only for who is alone with them."""
    for folder in folders:
        for left in [path for path in folder.rglob(SCRATCH + "*") if path.is_dir()]:
            shutil.rmtree(left, ignore_errors=True)
            log.info("removed %s, which a stopped run left", left.name)
        sweep_parts(folder)
