"""A twin's video: what it is determined by, made once, published with a record that vouches for it.

The record is the same for the same video. A video without a fitting record does not count.
"""

import hashlib
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
from mdth.twins.plan import Plan, Step
from mdth.twins.twin import Publication, Twin

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

    @property
    def target(self) -> Publication:
        """The video."""
        return self.twin.video

    @property
    def result(self) -> Path:
        """The local mp4."""
        return self.target.local / OUTPUT

    def steps(self) -> list[Step]:
        """Every file that is read or written."""
        source, target = self.twin.prepared, self.target
        sealed, made = manifest.sizes(self.sealed), self.here or self.stored
        video = {OUTPUT: manifest.video_of(made)[0], TIMES: None, RECORD: None}
        steps: list[Step] = []
        if self.to_fetch:
            steps += plan.files("read", "store", source.stored, sealed)
            steps += plan.files("write", "local", source.local, sealed)
        else:
            steps += plan.files("read", "local", source.local, sealed)
        if made is None:
            steps += plan.needed(self.engine, self.options, *_stages(self.sealed))
        if self.here is None:
            steps += plan.files("write", "local", target.local, video)
        if not self.published:
            steps += plan.files("write", "store", target.stored, video)
        return steps

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
    stages = _stages(sealed)
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
        engine=engine,
        options=options,
        wanted=wanted,
        here=here,
        stored=stored,
        published=stored is not None,
        again=force,
        sealed=sealed,
        to_fetch=to_fetch,
    )


def _stages(sealed: Json) -> tuple[str, ...]:
    return speaking(clip=any(name.startswith(f"{VIDEO}/") for name in sealed["files"]))


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
