"""Publications in the store, complete or absent at every moment, also for several machines at once.

docs/reliability.md ("Complete or absent") has the orders and why they hold. On the local disk they
are the same, by renaming, for who is alone with the twin there (`mdth.files.write.alone`).
"""

import logging
import random
import time
from collections.abc import Iterable
from pathlib import Path

from mdth.errors import ArtefactError, StorageError
from mdth.files.json import Json, read_json, write_json
from mdth.files.write import synced
from mdth.storage.faults import NotThere, NotWhole
from mdth.storage.layout import MANIFEST, OUTPUT, RECORD, TIMES
from mdth.storage.manifest import agrees, pointed_to, sizes, video_of, vouched
from mdth.storage.store import Store

log = logging.getLogger("mdth")

TRIES = 12
PAUSE_S = 0.5
TOO_BUSY = "other machines keep publishing there; run again later"
# For so long a file that nothing points to may be needed: by a reader of the manifest before, or by
# another machine that has put it and not yet its manifest.
DAY_S = 24 * 3600
# The record comes last: it vouches for the video.
VIDEO = (OUTPUT, TIMES, RECORD)


def stored_manifest(store: Store, folder: str) -> Json | None:
    """The manifest of a folder of prepared data, None where nothing usable is published."""
    try:
        found = store.find_json(f"{folder}/{MANIFEST}")
        pointed_to(found)
    except ArtefactError as error:
        log.info("%s: %s", folder, error)
        return None
    return found


def publish_prepared(
    store: Store, source: Path, folder: str, *, again: bool = False, known: bool = False
) -> bool:
    """Publish a local folder of sealed data, unless all of it is there.

    again: put everything anew. known: all of it is there. False where another machine published its
    own meanwhile, and that is what stays. Raises ArtefactError, StorageError.
    """
    mine = read_json(source / MANIFEST)
    for path in forgotten(store, folder):
        store.remove(f"{folder}/{path}")
    store.sweep(folder)
    if known and not again:
        return True
    for number in range(TRIES):
        current, there = stored_manifest(store, folder), store.below(folder)
        counts = not again and current is not None and (number or current == mine)
        damaged = _damaged(store, folder, current) if counts else set()
        if counts and not damaged:
            return current == mine
        if number:
            _pause(number)
        # What is old and not pointed to may be deleted at any moment, by another machine.
        young = time.time() - DAY_S / 2
        kept = {path for path, file in there.items() if file.time_s > young} | set(sizes(current))
        for path, size in sizes(mine).items():
            is_there = path in kept - damaged and path in there and there[path].size == size
            if again or path == MANIFEST or not is_there:
                store.upload(source / path, f"{folder}/{path}")
        again = False
    raise StorageError(f"{store.url}/{folder}: {TOO_BUSY}")


def forgotten(store: Store, folder: str) -> list[str]:
    """Files of a folder of prepared data that the next publication deletes.

    The manifest has not pointed to them for a day, and they have been there for as long.
    """
    there = store.below(folder)
    if MANIFEST not in there or there[MANIFEST].time_s > time.time() - DAY_S:
        return []
    current = stored_manifest(store, folder)
    old = {path for path, file in there.items() if file.time_s < time.time() - DAY_S}
    return sorted(old - set(sizes(current))) if current is not None else []


def is_published(store: Store, manifest: Json, folder: str) -> bool:
    """Whether the store holds the data of this manifest, every file of it."""
    return stored_manifest(store, folder) == manifest and not _damaged(store, folder, manifest)


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


def read_output(store: Store, folder: str, new: Path) -> Json | None:
    """Copy a published video with its record to `new`; None unless they belong together.

    They do not while a video is being replaced. Raises StorageError.
    """
    try:
        for name in (RECORD, OUTPUT, TIMES):
            store.download(f"{folder}/{name}", new / name)
    except NotThere:
        return None
    return vouched(new)


def output_record(store: Store, folder: str, wanted: Json) -> Json | None:
    """The record of a published video, if that is what is wanted and as it was put there."""
    try:
        record = store.find_json(f"{folder}/{RECORD}")
        digest = video_of(record)[1] if record and agrees(record, wanted) else None
        if not digest:
            return None
        store.sha256(f"{folder}/{TIMES}")
        store.sha256(f"{folder}/{OUTPUT}", known=digest)
        return record
    except (ArtefactError, NotThere, NotWhole):
        return None


def publish_output(
    store: Store, source: Path, folder: str, *, again: bool = False, known: bool = False
) -> bool:
    """Publish a local video with its record, unless it is there.

    again: put it anew. known: it is there. False where another machine published its own meanwhile,
    and that is what stays. What was written is read back. Raises ArtefactError, StorageError.
    """
    mine = read_json(source / RECORD)
    for number in range(TRIES):
        if not again:
            found = mine if known else output_record(store, folder, {} if number else mine)
            if found is not None:
                store.sweep(folder)
                return found == mine
        if number:
            _pause(number)
        store.remove(f"{folder}/{RECORD}")
        for name in VIDEO:
            store.upload(source / name, f"{folder}/{name}")
        again = False
    raise StorageError(f"{store.url}/{folder}: {TOO_BUSY}")


def _damaged(store: Store, folder: str, manifest: Json | None) -> set[str]:
    """What a manifest in the store points to and is not there as it was put."""
    found = set()
    for file in pointed_to(manifest).values():
        try:
            store.sha256(f"{folder}/{file.path}", known=file.sha256)
        except (NotThere, NotWhole):
            found.add(file.path)
    return found


def _pause(number: int) -> None:
    """Wait a little, each machine for another time, longer from try to try."""
    time.sleep(random.uniform(0.1, 1) * PAUSE_S * min(number, 10) / 10)


def place_prepared(new: Path, folder: Path) -> None:
    """Put sealed data in the place of what is in `folder`. Raises ArtefactError, OSError."""
    manifest = read_json(new / MANIFEST)
    _move(new, folder, sizes(manifest))
    keep_only(folder, manifest)


def keep_only(folder: Path, manifest: Json) -> None:
    """Delete everything in `folder` but a manifest and what it points to."""
    kept = sizes(manifest)
    for path in [path for path in folder.rglob("*") if not path.is_dir()]:
        if path.relative_to(folder).as_posix() not in kept:
            path.unlink()
    for path in [path for path in folder.iterdir() if path.is_dir()]:
        if not any(path.iterdir()):
            path.rmdir()


def place_output(new: Path, folder: Path) -> None:
    """Put a video, its times and its record in the place of what is in `folder`. Raises OSError."""
    (folder / RECORD).unlink(missing_ok=True)
    _move(new, folder, VIDEO)


def _move(new: Path, folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        synced(new / path).replace(folder / path)
