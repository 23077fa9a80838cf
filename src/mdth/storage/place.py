"""Publications on the local disk: made in a scratch folder, moved in, the list that counts last.

The same orders as in the store (see `mdth.storage.publish`), by renaming. Only for who is alone
with the twin on this machine (`mdth.files.write.alone`).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mdth.errors import StorageError
from mdth.files.json import Json, read_json
from mdth.files.write import synced
from mdth.storage.layout import MANIFEST, OUTPUT, RECORD, TIMES
from mdth.storage.manifest import sizes


def place_prepared(new: Path, folder: Path) -> None:
    """Put sealed data in the place of what is in `folder`. Raises ArtefactError, StorageError."""
    manifest = read_json(new / MANIFEST)
    _move(new, folder, sizes(manifest))
    keep_only(folder, manifest)


def keep_only(folder: Path, manifest: Json) -> None:
    """Delete everything in `folder` but a manifest and what it points to."""
    kept = sizes(manifest)
    with _writing(folder):
        for path in [path for path in folder.rglob("*") if not path.is_dir()]:
            if path.relative_to(folder).as_posix() not in kept:
                path.unlink()
        for path in [path for path in folder.iterdir() if path.is_dir()]:
            if not any(path.iterdir()):
                path.rmdir()


def place_output(new: Path, folder: Path) -> None:
    """Put a video, its times and its record in the place of what is in `folder`."""
    with _writing(folder):
        (folder / RECORD).unlink(missing_ok=True)
    _move(new, folder, (OUTPUT, TIMES, RECORD))


def _move(new: Path, folder: Path, paths: Iterable[str]) -> None:
    with _writing(folder):
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            synced(new / path).replace(folder / path)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or set "
            "MDTH_HOME"
        ) from error
