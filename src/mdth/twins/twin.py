"""A twin: its id, the store it is kept in, its folders on this machine and what it publishes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from mdth.config import config
from mdth.errors import StorageError
from mdth.files.json import Json
from mdth.files.reading import link_on_the_way
from mdth.files.write import alone, scratch_beside, sweep
from mdth.storage import layout, publish
from mdth.storage.manifest import agrees
from mdth.storage.store import Store

log = logging.getLogger("mdth")


class Publication(NamedTuple):
    """One of a twin's results, in a local folder and in one of the store's.

    read: brings the store's into an empty folder and gives its manifest or record. place: moves it
    from there into the local folder. put: brings the local one into the store. main: the file that
    it is about, if it is one.
    """

    store: Store
    local: Path
    stored: str
    read: Callable[[Store, str, Path], Json | None]
    place: Callable[[Path, Path], None]
    put: Callable[..., bool]
    main: str = ""

    def fetch(self, wanted: Json | None = None) -> bool:
        """Put the store's in the place of the local one, if it is what is wanted; whether it was.

        Raises ArtefactError, StorageError.
        """
        with scratch_beside(self.local) as scratch:
            found = agrees(self.read(self.store, self.stored, scratch), wanted or {})
            if found:
                self.place(scratch, self.local)
            return found

    def publish(self, *, again: bool, known: bool) -> None:
        """Put the local one into the store, unless it is there already, or known to be.

        Where another machine published its own at the same time, that is what counts, here too.
        """
        if not self.put(self.store, self.local, self.stored, again=again, known=known):
            log.warning("%s: another machine made its own meanwhile; taking that", self.stored)
            self.fetch()


@dataclass(frozen=True)
class Twin:
    """A twin's id, the store it is kept in, and the root of the local tree."""

    name: str
    store: Store
    home: Path

    @classmethod
    def named(cls, twin_id: str) -> Self:
        """The twin of that id, in the store and home of the settings.

        Raises InvalidTwinId, and StorageError where one of its local folders is a link.
        """
        twin = cls(layout.check_twin_id(twin_id), Store(config().store), config().home)
        raw = [twin.raw(kind)[1] for kind in layout.KINDS]
        for folder in (*raw, twin.prepared.local, twin.video.local):
            above = twin.home / folder.relative_to(twin.home).parts[0]
            if link := link_on_the_way(above, folder):
                raise StorageError(f"{link}: a link, which is not followed; put the files there")
        return twin

    def raw(self, kind: str) -> tuple[str, Path]:
        """The folders of its input files of a kind: the store's, and where they are fetched to."""
        return f"raw/{self.name}/{kind}", self.home / "warping-data" / self.name / kind

    @property
    def prepared(self) -> Publication:
        """Its prepared data, with a folder per kind and the manifest."""
        local = self.home / "warping-processed" / self.name / "processed" / layout.MODEL
        stored = f"processed/{self.name}/preprocessed/{layout.MODEL}"
        how = publish.fetch_prepared, publish.place_prepared, publish.publish_prepared
        return Publication(self.store, local, stored, *how)

    @property
    def video(self) -> Publication:
        """Its video with record and times."""
        local = self.home / "warping-serving" / self.name / layout.MODEL
        stored = f"inference/{self.name}/{layout.MODEL}"
        how = publish.read_output, publish.place_output, publish.publish_output
        return Publication(self.store, local, stored, *how, layout.OUTPUT)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other run on this machine works on it; what a stopped one left half-made is gone."""
        prepared, serving = self.prepared.local.parent, self.video.local.parent
        with alone(prepared):
            sweep([self.raw(layout.AUDIO)[1].parent, prepared, serving])
            yield
