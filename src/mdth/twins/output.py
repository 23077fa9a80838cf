"""A twin's video: what it is determined by, made once, published with a record that vouches for it.

`output.json` says what made the video and its SHA-256, and is the same for the same video;
`times.json` says how long it took. A video without a fitting record does not count.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mdth import engines, record
from mdth.engine import SPEAK, Engine, Progress
from mdth.errors import ArtefactError
from mdth.files.reading import sha256
from mdth.files.write import scratch_beside
from mdth.log.stages import job, spent, stage
from mdth.options import AUTO, TABLE, Choices, Options
from mdth.pipeline import film
from mdth.storage import publish
from mdth.storage.layout import OUTPUT, RECORD, TIMES
from mdth.storage.place import place_output
from mdth.storage.sealed import as_json, write_json
from mdth.twins import plan, prepared
from mdth.twins.manifest import Manifest
from mdth.twins.plan import Step
from mdth.twins.twin import Twin

log = logging.getLogger("mdth")

# Of twins that were prepared before there was a choice.
FIRST_ENGINE = engines.EMBEDDED


@dataclass(frozen=True)
class Filming:
    """The plan of `inference`.

    sealed: the prepared data, to_fetch: from the store first. wanted: what the video is determined
    by. here, stored: records of such a video, where there is one and nothing is to be repeated.
    """

    twin: Twin
    engine: Engine
    options: Options
    sealed: Manifest
    to_fetch: bool
    wanted: dict[str, Any]
    here: dict[str, Any] | None
    stored: dict[str, Any] | None
    again: bool

    @property
    def nothing_to_do(self) -> bool:
        """Whether the video is here and in the store."""
        return self.here is not None and self.here == self.stored

    @property
    def result(self) -> Path:
        """The local mp4."""
        return self.twin.serving / OUTPUT

    def steps(self) -> list[Step]:
        """Every file that is read or written."""
        twin, folder = self.twin, str(self.twin.prepared)
        files = plan.sealed_files(self.sealed)
        steps: list[Step] = []
        if self.to_fetch:
            steps += plan.files("read", "store", twin.stored_prepared, files)
            steps += plan.files("write", "local", folder, files)
        else:
            steps += plan.files("read", "local", folder, files)
        if self.here is None and self.stored is None:
            steps += plan.needed(self.engine, self.options, SPEAK)
        if self.here is None:
            steps += _video("local", str(twin.serving), self.stored)
        if self.stored is None or (self.here is not None and self.here != self.stored):
            steps += _video("store", twin.stored_output, self.here)
        return steps

    def run(self, progress: Progress | None = None) -> bool:
        """Film, unless the video is here or in the store, and publish. Raises MdthError."""
        twin = self.twin
        if self.to_fetch:
            with stage("fetch prepared"):
                prepared.fetch_prepared(twin)
        done = self.here is None and not (self.stored is not None and self._fetched())
        if done:
            self._film(progress)
        else:
            log.info("%s has this video already; nothing to do", twin.name)
        with stage("upload"):
            publish_output(twin, again=self.again)
        return done

    def _fetched(self) -> bool:
        with scratch_beside(self.twin.serving) as scratch:
            found = publish.read_output(self.twin.store, self.twin.stored_output, scratch)
            if not is_of(found, self.wanted):
                return False
            log.info("fetching the video from the store")
            place_output(scratch, self.twin.serving)
        return True

    def _film(self, progress: Progress | None) -> None:
        """Make the wanted video and its record in the local tree."""
        twin = self.twin
        with job() as watch, scratch_beside(twin.serving) as scratch:
            with spent("prepare"):
                avatar, said = prepared.load(twin.prepared, self.sealed, self.engine)
            target = scratch / OUTPUT
            made = film(
                self.engine, avatar, said, target, self.options, watch=watch, progress=progress
            )
            _vouch(scratch, {**made, **self.wanted})
            place_output(scratch, twin.serving)


def plan_inference(twin: Twin, choices: Choices, *, force: bool = False) -> Filming:
    """Decide what is left to do. Raises ArtefactError when the prepared data cannot be used."""
    with stage("fetch"):
        sealed, to_fetch = prepared.usable(twin)
    options = with_settings(sealed, choices)
    engine = engines.choose(options)
    wanted = {
        "format": record.FORMAT,
        "inputs": sealed["sources"],
        "prepared": hashlib.sha256(as_json(sealed)).hexdigest(),
        "settings": options.settings(engine.name, record.SHAPING),
        "models": record.models(engine, options, SPEAK),
        "versions": record.versions(engine),
    }
    here = publish.check_output(twin.serving)
    stored = publish.output_record(twin.store, twin.stored_output)
    here, stored = (
        found if not force and is_of(found, wanted) else None for found in (here, stored)
    )
    return Filming(twin, engine, options, sealed, to_fetch, wanted, here, stored, force)


def with_settings(sealed: Manifest, choices: Choices) -> Options:
    """The choices, and those the twin was prepared with. Raises ArtefactError, InputError."""
    settings = sealed["settings"]
    made_for, asked = settings.get("engine", FIRST_ENGINE), choices.get("engine", AUTO)
    kept = {name: value for name, value in settings.items() if name in TABLE}
    try:
        options = Options.of(**{**kept, **choices, "engine": made_for})
    except TypeError as error:
        raise ArtefactError(f"the manifest's settings cannot be used ({error})") from error
    if asked not in (AUTO, made_for):
        raise ArtefactError(
            f"{sealed['twin']}: prepared for the engine {made_for!r}, not {asked!r}; "
            f"run: mdth preprocess {sealed['twin']} --engine {asked}"
        )
    return options


def is_of(made: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Whether a record says that it was made from what is wanted."""
    return made is not None and {name: made.get(name) for name in wanted} == wanted


def _video(place: str, folder: str, made: dict[str, Any] | None) -> Iterator[Step]:
    size = made["video"]["bytes"] if made else None
    yield Step("write", place, f"{folder}/{OUTPUT}", size)
    yield Step("write", place, f"{folder}/{TIMES}")
    yield Step("write", place, f"{folder}/{RECORD}")


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
