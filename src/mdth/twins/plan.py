"""What a task would read and write, found out without changing anything.

Input files are fetched to a folder of the system's for temporary files, to see which one can be
used, and are gone afterwards.
"""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from mdth import engines
from mdth.errors import ArtefactError
from mdth.files import assets
from mdth.files.networks import WEIGHTS
from mdth.film import ENCODER, engine_files
from mdth.options import Choices, Options
from mdth.storage import layout, publish
from mdth.storage.layout import MANIFEST, OUTPUT, RECORD, TIMES
from mdth.storage.sealed import as_json, pointed_to, read_json
from mdth.twins import manifest, output, prepared, sources
from mdth.twins.tasks import with_settings
from mdth.twins.twin import Twin

WHY_CHOSEN = "the first that can be read, by natural order of name"
# In the place of what only the content will tell.
HASH = "HASH"

Manifest = dict[str, Any]
# A path and its size in bytes, None where it is not known.
File = tuple[str, int | None]


class Step(NamedTuple):
    """One file: `what` is read, skip, write or remove; `where` a path of `place`, store or local.

    size: bytes, None where that shows only when it is made. why: a remark, may be empty.
    """

    what: str
    place: str
    where: str
    size: int | None = None
    why: str = ""

    def __str__(self) -> str:
        told = f"{self.what:6} {self.place:5} {self.where}"
        if self.what not in ("skip", "remove"):
            told += f"  {'?' if self.size is None else self.size} bytes"
        return f"{told}  ({self.why})" if self.why else told


class Plan(NamedTuple):
    """The steps, and whether the task's own work would be done or is done already."""

    steps: list[Step]
    nothing_to_do: bool


def preprocess(twin_id: str, *, force: bool = False, **choices: Unpack[Choices]) -> Plan:
    """The plan of `mdth.twins.tasks.preprocess`. Raises what that raises before it writes."""
    options, twin = engines.resolved(Options(**choices)), Twin.named(twin_id)
    with tempfile.TemporaryDirectory(prefix="mdth-") as name:
        found = sources.fetch(twin, lambda kind: Path(name, kind))
        steps = list(_input(twin, found))
        origin = prepared.origin(twin, found, options)
        names = prepared.names(found, options)
    here = not force and manifest.is_current(twin.prepared, origin)
    there = here and publish.is_published(twin.store, twin.prepared, twin.stored_prepared)
    old = publish.stored_manifest(twin.store, twin.stored_prepared)
    made: Sequence[File] = [(_with_hash(name), None) for name in names] + [(MANIFEST, None)]
    if here:
        made = _sealed_files(manifest.read(twin.prepared, twin=twin_id))
    elif not force and old is not None and manifest.is_of(old, origin):
        there, made = True, _sealed_files(old)
        steps += _files("read", "store", twin.stored_prepared, made)
    else:
        steps += _local("read", prepared.models(options))
    if not here:
        steps += _files("write", "local", str(twin.prepared), made)
        steps += _replaced("local", str(twin.prepared), _found(twin.prepared), made)
    if not there:
        steps += _files("write", "store", twin.stored_prepared, made)
    for path in publish.forgotten(twin.store, twin.stored_prepared):
        steps.append(Step("remove", "store", f"{twin.stored_prepared}/{path}"))
    return Plan(steps, here and there)


def inference(twin_id: str, *, force: bool = False, **choices: Unpack[Choices]) -> Plan:
    """The plan of `mdth.twins.tasks.inference`. Raises what that raises before it writes."""
    twin = Twin.named(twin_id)
    in_store = publish.stored_manifest(twin.store, twin.stored_prepared)
    steps: list[Step] = []
    if (twin.prepared / MANIFEST).exists():
        sealed = manifest.read(twin.prepared, twin=twin_id)
        steps += _files("read", "local", str(twin.prepared), _sealed_files(sealed))
    elif in_store is not None:
        sealed = in_store
        manifest.check(sealed, twin=twin_id, where=twin.stored_prepared)
        steps += _files("read", "store", twin.stored_prepared, _sealed_files(sealed))
        steps += _files("write", "local", str(twin.prepared), _sealed_files(sealed))
    else:
        raise prepared.nothing_is_prepared(twin)
    prepared.check_usable(twin, sealed, in_store)
    options = with_settings(sealed, choices)
    wanted = output.made_from(sealed, options)
    at_hand = publish.check_output(twin.serving)
    here = not force and output.is_of(at_hand, wanted)
    published = publish.output_record(twin.store, twin.stored_output)
    there = not force and output.is_of(published, wanted)
    if not here and not there:
        networks = [assets.path(ENCODER), *sorted(WEIGHTS.glob("*.onnx")), *engine_files(options)]
        steps += _local("read", networks)
    if not here:
        steps += _video("local", str(twin.serving), published if there else None)
    if not there or (here and published != at_hand):
        steps += _video("store", twin.stored_output, at_hand if here else None)
    return Plan(steps, here and published == at_hand)


def _input(twin: Twin, found: sources.Sources) -> Iterator[Step]:
    """What is fetched and skipped, and what goes into the local tree."""
    for kind, path in zip(layout.KINDS, (found.audio, found.image, found.video), strict=True):
        stored = layout.stored_raw(twin.name, kind)
        if path:
            size = path.stat().st_size
            yield Step("read", "store", f"{stored}/{path.name}", size, WHY_CHOSEN)
            yield Step("write", "local", str(twin.tree.raw(twin.name, kind) / path.name), size)
        for skipped in found.choices[kind].skipped:
            yield Step("skip", "store", f"{stored}/{skipped.name}", None, skipped.reason)


def _video(place: str, folder: str, record: Manifest | None) -> Iterator[Step]:
    size = record["video"]["bytes"] if record else None
    yield Step("write", place, f"{folder}/{OUTPUT}", size)
    yield Step("write", place, f"{folder}/{TIMES}")
    yield Step("write", place, f"{folder}/{RECORD}")


def _local(what: str, paths: Iterable[Path]) -> Iterator[Step]:
    for path in paths:
        yield Step(what, "local", str(path), path.stat().st_size if path.exists() else None)


def _files(what: str, place: str, folder: str, files: Iterable[File]) -> Iterator[Step]:
    for path, size in files:
        yield Step(what, place, f"{folder}/{path}", size)


def _replaced(place: str, folder: str, old: Manifest | None, new: Iterable[File]) -> Iterator[Step]:
    """Files of an older publication; those whose content comes out the same stay."""
    kept = {path for path, _ in new}
    why = "unless its content comes out the same" if any(HASH in path for path in kept) else ""
    for path, _ in _sealed_files(old) if old else []:
        if path not in kept:
            yield Step("remove", place, f"{folder}/{path}", None, why)


def _sealed_files(sealed: Manifest) -> list[File]:
    files = pointed_to(sealed).values()
    return [*((file.path, file.bytes) for file in files), (MANIFEST, len(as_json(sealed)))]


def _found(folder: Path) -> Manifest | None:
    """The manifest of a local folder where there is a usable one."""
    try:
        found = read_json(folder / MANIFEST)
        pointed_to(found or {"files": {}})
    except ArtefactError:
        return None
    return found


def _with_hash(name: str) -> str:
    path = Path(name)
    return path.with_name(f"{path.stem}-{HASH}{path.suffix}").as_posix()
