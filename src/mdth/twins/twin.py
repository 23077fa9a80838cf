"""A twin's id, the store it is kept in and its folders on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mdth.config import config
from mdth.errors import StorageError
from mdth.files.reading import link_on_the_way
from mdth.files.write import alone, sweep
from mdth.storage import layout
from mdth.storage.store import Store


@dataclass(frozen=True)
class Twin:
    """A twin's id, the store it is kept in and the local tree."""

    name: str
    store: Store
    tree: layout.LocalTree

    @classmethod
    def named(cls, twin_id: str) -> Self:
        """The twin of that id, in the store and home of the settings.

        Raises InvalidTwinId, and StorageError where one of its local folders is a link.
        """
        layout.check_twin_id(twin_id)
        twin = cls(twin_id, Store(config().store), layout.LocalTree(config().home))
        raw = [twin.tree.raw(twin_id, kind) for kind in layout.KINDS]
        for folder in (*raw, twin.prepared, twin.serving):
            above = config().home / folder.relative_to(config().home).parts[0]
            if link := link_on_the_way(above, folder):
                raise StorageError(f"{link}: a link, which is not followed; put the files there")
        return twin

    @property
    def prepared(self) -> Path:
        """The local folder of its prepared data."""
        return self.tree.processed(self.name)

    @property
    def serving(self) -> Path:
        """The local folder of its video."""
        return self.tree.serving(self.name)

    @property
    def stored_prepared(self) -> str:
        """The store's folder of its prepared data."""
        return layout.stored_processed(self.name)

    @property
    def stored_output(self) -> str:
        """The store's folder of its video."""
        return layout.stored_inference(self.name)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other run on this machine works on it; what a stopped one left half-made is gone.

        Inside, what the disk refuses is a StorageError.
        """
        raw = self.tree.raw(self.name, layout.AUDIO).parent
        with alone(self.prepared.parent):
            try:
                sweep([raw, self.prepared.parent, self.serving.parent])
                yield
            except OSError as error:
                raise StorageError(
                    f"{error.filename or self.tree.home}: {error.strerror or error}; free some "
                    "space, or set MDTH_HOME to a folder that can be written"
                ) from error
