"""A task of a twin, planned: what it would read and write, and the work itself."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from mdth.engine import Engine, Progress
from mdth.errors import ArtefactError
from mdth.files.json import Json
from mdth.files.write import scratch_beside
from mdth.log.stages import stage
from mdth.options import Options
from mdth.storage.faults import NotWhole
from mdth.twins.twin import Publication, Twin

log = logging.getLogger("mdth")

# Paths and their sizes in bytes, None where those are not known.
Sizes = Mapping[str, int | None]


class Step(NamedTuple):
    """One file: `what` is read, skip, write or remove; `where` a path of `place`, store or local.

    size: bytes, None where that shows only when it is made. why: a remark, may be empty.
    """

    what: str
    place: str
    where: str
    size: int | None = None
    why: str = ""

    def __str__(self) -> str:
        told = f"{self.what:6} {self.place:5} {self.where}"
        if self.what not in ("skip", "remove"):
            told += f"  {'?' if self.size is None else self.size} bytes"
        return f"{told}  ({self.why})" if self.why else told


class Plan(ABC):
    """What is decided once; `steps` tells it and `run` does it.

    target: what is made. stages: the engine's, for that. wanted: what that is determined by. here,
    stored: the manifest or record of such a result, where there is one, whole, and nothing is to be
    repeated. again: the store's is replaced whatever it is.
    """

    twin: Twin
    target: Publication
    engine: Engine
    options: Options
    stages: tuple[str, ...]
    wanted: Json
    here: Json | None = None
    stored: Json | None = None
    again: bool

    # What is said where all is done; the stage of putting it into the store.
    already: ClassVar[str]
    last_stage: ClassVar[str]

    def steps(self) -> list[Step]:
        """Every file that `run` would read, skip, write or remove; changes nothing."""
        made, steps = self.sizes(), list(self.reads())
        if self.here is None:
            if self.stored is None:
                steps += _needed(self.engine, self.options, self.stages)
            else:
                steps += files("read", "store", self.target.stored, made)
            steps += files("write", "local", self.target.local, made)
        if self.stored is None:
            steps += files("write", "store", self.target.stored, made)
        return [*steps, *self.removes()]

    @abstractmethod
    def sizes(self) -> Sizes:
        """What is made."""

    @abstractmethod
    def reads(self) -> Iterator[Step]:
        """What comes before it is made."""

    def removes(self) -> Iterator[Step]:
        """What goes in the end."""
        yield from ()

    @abstractmethod
    def make(self, folder: Path, progress: Progress | None) -> None:
        """Fill an empty folder. Raises MdthError."""

    def run(self, progress: Progress | None = None) -> bool:
        """Make it, unless it is here or in the store, and publish; whether it was made.

        Raises MdthError.
        """
        done = self.here is None and not (self.stored is not None and self._fetched())
        if done:
            with scratch_beside(self.target.local) as scratch:
                self.make(scratch, progress)
                self.target.place(scratch, self.target.local)
        else:
            log.info("%s %s already; nothing to do", self.twin.name, self.already)
        with stage(self.last_stage):
            self.target.publish(again=self.again, known=self.stored is not None and not done)
        return done

    def _fetched(self) -> bool:
        log.info("fetching it from the store")
        try:
            return self.target.fetch(self.wanted)
        except (ArtefactError, NotWhole) as error:
            log.warning("making it anew: %s", error)
            return False


def files(what: str, place: str, folder: object, sizes: Sizes) -> Iterator[Step]:
    """A step for each file of a folder."""
    for path, size in sizes.items():
        yield Step(what, place, f"{folder}/{path}", size)


def _needed(engine: Engine, options: Options, stages: tuple[str, ...]) -> Iterator[Step]:
    """The files that an engine reads in these stages."""
    for need in engine.needs(options):
        if need.path and not need.stages.isdisjoint(stages):
            size = need.path.stat().st_size if need.path.exists() else None
            yield Step("read", "local", str(need.path), size)
