"""A twin's video: what it is determined by, made once, published with a record that vouches for it.

`output.json` says what made the video and its SHA-256, and is the same for the same video;
`times.json` says how long it took. A video without a fitting record does not count.
"""

import hashlib
import logging
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mdth import record
from mdth.files.write import scratch_beside
from mdth.film import Progress, engine_files, shoot
from mdth.flow import Clock
from mdth.options import Options
from mdth.storage import publish
from mdth.storage.layout import OUTPUT, RECORD, TIMES
from mdth.storage.place import place_output
from mdth.storage.sealed import as_json, sha256, write_json
from mdth.twins.manifest import Manifest
from mdth.twins.prepared import load_scene
from mdth.twins.twin import Twin

log = logging.getLogger("mdth")


def made_from(sealed: Manifest, options: Options) -> dict[str, Any]:
    """What a video of this prepared data with these options is determined by."""
    return {
        "format": record.FORMAT,
        "inputs": sealed["sources"],
        "prepared": hashlib.sha256(as_json(sealed)).hexdigest(),
        "settings": asdict(options),
        "models": record.models(engine_files(options)),
        "versions": record.versions(options.engine),
    }


def is_of(made: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Whether a record says that it was made from what is wanted."""
    return made is not None and {name: made.get(name) for name in wanted} == wanted


def find(twin: Twin, wanted: dict[str, Any]) -> bool:
    """Whether the wanted video is here; it is fetched where only the store has it."""
    if is_of(publish.check_output(twin.serving), wanted):
        return True
    if not is_of(publish.output_record(twin.store, twin.stored_output), wanted):
        return False
    with scratch_beside(twin.serving) as scratch:
        if not is_of(publish.read_output(twin.store, twin.stored_output, scratch), wanted):
            return False
        log.info("fetching the video from the store")
        place_output(scratch, twin.serving)
    return True


def film(
    twin: Twin,
    wanted: dict[str, Any],
    sealed: Manifest,
    *,
    clock: Clock,
    n_gpus: int,
    progress: Progress | None,
) -> None:
    """Make the wanted video and its record in the local tree. Raises MdthError."""
    with clock.stage("prepare"):
        scene = replace(load_scene(twin.prepared, sealed), n_gpus=n_gpus)
    with scratch_beside(twin.serving) as scratch:
        options = Options(**wanted["settings"])
        made = shoot(scene, scratch / OUTPUT, options, clock=clock, progress=progress)
        _vouch(scratch, {**made, **wanted})
        place_output(scratch, twin.serving)


def _vouch(folder: Path, made: dict[str, Any]) -> None:
    """Write record and times beside the video."""
    seconds = made.pop("seconds")
    digest = sha256(folder / OUTPUT)
    made["video"] = {"bytes": (folder / OUTPUT).stat().st_size, "sha256": digest}
    write_json(folder / RECORD, made)
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(folder / TIMES, {"video_sha256": digest, "ended": ended, "seconds": seconds})


def publish_output(twin: Twin, *, again: bool = False) -> None:
    """Put the local video into the store, unless it is there already.

    Where another machine published its own at the same time, that is what counts, here too.
    """
    if publish.publish_output(twin.store, twin.serving, twin.stored_output, again=again):
        return
    log.warning("%s: another machine made its video at the same time; taking that", twin.name)
    with scratch_beside(twin.serving) as scratch:
        if publish.read_output(twin.store, twin.stored_output, scratch):
            place_output(scratch, twin.serving)
