"""Files that appear complete or not at all, and what killed writers left of them.

A file is written under another name beside its place, then renamed. A lock beside it is held
meanwhile, which ends with its process, however that ends: whoever can take it knows that nobody
writes any more.
"""

import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mdth.errors import StorageError

log = logging.getLogger("mdth")

PART = ".*.part*"  # files that are being written, and their locks
SCRATCH = ".part-"  # folders that are being filled
LOCK = ".lock"
KEPT = 80  # bytes of a file's name in that of its part: the whole may have 255


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A file to write beside `target`, which it replaces at the end; it goes if anything fails.

    Its name starts and ends like that of `target`, and is never too long. Raises OSError.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    stem, suffix = target.stem.encode()[:KEPT].decode(errors="ignore"), target.suffix[-KEPT // 4 :]
    part = target.with_name(f".{stem}.{writer}.part{suffix}")
    try:
        part.touch()  # where no file can be, its lock would be waited for without an end
        with _held(_lock_of(part), wait=True):
            part.touch()
            yield part
            synced(part).replace(target)
    except OSError as error:
        if error.errno and error.filename in (None, str(part)):
            error.filename = str(target)
        raise
    finally:
        part.unlink(missing_ok=True)


def synced(path: Path) -> Path:
    """The file itself, once a power cut cannot take its content."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    return path


@contextmanager
def alone(folder: Path, variable: str = "MDTH_HOME") -> Iterator[None]:
    """Nobody else on this machine is in here with the same folder; who comes second waits.

    variable: of the environment, which says where the folder is. Raises StorageError.
    """
    lock = folder.with_name(f".{folder.name}{LOCK}")
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not held.enter_context(_held(lock, wait=False)):
                log.warning("%s: waiting for another run on this machine, if there is one", folder)
                held.enter_context(_held(lock, wait=True))
        except OSError as error:
            what = error.strerror or error
            raise StorageError(
                f"{folder}: {what}; set {variable} to a folder that can be written"
            ) from error
        yield


@contextmanager
def scratch_beside(folder: Path) -> Iterator[Path]:
    """An empty folder on the same disk as `folder`; it goes at the end."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{os.getpid()}-", dir=folder.parent) as name:
        yield Path(name)


def sweep(folders: Iterable[Path]) -> None:
    """Delete all unfinished files and folders below; only for who is alone with them."""
    for folder in folders:
        for left in [path for path in folder.rglob(SCRATCH + "*") if path.is_dir()]:
            shutil.rmtree(left, ignore_errors=True)
            log.info("removed %s, which a stopped run left", left.name)
        sweep_parts(folder)


def sweep_parts(folder: Path) -> None:
    """Delete the unfinished files in `folder` and below that nobody writes any more."""
    left = [path for path in folder.rglob(PART) if path.is_file()]
    for part in {path.with_name(path.name.removesuffix(LOCK)) for path in left}:
        with _held(_lock_of(part), wait=False) as dead:
            if dead:
                part.unlink(missing_ok=True)
                log.info("removed %s, which a stopped run left", part.name)


def drop_parts(folder: Path, process: int) -> None:
    """Delete the unfinished files and folders that a process, which has ended, left in `folder`."""
    for part in folder.glob(f".*.{process}-*.part*"):
        part.unlink(missing_ok=True)
    for scratch in folder.glob(f"{SCRATCH}{process}-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _lock_of(part: Path) -> Path:
    return part.with_name(part.name + LOCK)


@contextmanager
def _held(path: Path, *, wait: bool) -> Iterator[bool]:
    """Whether the lock is ours; its file is gone at the end.

    On a disk without locks who waits has it and who does not wait has it not.
    """
    lock, mine = FileLock(path), True
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        mine = False
    except OSError as error:
        log.info("no locks on this disk (%s): run nothing twice at once there", error.strerror)
        mine = wait
    try:
        yield mine
    finally:
        if mine:
            with suppress(OSError):  # Windows deletes no open file; the next holder deletes it
                path.unlink()
            lock.release()
