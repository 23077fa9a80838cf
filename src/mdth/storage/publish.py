"""Publications in the store, complete or absent at every moment, also for several machines at once.

Prepared data: files that carry their hash in their name, then the manifest that points to them, by
one put. A reader has what one manifest points to. What a manifest does not point to any more stays
for a day at least: then no reader needs it, and no machine is still on its way to publish it.

Output: `output.mp4` keeps its name, so its record goes first and comes back last; a reader believes
a video only if the record's hash says so.

Each publication looks again after it wrote. So whoever wrote last also looked last, and what stays
is valid, whoever's it is. Nothing depends on conditional puts or on locks between machines.
"""

import logging
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdth.errors import ArtefactError, StorageError
from mdth.files.reading import sha256
from mdth.files.write import scratch_beside
from mdth.storage.faults import NotThere
from mdth.storage.layout import MANIFEST, OUTPUT, RECORD, TIMES
from mdth.storage.plain import Entry
from mdth.storage.sealed import Sealed, pointed_to, read_json, write_json
from mdth.storage.store import Store

log = logging.getLogger("mdth")

Json = dict[str, Any]

TRIES = 12
PAUSE_S = 0.5
# For so long a file that nothing points to may be needed: by a reader of the manifest before, or by
# another machine that has put it and not yet its manifest.
DAY_S = 24 * 3600


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
    for path in forgotten(store, folder):
        store.remove(f"{folder}/{path}")
    store.sweep(folder)
    for number in range(TRIES):
        current, there = stored_manifest(store, folder), store.below(folder)
        if not again and _complete(current, there) and (number or current == mine):
            return current == mine
        if number:
            _pause(number)
        kept = _kept(current, there)
        for file in pointed_to(mine).values():
            if again or file.path not in kept or not _is_there(file, there):
                store.upload(source / file.path, f"{folder}/{file.path}")
        store.upload(source / MANIFEST, f"{folder}/{MANIFEST}")
        again = False
    raise _too_busy(store, folder)


def forgotten(store: Store, folder: str) -> list[str]:
    """Files of a folder of prepared data that the next publication deletes.

    The manifest has not pointed to them for a day, and they have been there for as long.
    """
    there = store.below(folder)
    if MANIFEST not in there or there[MANIFEST].time_s > time.time() - DAY_S:
        return []
    current = stored_manifest(store, folder)
    old = {path for path, file in there.items() if file.time_s < time.time() - DAY_S}
    return sorted(old - _paths(current) - {MANIFEST}) if current is not None else []


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


def _required(path: Path) -> Json:
    found = read_json(path)
    if found is None:
        raise ArtefactError(f"{path}: is not there")
    return found


def _paths(manifest: Json | None) -> set[str]:
    return {file.path for file in pointed_to(manifest).values()} if manifest else set()


def _is_there(file: Sealed, there: Mapping[str, Entry]) -> bool:
    return file.path in there and there[file.path].size == file.bytes


def _kept(current: Json | None, there: Mapping[str, Entry]) -> set[str]:
    """Files that nobody deletes soon: what is old and not pointed to may go at any moment."""
    young = time.time() - DAY_S / 2
    return _paths(current) | {path for path, file in there.items() if file.time_s > young}


def _complete(manifest: Json | None, there: Mapping[str, Entry]) -> bool:
    return manifest is not None and all(
        _is_there(file, there) for file in pointed_to(manifest).values()
    )


def _pause(number: int) -> None:
    """Wait a little, each machine for another time, longer from try to try."""
    time.sleep(random.uniform(0.1, 1) * PAUSE_S * min(number, 10) / 10)


def _too_busy(store: Store, folder: str) -> StorageError:
    return StorageError(
        f"{store.url}/{folder}: other machines keep publishing there; run again later"
    )
