"""A twin's prepared data: its speech and its avatar, made once, published, opened again."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mdth import engines, record
from mdth.artefacts import original_name
from mdth.engine import PREPARE, Avatar, Engine, Progress, Source
from mdth.errors import ArtefactError, MissingInput
from mdth.files.json import Json, read_json
from mdth.log.stages import size_below, stage
from mdth.media.speech import prepare_speech
from mdth.options import KEEP_CLIP, Options
from mdth.storage import manifest, publish
from mdth.storage.layout import AUDIO, IMAGE, MANIFEST, VIDEO
from mdth.twins.plan import Plan, Sizes, Step
from mdth.twins.sources import check_fresh, fetch
from mdth.twins.twin import Twin

WHY_CHOSEN = "the first that can be read, by natural order of name"
# In the place of what only the content will tell.
HASH = "HASH"


class Preparing(Plan):
    """The plan of `preprocess`."""

    already, last_stage, stages = "is prepared", "publish", (PREPARE,)

    def __init__(
        self, twin: Twin, options: Options, *, force: bool = False, folder: Path | None = None
    ) -> None:
        """Fetch the input and decide what is left to do.

        folder: where they go, a folder for each kind, instead of into the twin's local tree. Raises
        MissingInput, StorageError, CheckpointError.
        """
        self.twin, self.target, self.options, self.again = twin, twin.prepared, options, force
        engine = self.engine = engines.choose(options)
        with stage("fetch"):
            self.found = fetch(twin, folder)
        self.wanted = {
            "format": manifest.FORMAT,
            "twin": twin.name,
            "sources": self.found.described(),
            "settings": {**options.settings(engine.name, ("portrait",)), **engine.traits()},
            "models": record.models(engine, options, PREPARE),
            "versions": record.versions(engine),
        }
        if force:
            return
        store, local, stored = self.target[:3]
        with suppress(ArtefactError):
            found = manifest.read(local, twin=twin.name)
            self.here = found if manifest.agrees(found, self.wanted) else None
        if self.here is None:
            in_store = publish.stored_manifest(store, stored)
            self.stored = in_store if manifest.agrees(in_store, self.wanted) else None
        elif publish.is_published(store, self.here, stored):
            self.stored = self.here

    @property
    def _source(self) -> Source:
        files, keep = self.found.files, self.options.portrait.keep == KEEP_CLIP
        if keep and files[VIDEO] is None:
            raise MissingInput(f"{self.twin.name}: no clip to keep; put one into its folder video")
        return Source(files[IMAGE], files[VIDEO], keep)

    def sizes(self) -> Sizes:
        """The files that preparing writes, as far as their names are known."""
        if known := self.here or self.stored:
            return manifest.sizes(known)
        own = self.engine.saved(self._source)
        names = [f"{AUDIO}/{original_name(self.found.sound)}", *own]
        return dict.fromkeys([*(manifest.hashed(name, HASH) for name in names), MANIFEST])

    def reads(self) -> Iterator[Step]:
        """What is fetched and skipped, and what goes into the local tree."""
        for kind, path in self.found.files.items():
            stored, local = self.twin.raw(kind)
            if path:
                size = path.stat().st_size
                yield Step("read", "store", f"{stored}/{path.name}", size, WHY_CHOSEN)
                yield Step("write", "local", str(local / path.name), size)
            for skipped in self.found.choices[kind].skipped:
                yield Step("skip", "store", f"{stored}/{skipped.name}", None, skipped.reason)

    def removes(self) -> Iterator[Step]:
        """What is replaced here, and what was replaced in the store a day ago."""
        made, why = self.sizes(), "" if self.stored else "unless its content comes out the same"
        there: Sizes = {}
        if self.here is None:
            with suppress(ArtefactError):
                there = manifest.sizes(read_json(self.target.local / MANIFEST))
        for path in there:
            if path not in made:
                yield Step("remove", "local", f"{self.target.local}/{path}", None, why)
        for path in publish.forgotten(self.target.store, self.target.stored):
            yield Step("remove", "store", f"{self.target.stored}/{path}")

    def run(self, progress: Progress | None = None) -> bool:
        """Prepare, unless it is here or in the store, and publish. Raises MdthError."""
        if self.here is not None:
            publish.keep_only(self.target.local, self.here)
        return super().run(progress)

    def make(self, folder: Path, progress: Progress | None) -> None:
        """Prepare into an empty folder, with a folder for each kind, and seal it."""
        with stage("prepare speech") as told:
            prepare_speech(self.found.sound, folder / AUDIO)
            told.add(size_below(folder / AUDIO))
        self.engine.prepare(self._source, self.options, progress=progress).save(folder)
        with stage("seal") as told:
            manifest.seal(folder, self.wanted)
            told.add(size_below(folder))


def usable(twin: Twin) -> tuple[Json, bool]:
    """The manifest of the prepared data, and whether it has to be fetched from the store first.

    Raises ArtefactError when neither has it, when it is not what was sealed, when the store holds
    another preparation, or when the twin's input has changed since.
    """
    store, local, stored = twin.prepared[:3]
    in_store = publish.stored_manifest(store, stored)
    here = (local / MANIFEST).exists()
    if here:
        sealed = manifest.read(local, twin=twin.name)
    elif in_store is None:
        raise ArtefactError(
            f"{twin.name}: nothing is prepared, here or in the store ({store.url}); "
            f"run: mdth preprocess {twin.name}"
        )
    else:
        sealed = in_store
        manifest.check(sealed, twin=twin.name, where=f"{store.url}/{stored}")
    if in_store not in (None, sealed):
        raise ArtefactError(
            f"{local}: the store holds another preparation; run: mdth preprocess "
            f"{twin.name}, or remove the folder to use the store's"
        )
    check_fresh(twin, sealed["sources"])
    return sealed, not here


def load(folder: Path, sealed: Json, engine: Engine) -> tuple[Avatar, Path]:
    """The avatar and the speech that prepared data holds. Raises ArtefactError."""
    sounds = manifest.files_of(folder, sealed, AUDIO)
    originals = [path for name, path in sounds.items() if name.startswith("original")]
    if not originals:
        raise ArtefactError(f"{folder}: the sound is missing; preprocess again")
    files = {kind: manifest.files_of(folder, sealed, kind) for kind in (IMAGE, VIDEO)}
    return engine.load(files), originals[0]
