"""Which engine makes a video: asked here, and nowhere else.

An engine of another package is found by its entry point in the group `mdth.engines`: its name, and
a class or function that gives an `mdth.engine.Engine`.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mdth import devices
from mdth.artefacts import loading
from mdth.engine import IMAGE, VIDEO, Avatar, Engine, Need, Progress, speaking
from mdth.errors import CheckpointError, InputError, MissingDependency, StorageError
from mdth.files.json import read_json, write_json
from mdth.files.write import scratch_beside
from mdth.options import AUTO, KEEP_CLIP, Options

if TYPE_CHECKING:
    from mdth.artefacts import FloatArray
    from mdth.media.film import Film
    from mdth.media.film_writer import FilmWriter

log = logging.getLogger("mdth")

GROUP = "mdth.engines"
EMBEDDED, SEED = "embedded", "seed"
OWN = {EMBEDDED: "mdth.embedded.engine:Embedded", SEED: "mdth.seed.engine:Seed"}
# What auto tries, the best first; the last one needs nothing that its owner alone has.
BY_QUALITY = (SEED, EMBEDDED)

# Says of a folder that it is an avatar, and whose.
SAVED = "avatar.json"


class Dubbing(Protocol):
    """A clip that says one speech. film: the clip."""

    film: "Film"

    def write(
        self, blocks: "Iterable[FloatArray]", sink: "FilmWriter", progress: Progress | None
    ) -> int:
        """Write all frames of a speech in blocks, and say how many. Raises SpeechTooShort."""

    def close(self) -> None:
        """End it, also in the middle."""


@runtime_checkable
class Dubber(Protocol):
    """What an engine has besides `Engine` that lets clips speak.

    Its avatars of clips that were kept say so: `keeps_clip` is true.
    """

    def dub(
        self, avatar: Avatar, options: Options, *, length_s: float | None, pool: Executor | None
    ) -> Dubbing:
        """A kept clip says a speech of that length, where it is known. Raises as `open` does."""


_lock = threading.Lock()
_engines: dict[str, Engine] = {}


def names() -> list[str]:
    """All engines that are installed, our own first."""
    return list(_installed())


def get(name: str) -> Engine:
    """The engine of that name, one in a process until `forget`. Raises InputError."""
    with _lock:
        if name not in _engines:
            installed = _installed()
            if name not in installed:
                raise InputError(f"engine {name!r}: choose one of {AUTO}, {', '.join(installed)}")
            _engines[name] = installed[name].load()()
        return _engines[name]


def forget() -> None:
    """Drop all engines with the networks and renderers that they keep."""
    with _lock:
        for engine in _engines.values():
            engine.close()
        _engines.clear()


def choose(options: Options, *stages: str) -> Engine:
    """The engine that was asked for, or the one that "auto" stands for; the log says which and why.

    stages: in which it has to be able, all by default; "auto" asks for all. Raises InputError,
    CheckpointError naming every missing file and MissingDependency naming the extra, where an
    engine asked for by name cannot dub or run; DeviceError for too many GPUs.
    """
    name = options.engine.engine
    if options.portrait.keep == KEEP_CLIP:
        name = EMBEDDED if name == AUTO else name
        if not isinstance(get(name), Dubber):
            raise InputError(f"the engine {name} cannot dub: it keeps no clip; take {EMBEDDED}")
    if options.engine.n_gpus > 1:
        devices.check(options.engine.n_gpus)
    engine = _best(options) if name == AUTO else _able(get(name), options, stages)
    for idle in options.idle(engine.name):
        log.warning("%s does nothing for the engine %s", idle.replace("_", " "), engine.name)
    return engine


def of(avatar: Avatar, options: Options) -> Engine:
    """The engine that prepared an avatar. Raises InputError where another one is asked for."""
    if not hasattr(avatar, "engine"):
        raise InputError(f"{avatar!r}: is no avatar; give what mdth.prepare gives")
    if options.engine.engine not in (AUTO, avatar.engine):
        raise InputError(
            f"the avatar was prepared for the engine {avatar.engine}, not {options.engine.engine}; "
            "prepare it again for that one"
        )
    own = replace(options, engine=replace(options.engine, engine=avatar.engine))
    engine = choose(own, *stages_of(avatar))
    if options.portrait.keep == KEEP_CLIP and not dubber(engine, avatar):
        raise InputError("the avatar has no clip to dub; prepare it anew with keep clip, or talk")
    return engine


def stages_of(avatar: Avatar) -> tuple[str, ...]:
    """What is still to be done with an avatar."""
    return speaking(clip=getattr(avatar, "clip", None) is not None)


def dubber(engine: Engine, avatar: Avatar) -> Dubber | None:
    """The engine, where it is to dub what it prepared."""
    kept = getattr(avatar, "keeps_clip", False)
    return engine if kept and isinstance(engine, Dubber) else None


def save(avatar: Avatar, folder: Path) -> None:
    """Write an avatar as a folder, which `load` reads; an older one there is replaced.

    Raises InputError for a place that is taken, StorageError.
    """
    if folder.exists() and not is_saved(folder):
        raise InputError(f"{folder}: is there already and no avatar; choose another name")
    try:
        with scratch_beside(folder) as scratch:
            avatar.save(scratch / folder.name)
            write_json(scratch / folder.name / SAVED, {"format": 1, "engine": avatar.engine})
            if folder.exists():
                folder.rename(scratch / "before")
            (scratch / folder.name).rename(folder)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "free some space or choose another place"
        ) from error


def is_saved(path: Path) -> bool:
    """Whether a path is what `save` wrote."""
    return (path / SAVED).is_file()


def load(folder: Path) -> Avatar:
    """What `save` wrote. Raises ArtefactError."""
    with loading(folder, "no avatar") as files:
        engine = read_json(files[SAVED])["engine"]
    kinds = {kind: folder / kind for kind in (IMAGE, VIDEO)}
    found = {
        kind: {path.name: path for path in below.iterdir()} if below.is_dir() else {}
        for kind, below in kinds.items()
    }
    return get(str(engine)).load(found)


def problems(needs: Sequence[Need]) -> list[Need]:
    """Those that are not met."""
    return [need for need in needs if need.problem]


def _able(engine: Engine, options: Options, stages: Sequence[str]) -> Engine:
    missing = [
        need
        for need in problems(engine.needs(options))
        if not stages or not need.stages.isdisjoint(stages)
    ]
    files = [need for need in missing if need.path]
    if files:
        mends = "; ".join(dict.fromkeys(need.mend for need in files))
        said = "; ".join(need.problem for need in files)
        raise CheckpointError(f"the engine {engine.name}: {said}; {mends}")
    if missing:
        packages = ", ".join(need.name for need in missing)
        raise MissingDependency(
            f"the engine {engine.name} needs {packages}; run: {missing[0].mend}"
        )
    return engine


def _best(options: Options) -> Engine:
    """The best engine that has all it needs; the last one whether it has or not."""
    *better, last = map(get, BY_QUALITY)
    shared = {need[:2] for need in last.needs(options)}
    for engine in better:
        own = [need for need in engine.needs(options) if need[:2] not in shared]
        missing = problems(own)
        if not missing:
            log.info("engine: %s, as all that it needs is here", engine.name)
            return engine
        files = [need for need in own if need.path]
        lacking = [need for need in missing if need.path]
        if len(lacking) == len(files):
            continue  # nobody meant it to be taken
        if lacking:
            said = f"{len(lacking)} of {len(files)} files are missing (see: mdth doctor)"
        else:
            packages = ", ".join(need.name for need in missing)
            said = f"its files are here, but it needs {packages}; run: {missing[0].mend}"
        log.warning("engine: %s, not %s: %s", last.name, engine.name, said)
    return last


def _installed() -> dict[str, EntryPoint]:
    """Where each engine is, by its name."""
    own = [EntryPoint(name, where, GROUP) for name, where in OWN.items()]
    return {point.name: point for point in (*own, *entry_points(group=GROUP))}
