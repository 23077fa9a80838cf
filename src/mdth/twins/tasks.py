"""The two tasks of a twin: preprocess and inference. Each does nothing where all is done."""

import logging
from pathlib import Path
from typing import Unpack

from mdth import devices, engines
from mdth.errors import ArtefactError
from mdth.files.write import scratch_beside
from mdth.film import Progress
from mdth.flow import Clock
from mdth.log.stages import about, size_below, stage
from mdth.options import AUTO, EMBEDDED, SEED, Choices, Options
from mdth.storage.layout import OUTPUT
from mdth.storage.place import keep_only, place_prepared
from mdth.twins import manifest, output, prepared, sources
from mdth.twins.twin import Twin

log = logging.getLogger("mdth")

# The setting of prepared data that is nobody's choice: who read its landmarks.
LANDMARKS = "landmarks"


def preprocess(
    twin_id: str,
    *,
    n_gpus: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Path:
    """Prepare a twin: raw files of the store -> portrait, speech and motion, sealed and published.

    Gives the local folder. What is prepared already, from the same files by content, with the same
    settings, models and versions, is not computed again unless by `force`. Of the choices, `face`
    and `max_size` count here. Raises MdthError.
    """
    prepare_once(twin_id, n_gpus=n_gpus, force=force, progress=progress, **choices)
    return Twin.named(twin_id).prepared


def prepare_once(
    twin_id: str,
    *,
    n_gpus: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> bool:
    """What `preprocess` does; gives whether anything was left to do."""
    twin = Twin.named(twin_id)
    options = engines.resolved(Options(**choices))
    devices.check(n_gpus, used=options.engine == SEED)
    with twin.alone(), about(twin_id):
        with stage("fetch"):
            found = sources.fetch(twin)
        origin = prepared.origin(twin, found, options)
        current = not force and prepared.find(twin, origin)
        if current:
            log.info("%s is prepared already; nothing to do", twin_id)
            keep_only(twin.prepared, manifest.paths(twin.prepared))
        else:
            with scratch_beside(twin.prepared) as scratch:
                prepared.make(found, scratch, options, n_gpus=n_gpus, progress=progress)
                with stage("seal") as sealed:
                    manifest.seal(scratch, origin)
                    sealed.add(size_below(scratch))
                place_prepared(scratch, twin.prepared)
        with stage("publish"):
            prepared.publish_prepared(twin, again=force)
    return not current


def inference(
    twin_id: str,
    *,
    n_gpus: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Path:
    """Film a prepared twin: `output.mp4` and its record, locally and in the store.

    Gives the local mp4. The same prepared data, settings, models and versions are not filmed again
    unless by `force`. Raises MdthError: ArtefactError when the prepared data is stale or foreign.
    """
    film_once(twin_id, n_gpus=n_gpus, force=force, progress=progress, **choices)
    return Twin.named(twin_id).serving / OUTPUT


def film_once(
    twin_id: str,
    *,
    n_gpus: int = 1,
    force: bool = False,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> bool:
    """What `inference` does; gives whether anything was left to do."""
    twin, clock = Twin.named(twin_id), Clock()
    with twin.alone(), about(twin_id):
        with clock.stage("prepare"), stage("fetch"):
            sealed = prepared.open_prepared(twin)
        options = with_settings(sealed, choices)
        devices.check(n_gpus, used=options.engine == SEED)
        wanted = output.made_from(sealed, options)
        found = not force and output.find(twin, wanted)
        if found:
            log.info("%s has this video already; nothing to do", twin_id)
        else:
            output.film(twin, wanted, sealed, clock=clock, n_gpus=n_gpus, progress=progress)
        with stage("upload"):
            output.publish_output(twin, again=force)
    return not found


def with_settings(sealed: manifest.Manifest, choices: Choices) -> Options:
    """The choices, and those the twin was prepared with. Raises ArtefactError, InputError."""
    asked, prepared_for = choices.get("engine", AUTO), sealed["settings"].get("engine", EMBEDDED)
    try:
        settings = {name: value for name, value in sealed["settings"].items() if name != LANDMARKS}
        options = Options(**{**settings, **choices, "engine": prepared_for})
    except TypeError as error:
        raise ArtefactError(f"the manifest's settings cannot be used ({error})") from error
    if asked not in (AUTO, options.engine):
        raise ArtefactError(
            f"{sealed['twin']}: prepared for the engine {options.engine!r}, not {asked!r}; "
            f"run: mdth preprocess {sealed['twin']} --engine {asked}"
        )
    return engines.resolved(options)
