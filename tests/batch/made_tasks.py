"""Cheap tasks for workers: each notes in a folder what it did, so that repeats can be seen."""

import json
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mdth.batch.job import Job, Result
from mdth.batch.run import run
from mdth.errors import NoFaceFound, StorageError

PATIENCE_S = 600  # generous: a test that needs it hangs
_loaded: list[int] = []


def note(folder: str, name: str, word: object) -> None:
    """Add a line to a file of the folder; whole lines, also from several processes."""
    with (Path(folder) / name).open("a") as file:
        file.write(f"{word}\n")


def noted(folder: Path, name: str) -> list[str]:
    path = folder / name
    return path.read_text().split() if path.exists() else []


def cheap(twin: str, *, folder: str, **_: Any) -> bool:
    """Finish a twin, as its name says; a finished one is skipped."""
    if twin in noted(Path(folder), "finished"):
        return False
    note(folder, "begun", twin)
    if not _loaded:
        _loaded.append(os.getpid())
        note(folder, "loaded", os.getpid())
    kind = twin.split("-")[0]
    if kind in ACTS:
        ACTS[kind](twin, Path(folder))
    note(folder, "finished", twin)
    note(folder, "by", os.getpid())
    return True


def job(folder: Path) -> Job:
    return Job("made_tasks:cheap", {"folder": str(folder)}, logging.INFO)


def all_results(folder: Path, twins: list[str], **how: Any) -> dict[str, Result]:
    results = list(run(twins, job(folder), **{"timeout_s": PATIENCE_S, **how}))
    assert sorted(result.twin for result in results) == sorted(twins)
    return {result.twin: result for result in results}


def told(twin: str, **settings: Any) -> bool:
    """`cheap` for the command line, which gives no folder; notes the settings too."""
    folder = os.environ["MADE_TASKS_FOLDER"]
    note(folder, "settings", json.dumps(settings))
    return cheap(twin, folder=folder)


def in_the_store(twin: str, **_: Any) -> bool:
    """`cheap`, noting in the store that the settings name."""
    return cheap(twin, folder=os.environ["MDTH_STORE"])


def _once(act: Callable[[str, Path], None]) -> Callable[[str, Path], None]:
    return lambda twin, folder: noted(folder, "begun").count(twin) == 1 and act(twin, folder)


def _die(twin: str, folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(twin: str, folder: Path) -> None:
    time.sleep(600)


def _faceless(twin: str, folder: Path) -> None:
    raise NoFaceFound(f"{twin}: no face")


def _storeless(twin: str, folder: Path) -> None:
    raise StorageError(f"{twin}: the store is away")


def _bug(twin: str, folder: Path) -> None:
    raise ValueError("a mistake of ours" + ("\x1b[2J\n" * 1_000_000 if "long" in twin else ""))


def _meet(twin: str, folder: Path) -> None:
    """Wait until another twin of this kind has begun too."""
    deadline = time.monotonic() + 600
    while len(noted(folder, "begun")) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    if time.monotonic() >= deadline:
        raise ValueError("alone")


def _tell(twin: str, folder: Path) -> None:
    import logging

    logging.getLogger("mdth").info("working on %s", twin, extra={"bytes": 7})


def _child(twin: str, folder: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    child.start()
    note(str(folder), "children", child.pid)


def _parent(twin: str, folder: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _child(twin, folder)
    _hang(twin, folder)


def _tidy(twin: str, folder: Path) -> None:
    try:
        _hang(twin, folder)
    finally:
        note(str(folder), "tidied", twin)


ACTS = {
    "die": _die, "die_once": _once(_die), "hang": _hang, "faceless": _faceless, "bug": _bug,
    "storeless": _storeless, "storeless_once": _once(_storeless), "meet": _meet, "tell": _tell,
    "device": lambda _, folder: note(
        str(folder), "devices", os.environ.get("CUDA_VISIBLE_DEVICES", "none")),
    "cores": lambda _, folder: note(str(folder), "cores", len(os.sched_getaffinity(0))),
    "parent": _parent, "child": _child, "tidy": _tidy, "leave": lambda *_: os._exit(0),
    "quit": lambda *_: sys.exit(3),
}  # fmt: skip
