"""A twin's video: what it is determined by, made once, published with a record that vouches for it.

The record is the same for the same video. A video without a fitting record does not count.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Filming(Plan):
    """The plan of `inference`.

    sealed: the manifest of the prepared data. to_fetch: whether that comes from the store first.
    """

    sealed: Json
    to_fetch: bool

    already = "has this video"
    last_stage = "upload"

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
                avatar, said = prepared.load(self.twin.prepared.local, self.sealed, self.engine)
            target = folder / OUTPUT
            made = film(
                self.engine, avatar, said, target, self.options, watch=watch, progress=progress
            )
            manifest.vouch(folder, {**made, **self.wanted})


def plan_inference(twin: Twin, choices: Choices, *, force: bool = False) -> Filming:
    """Decide what is left to do. Raises ArtefactError when the prepared data cannot be used."""
    with stage("fetch"):
        sealed, to_fetch = prepared.usable(twin)
    options = with_settings(sealed, choices)
    stages = speaking(clip=any(name.startswith(f"{VIDEO}/") for name in sealed["files"]))
    engine = engines.choose(options, *stages)
    wanted = {
        "format": record.FORMAT,
        "inputs": sealed["sources"],
        "prepared": hashlib.sha256(as_json(sealed)).hexdigest(),
        "settings": options.settings(engine.name, record.SHAPING),
        "models": record.models(engine, options, *stages),
        "versions": record.versions(engine),
    }
    here = stored = None
    if not force:
        found = manifest.vouched(twin.video.local)
        here = found if manifest.agrees(found, wanted) else None
        stored = publish.output_record(twin.store, twin.video.stored, here or wanted)
    return Filming(
        twin=twin,
        target=twin.video,
        engine=engine,
        options=options,
        stages=stages,
        wanted=wanted,
        here=here,
        stored=stored,
        again=force,
        sealed=sealed,
        to_fetch=to_fetch,
    )


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
