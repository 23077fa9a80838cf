"""A twin's video: what it is determined by, made once, published with a record that vouches for it.

The record is the same for the same video. A video without a fitting record does not count.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mdth import engines, record
from mdth.engine import VIDEO, Progress, speaking
from mdth.errors import ArtefactError
from mdth.files.json import Json, as_json
from mdth.log.stages import job, spent, stage
from mdth.options import AUTO, TABLE, Choices, Options
from mdth.pipeline import film
from mdth.storage import manifest, publish
from mdth.storage.layout import OUTPUT, RECORD, TIMES
from mdth.twins import plan, prepared
from mdth.twins.plan import Plan, Sizes, Step
from mdth.twins.twin import Twin

# Of twins that were prepared before there was a choice.
FIRST_ENGINE = engines.EMBEDDED


class Filming(Plan):
    """The plan of `inference`."""

    already, last_stage = "has this video", "upload"

    def __init__(self, twin: Twin, choices: Choices, *, force: bool = False) -> None:
        """Decide what is left to do. Raises ArtefactError when the prepared data cannot be used."""
        self.twin, self.target, self.again = twin, twin.video, force
        with stage("fetch"):
            # The manifest of the prepared data, and whether that comes from the store first.
            self.sealed, self.to_fetch = prepared.usable(twin)
        sealed, options = self.sealed, with_settings(self.sealed, choices)
        clip = any(name.startswith(f"{VIDEO}/") for name in sealed["files"])
        stages = self.stages = speaking(clip=clip)
        self.options, self.engine = options, engines.choose(options, *stages)
        self.wanted = {
            "format": record.FORMAT,
            "inputs": sealed["sources"],
            "prepared": hashlib.sha256(as_json(sealed)).hexdigest(),
            "settings": options.settings(self.engine.name, record.SHAPING),
            "models": record.models(self.engine, options, *stages),
            "versions": record.versions(self.engine),
        }
        if not force:
            found = manifest.vouched(twin.video.local)
            self.here = found if manifest.agrees(found, self.wanted) else None
            known = self.here or self.wanted
            self.stored = publish.output_record(twin.store, twin.video.stored, known)

    def sizes(self) -> Sizes:
        """The video with its times and its record."""
        video = manifest.video_of(self.here or self.stored)[0]
        return {OUTPUT: video, TIMES: None, RECORD: None}

    def reads(self) -> Iterator[Step]:
        """The prepared data, from the store if need be."""
        source, sealed = self.twin.prepared, manifest.sizes(self.sealed)
        if self.to_fetch:
            yield from plan.files("read", "store", source.stored, sealed)
        yield from plan.files("write" if self.to_fetch else "read", "local", source.local, sealed)

    def run(self, progress: Progress | None = None) -> bool:
        """Film, unless the video is here or in the store, and publish. Raises MdthError."""
        if self.to_fetch:
            with stage("fetch prepared"):
                self.twin.prepared.fetch()
        return super().run(progress)

    def make(self, folder: Path, progress: Progress | None) -> None:
        """The video and its record."""
        with job() as watch:
            with spent("prepare"):
                avatar, sound = prepared.load(self.twin.prepared.local, self.sealed, self.engine)
            target = folder / OUTPUT
            made = film(
                self.engine, avatar, sound, target, self.options, watch=watch, progress=progress
            )
            manifest.vouch(folder, {**made, **self.wanted})


def with_settings(sealed: Json, choices: Choices) -> Options:
    """The choices, and those the twin was prepared with. Raises ArtefactError, InputError."""
    settings = sealed["settings"]
    made_for, asked = settings.get("engine", FIRST_ENGINE), choices.get("engine", AUTO)
    kept = {name: value for name, value in settings.items() if name in TABLE}
    options = Options.of(**{**kept, **choices, "engine": made_for})
    if asked not in (AUTO, made_for):
        raise ArtefactError(
            f"{sealed['twin']}: prepared for the engine {made_for!r}, not {asked!r}; "
            f"run: mdth preprocess {sealed['twin']} --engine {asked}"
        )
    return options
