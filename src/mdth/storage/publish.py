"""Publications in the store, complete or absent at every moment, also for several machines at once.

Prepared data: files that carry their hash in their name, then the manifest that points to them, by
one put; files that nothing points to any more go last. A reader has what one manifest points to.

Output: `output.mp4` keeps its name, so its record goes first and comes back last; a reader believes
a video only if the record's hash says so.

Each publication looks at the store, makes one repair and looks again, until there is nothing to do.
So whoever wrote last also looked last, and what stays is valid, whoever's it is. Nothing depends on
conditional puts or on locks between machines.
"""

import logging
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdth.errors import ArtefactError, StorageError
from mdth.storage.layout import MANIFEST, OUTPUT, RECORD, TIMES
from mdth.storage.retry import NotThere
from mdth.storage.sealed import (
    Sealed,
    pointed_to,
    read_json,
    sha256,
    write_json,
)
from mdth.storage.store import Store, Stored
from mdth.storage.unfinished import scratch_beside

log = logging.getLogger("mdth")

Json = dict[str, Any]

TRIES = 12
PAUSE_S = 0.5
# A file that nothing points to may be another machine's, on its way to a manifest, for this long.
UPLOAD_S = 24 * 3600
# Paths in the store that this machine may have to remove, until its publication has ended.
JOURNAL = ".publishing.json"


def stored_manifest(store: Store, folder: str) -> Json | None:
    """The manifest of a folder of prepared data, None where nothing usable is published."""
    try:
        found = store.find_json(f"{folder}/{MANIFEST}")
        if found is not None:
            pointed_to(found)
    except ArtefactError as error:
        log.info("%s: %s", folder, error)
        return None
    return found


def publish_prepared(store: Store, source: Path, folder: str, *, again: bool = False) -> bool:
    """Publish a local folder of sealed data, unless all of it is there.

    again: put everything anew. False where another machine published its own meanwhile, and that
    is what stays. Raises ArtefactError, StorageError.
    """
    mine = _required(source / MANIFEST)
    journal = source.parent / JOURNAL
    dead = _paths(mine) | _left_behind(journal)
    wrote = False
    for number in range(TRIES):
        current = stored_manifest(store, folder)
        there = store.below(folder)
        dead |= _paths(current)
        if not again and _complete(current, there) and (wrote or current == mine):
            stale = _stale(there, _paths(current), dead)
            if not stale:
                store.sweep(folder)
                journal.unlink(missing_ok=True)
                return current == mine
            # One last question keeps the moment short in which another machine could put a
            # manifest that points to what goes; the next look would see and repair that.
            if stored_manifest(store, folder) == current:
                _remove(store, folder, stale)
            continue
        if wrote:
            _pause(number)
        write_json(journal, {"paths": sorted(dead)})
        for file in pointed_to(mine).values():
            if again or not _is_there(file, there):
                store.upload(source / file.path, f"{folder}/{file.path}")
        store.upload(source / MANIFEST, f"{folder}/{MANIFEST}")
        wrote, again = True, False
    raise _too_busy(store, folder)


def is_published(store: Store, source: Path, folder: str) -> bool:
    """Whether the store holds the local folder's data, every file of it."""
    current = stored_manifest(store, folder)
    return current == read_json(source / MANIFEST) and _complete(current, store.below(folder))


def fetch_prepared(store: Store, folder: str, new: Path) -> Json:
    """Copy published data to the empty folder `new`; gives its manifest.

    All of it belongs to one publication: where that is replaced meanwhile, the new one is taken.
    Raises ArtefactError where nothing whole is there, StorageError also where what arrives is not
    what the manifest names.
    """
    for number in range(TRIES):
        manifest = stored_manifest(store, folder)
        if manifest is None:
            raise ArtefactError(f"{store.url}/{folder}: nothing usable is published")
        try:
            for file in pointed_to(manifest).values():
                if not (new / file.path).exists():
                    at = f"{folder}/{file.path}"
                    store.download(at, new / file.path, sha256=file.sha256)
        except NotThere:
            log.info("%s: replaced while it was read; reading again", folder)
            _pause(number)
            continue
        write_json(new / MANIFEST, manifest)
        return manifest
    raise ArtefactError(
        f"{store.url}/{folder}: files are missing that its {MANIFEST} names; preprocess again"
    )


def check_output(folder: Path) -> Json | None:
    """The record of the video in a local folder, None unless both are there and belong together."""
    try:
        record = read_json(folder / RECORD)
        video = (record or {}).get("video", {})
        whole = bool(record) and sha256(folder / OUTPUT) == video["sha256"]
    except (ArtefactError, OSError, KeyError, TypeError, AttributeError):
        return None
    return record if whole else None


def read_output(store: Store, folder: str, new: Path) -> Json | None:
    """Copy a published video with its record to `new`; None unless they belong together.

    They do not while a video is being replaced. Raises StorageError.
    """
    try:
        for name in (RECORD, OUTPUT, TIMES):
            store.download(f"{folder}/{name}", new / name)
    except NotThere:
        return None
    return check_output(new)


def output_record(store: Store, folder: str) -> Json | None:
    """The record of a published video whose size is right; its content is not read."""
    try:
        record = store.find_json(f"{folder}/{RECORD}")
        size = (record or {}).get("video", {}).get("bytes")
    except (ArtefactError, AttributeError):
        return None
    there = store.below(folder)
    return record if OUTPUT in there and there[OUTPUT].size == size else None


def publish_output(store: Store, source: Path, folder: str, *, again: bool = False) -> bool:
    """Publish a local video with its record, unless it is there.

    again: put it anew. False where another machine published its own meanwhile, and that is what
    stays. What was written is read back. Raises ArtefactError, StorageError.
    """
    mine = _required(source / RECORD)
    found = output_record(store, folder)
    wrote = False
    for number in range(TRIES):
        if wrote:
            found = _read_back(store, source, folder)
        if not again and found is not None and (wrote or found == mine):
            store.sweep(folder)
            return found == mine
        if wrote:
            _pause(number)
        store.remove(f"{folder}/{RECORD}")
        for name in (OUTPUT, TIMES, RECORD):
            store.upload(source / name, f"{folder}/{name}")
        wrote, again = True, False
    raise _too_busy(store, folder)


def _read_back(store: Store, source: Path, folder: str) -> Json | None:
    with scratch_beside(source) as scratch:
        return read_output(store, folder, scratch)


def _left_behind(journal: Path) -> set[str]:
    """What a stopped publication of this machine may have put or not yet removed."""
    try:
        return set(map(str, (read_json(journal) or {}).get("paths", [])))
    except (ArtefactError, TypeError) as error:
        log.info("%s: %s", journal, error)
        return set()


def _required(path: Path) -> Json:
    found = read_json(path)
    if found is None:
        raise ArtefactError(f"{path}: is not there")
    return found


def _paths(manifest: Json | None) -> set[str]:
    return {file.path for file in pointed_to(manifest).values()} if manifest else set()


def _is_there(file: Sealed, there: Mapping[str, Stored]) -> bool:
    return file.path in there and there[file.path].size == file.bytes


def _complete(manifest: Json | None, there: Mapping[str, Stored]) -> bool:
    return manifest is not None and all(
        _is_there(file, there) for file in pointed_to(manifest).values()
    )


def _stale(there: Mapping[str, Stored], used: set[str], dead: set[str]) -> list[str]:
    """Files of `there` that nothing needs: known to be replaced, or too old to be on their way."""
    old = time.time() - UPLOAD_S
    return [
        path
        for path, stored in there.items()
        if path not in used | {MANIFEST} and (path in dead or stored.time_s < old)
    ]


def _remove(store: Store, folder: str, paths: list[str]) -> None:
    for path in paths:
        store.remove(f"{folder}/{path}")


def _pause(number: int) -> None:
    """Wait a little, each machine for another time, longer from try to try."""
    time.sleep(random.uniform(0.1, 1) * PAUSE_S * min(number, 10) / 10)


def _too_busy(store: Store, folder: str) -> StorageError:
    return StorageError(
        f"{store.url}/{folder}: other machines keep publishing there; run again later"
    )
