"""A twin's prepared data: its speech and its avatar, made once, published, opened again."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mdth import engines, record
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Speech, original_name
from mdth.engine import PREPARE, Avatar, Engine, Progress, Source
from mdth.errors import ArtefactError
from mdth.files.write import scratch_beside
from mdth.log.stages import size_below, stage
from mdth.media.speech import prepare_speech
from mdth.options import Options
from mdth.pipeline import Speech as Said
from mdth.storage import layout, publish
from mdth.storage.layout import AUDIO, IMAGE, MANIFEST, VIDEO
from mdth.storage.place import keep_only, place_prepared
from mdth.twins import manifest, plan
from mdth.twins.manifest import Manifest
from mdth.twins.plan import File, Step
from mdth.twins.sources import Sources, check_fresh, fetch
from mdth.twins.twin import Twin

log = logging.getLogger("mdth")

WHY_CHOSEN = "the first that can be read, by natural order of name"


@dataclass(frozen=True)
class Preparing:
    """The plan of `preprocess`.

    here: the local manifest, stored: the store's, both where they are of this origin and nothing is
    to be repeated. again: the store's data is replaced whatever it is.
    """

    twin: Twin
    engine: Engine
    options: Options
    found: Sources
    origin: manifest.Origin
    here: Manifest | None
    stored: Manifest | None
    published: bool
    again: bool

    @property
    def nothing_to_do(self) -> bool:
        """Whether it is prepared and published."""
        return self.here is not None and self.published

    @property
    def result(self) -> Path:
        """The local folder."""
        return self.twin.prepared

    def steps(self) -> list[Step]:
        """Every file that is read, skipped, written or removed."""
        twin = self.twin
        steps = list(_input(twin, self.found))
        made: list[File]
        if known := self.here or self.stored:
            made = plan.sealed_files(known)
        else:
            made = plan.unhashed(_names(self.engine, self.found))
        if self.here is None:
            if self.stored:
                steps += plan.files("read", "store", twin.stored_prepared, made)
            else:
                steps += plan.needed(self.engine, self.options, PREPARE)
            steps += plan.files("write", "local", str(twin.prepared), made)
            local = manifest.found(twin.prepared)
            steps += plan.replaced(str(twin.prepared), local, made)
        if not self.published:
            steps += plan.files("write", "store", twin.stored_prepared, made)
        for path in publish.forgotten(twin.store, twin.stored_prepared):
            steps.append(Step("remove", "store", f"{twin.stored_prepared}/{path}"))
        return steps

    def run(self, progress: Progress | None = None) -> bool:
        """Prepare, unless it is here or in the store, and publish. Raises MdthError."""
        twin = self.twin
        if self.here is not None or (self.stored is not None and self._fetched()):
            log.info("%s is prepared already; nothing to do", twin.name)
            keep_only(twin.prepared, manifest.paths(twin.prepared))
            done = False
        else:
            with scratch_beside(twin.prepared) as scratch:
                self._make(scratch, progress)
                with stage("seal") as sealed:
                    manifest.seal(scratch, self.origin)
                    sealed.add(size_below(scratch))
                place_prepared(scratch, twin.prepared)
            done = True
        with stage("publish"):
            publish_prepared(twin, again=self.again)
        return done

    def _fetched(self) -> bool:
        log.info("fetching the prepared data from the store")
        try:
            fetch_prepared(self.twin)
        except ArtefactError as error:
            log.info("preparing anew: %s", error)
            return False
        return manifest.is_current(self.twin.prepared, self.origin)

    def _make(self, folder: Path, progress: Progress | None) -> None:
        """Prepare into an empty folder, with a folder for each kind. Raises InputError."""
        with stage("prepare speech") as told:
            prepare_speech(self.found.sound, folder / AUDIO)
            told.add(size_below(folder / AUDIO))
        source = Source(self.found.image, self.found.video)
        self.engine.prepare(source, self.options, progress=progress).save(folder)


def plan_preprocess(
    twin: Twin,
    options: Options,
    *,
    force: bool = False,
    folder: Callable[[str], Path] | None = None,
) -> Preparing:
    """Fetch the input and decide what is left to do.

    folder: where the files of a kind go, into the twin's local tree unless it is given. Raises
    MissingInput, StorageError, CheckpointError.
    """
    engine = engines.choose(options)
    with stage("fetch"):
        found = fetch(twin, folder)
    settings = {**options.settings(engine.name, ("portrait",)), **engine.traits()}
    models = record.models(engine, options, PREPARE)
    origin = manifest.Origin(twin.name, found.described(), settings, models)
    here = None if force else manifest.current(twin.prepared, origin)
    stored = None
    if here is None and not force:
        in_store = publish.stored_manifest(twin.store, twin.stored_prepared)
        stored = in_store if in_store and manifest.is_of(in_store, origin) else None
    published = stored is not None or (
        here is not None and publish.is_published(twin.store, twin.prepared, twin.stored_prepared)
    )
    return Preparing(twin, engine, options, found, origin, here, stored, published, force)


def _names(engine: Engine, found: Sources) -> list[str]:
    """The files that preparing writes."""
    own = engine.saved(Source(found.image, found.video))
    return [f"{AUDIO}/{original_name(found.sound)}", f"{AUDIO}/speech.npy", *own]


def _input(twin: Twin, found: Sources) -> Iterator[Step]:
    """What is fetched and skipped, and what goes into the local tree."""
    for kind, path in zip(layout.KINDS, (found.audio, found.image, found.video), strict=True):
        stored = layout.stored_raw(twin.name, kind)
        if path:
            size = path.stat().st_size
            yield Step("read", "store", f"{stored}/{path.name}", size, WHY_CHOSEN)
            yield Step("write", "local", str(twin.tree.raw(twin.name, kind) / path.name), size)
        for skipped in found.choices[kind].skipped:
            yield Step("skip", "store", f"{stored}/{skipped.name}", None, skipped.reason)


def publish_prepared(twin: Twin, *, again: bool = False) -> None:
    """Put the local prepared data into the store, unless it is there already.

    Where another machine published its own at the same time, that is what counts, here too.
    """
    if publish.publish_prepared(twin.store, twin.prepared, twin.stored_prepared, again=again):
        return
    log.warning("%s: another machine prepared it at the same time; taking that", twin.name)
    fetch_prepared(twin)


def fetch_prepared(twin: Twin) -> None:
    """Put the store's prepared data in the place of the local. Raises ArtefactError."""
    with scratch_beside(twin.prepared) as scratch:
        publish.fetch_prepared(twin.store, twin.stored_prepared, scratch)
        place_prepared(scratch, twin.prepared)


def usable(twin: Twin) -> tuple[Manifest, bool]:
    """The manifest of the prepared data, and whether it has to be fetched from the store first.

    Raises ArtefactError when neither has it, when it is not what was sealed, when the store holds
    another preparation, or when the twin's input has changed since.
    """
    in_store = publish.stored_manifest(twin.store, twin.stored_prepared)
    here = (twin.prepared / MANIFEST).exists()
    if here:
        sealed = manifest.read(twin.prepared, twin=twin.name)
    elif in_store is None:
        raise ArtefactError(
            f"{twin.name}: nothing is prepared, here or in the store ({twin.store.url}); "
            f"run: mdth preprocess {twin.name}"
        )
    else:
        sealed = in_store
        manifest.check(sealed, twin=twin.name, where=f"{twin.store.url}/{twin.stored_prepared}")
    if in_store not in (None, sealed):
        raise ArtefactError(
            f"{twin.prepared}: the store holds another preparation; run: mdth preprocess "
            f"{twin.name}, or remove the folder to use the store's"
        )
    check_fresh(twin, sealed["sources"])
    return sealed, not here


def load(folder: Path, sealed: Manifest, engine: Engine) -> tuple[Avatar, Said]:
    """The avatar and the speech that prepared data holds. Raises ArtefactError."""
    speech = Speech.load(manifest.files_of(folder, sealed, AUDIO))
    files = {kind: manifest.files_of(folder, sealed, kind) for kind in (IMAGE, VIDEO)}
    said = Said(_blocks(speech.samples), speech.original, speech.duration_s)
    return engine.load(files), said


def _blocks(samples: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, len(samples), SPEECH_RATE_HZ):
        yield samples[start : start + SPEECH_RATE_HZ]
