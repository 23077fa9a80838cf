"""A twin's prepared data: made, published, opened again.

Another engine's prepared data goes into the same folder and under the same manifest: files of its
own names below audio, image or video, written by `make`, and read by its own scene.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mdth import record
from mdth.artefacts import (
    SPEECH_RATE_HZ,
    Files,
    FloatArray,
    Motion,
    Portrait,
    Speech,
    original_name,
)
from mdth.errors import ArtefactError
from mdth.face import glasses
from mdth.files import assets
from mdth.files.write import scratch_beside
from mdth.film import SEGMENTER, TRACKER, Progress, Scene
from mdth.log.stages import size_below, stage
from mdth.media.speech import prepare_speech
from mdth.options import SEED, Options
from mdth.scene import find_face, find_motion
from mdth.seed import artefacts as seed_artefacts
from mdth.seed.files import seed_files
from mdth.storage import publish
from mdth.storage.layout import AUDIO, IMAGE, MANIFEST, VIDEO
from mdth.storage.place import place_prepared
from mdth.twins import manifest
from mdth.twins.sources import Sources, check_fresh
from mdth.twins.twin import Twin

if TYPE_CHECKING:
    from mdth.seed.engine import SeedScene

log = logging.getLogger("mdth")


def origin(twin: Twin, sources: Sources, options: Options) -> manifest.Origin:
    """What preparing these files with these options is determined by, versions apart."""
    settings = {"face": options.face, "max_size": options.max_size, "engine": options.engine}
    if options.engine == SEED:
        from mdth.seed import landmarks

        settings["landmarks"] = landmarks.reader_name()
    return manifest.Origin(twin.name, sources.described(), settings, record.hashes(models(options)))


def models(options: Options) -> list[Path]:
    """The networks' files that preparing reads. Raises CheckpointError."""
    ours = [assets.path(TRACKER), assets.path(SEGMENTER), glasses.WEIGHTS]
    if options.engine != SEED:
        return ours
    from mdth.seed import landmarks

    return [*ours, *seed_files().for_preparing(), *landmarks.reader_files()]


def names(sources: Sources, options: Options) -> list[str]:
    """The files that `make` writes."""
    seed = options.engine == SEED
    clip = seed_artefacts.CLIP if seed else "motion.npz"
    still = [seed_artefacts.PICTURE, seed_artefacts.STILL] if seed else []
    return [
        f"{AUDIO}/{original_name(sources.sound)}",
        f"{AUDIO}/speech.npy",
        *(f"{IMAGE}/{name}" for name in ("person.png", "portrait.npz", "portrait.png", *still)),
        *([f"{VIDEO}/{clip}"] if sources.video else []),
    ]


def make(
    sources: Sources, folder: Path, options: Options, *, n_gpus: int, progress: Progress | None
) -> None:
    """Prepare into an empty folder, with a folder for each kind. Raises InputError."""
    with stage("prepare speech") as told:
        prepare_speech(sources.sound, folder / AUDIO)
        told.add(size_below(folder / AUDIO))
    portrait = find_face(sources.image, sources.video, options)
    portrait.save(folder / IMAGE)
    if options.engine == SEED:
        from mdth.seed import engine as seed_engine

        scene = seed_engine.prepare(portrait, sources.video, n_gpus=n_gpus, progress=progress)
        scene.save(folder / IMAGE, folder / VIDEO)
    elif sources.video:
        find_motion(sources.video, progress).save(folder / VIDEO)


def publish_prepared(twin: Twin, *, again: bool = False) -> None:
    """Put the local prepared data into the store, unless it is there already.

    Where another machine published its own at the same time, that is what counts, here too.
    """
    if publish.publish_prepared(twin.store, twin.prepared, twin.stored_prepared, again=again):
        return
    log.warning("%s: another machine prepared it at the same time; taking that", twin.name)
    fetch_prepared(twin)


def find(twin: Twin, wanted: manifest.Origin) -> bool:
    """Whether what preparing would give is here; it is fetched where only the store has it."""
    if manifest.is_current(twin.prepared, wanted):
        return True
    in_store = publish.stored_manifest(twin.store, twin.stored_prepared)
    if in_store is None or not manifest.is_of(in_store, wanted):
        return False
    log.info("fetching the prepared data from the store")
    try:
        fetch_prepared(twin)
    except ArtefactError as error:
        log.info("preparing anew: %s", error)
        return False
    return manifest.is_current(twin.prepared, wanted)


def fetch_prepared(twin: Twin) -> None:
    """Put the store's prepared data in the place of the local. Raises ArtefactError."""
    with scratch_beside(twin.prepared) as scratch:
        publish.fetch_prepared(twin.store, twin.stored_prepared, scratch)
        place_prepared(scratch, twin.prepared)


def open_prepared(twin: Twin) -> manifest.Manifest:
    """The manifest of the local prepared data, fetched from the store where it is not there.

    Raises ArtefactError when neither has it, when it is not what was sealed, when the store holds
    another preparation, or when the twin's input has changed since.
    """
    in_store = publish.stored_manifest(twin.store, twin.stored_prepared)
    if not (twin.prepared / MANIFEST).exists():
        if in_store is None:
            raise nothing_is_prepared(twin)
        manifest.check(in_store, twin=twin.name, where=f"{twin.store.url}/{twin.stored_prepared}")
        log.info("fetching the prepared data from the store")
        fetch_prepared(twin)
    sealed = manifest.read(twin.prepared, twin=twin.name)
    check_usable(twin, sealed, in_store)
    return sealed


def nothing_is_prepared(twin: Twin) -> ArtefactError:
    """What to say where neither this machine nor the store has prepared data."""
    return ArtefactError(
        f"{twin.name}: nothing is prepared, here or in the store ({twin.store.url}); "
        f"run: mdth preprocess {twin.name}"
    )


def check_usable(twin: Twin, sealed: manifest.Manifest, in_store: manifest.Manifest | None) -> None:
    """Refuse prepared data that is not the store's, or not of the input that is there now."""
    if in_store not in (None, sealed):
        raise ArtefactError(
            f"{twin.prepared}: the store holds another preparation; run: mdth preprocess "
            f"{twin.name}, or remove the folder to use the store's"
        )
    check_fresh(twin, sealed["sources"])


def load_scene(folder: Path, sealed: dict[str, Any]) -> Scene:
    """The scene that prepared data holds. Raises ArtefactError."""
    speech = Speech.load(manifest.files_of(folder, sealed, AUDIO))
    image, video = (manifest.files_of(folder, sealed, kind) for kind in (IMAGE, VIDEO))
    seed = sealed["settings"].get("engine") == SEED
    return Scene(
        portrait=Portrait.load(image),
        blocks=_blocks(speech.samples),
        sound=speech.original,
        duration_s=speech.duration_s,
        motion=Motion.load(video) if video and not seed else None,
        seed=_load_seed(image, video) if seed else None,
    )


def _load_seed(image: Files, video: Files) -> "SeedScene":
    from mdth.seed.engine import SeedScene

    return SeedScene.load(image, video)


def _blocks(samples: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, len(samples), SPEECH_RATE_HZ):
        yield samples[start : start + SPEECH_RATE_HZ]
