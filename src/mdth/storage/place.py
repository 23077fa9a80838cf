"""Publications on the local disk: made in a scratch folder, moved in, the list that counts last.

The same orders as in the store (see `mdth.storage.publish`), by renaming. Only for who is alone
with the twin on this machine (`mdth.files.write.alone`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mdth.errors import ArtefactError, StorageError
from mdth.files.write import synced
from mdth.storage.layout import MANIFEST, OUTPUT, RECORD, TIMES
from mdth.storage.sealed import pointed_to, read_json


def place_prepared(new: Path, folder: Path) -> None:
    """Put sealed data in the place of what is in `folder`. Raises ArtefactError, StorageError."""
    manifest = read_json(new / MANIFEST)
    if manifest is None:
        raise ArtefactError(f"{new}: no {MANIFEST}")
    paths = [file.path for file in pointed_to(manifest).values()]
    with _writing(folder):
        for path in [*paths, MANIFEST]:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            synced(new / path).replace(folder / path)
    keep_only(folder, {*paths, MANIFEST})


def keep_only(folder: Path, paths: set[str]) -> None:
    """Delete everything in `folder` but these files."""
    with _writing(folder):
        for path in [path for path in folder.rglob("*") if not path.is_dir()]:
            if path.relative_to(folder).as_posix() not in paths:
                path.unlink()
        for path in [path for path in folder.iterdir() if path.is_dir()]:
            if not any(path.iterdir()):
                path.rmdir()


def place_output(new: Path, folder: Path) -> None:
    """Put a video, its times and its record in the place of what is in `folder`."""
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / RECORD).unlink(missing_ok=True)
        for name in (OUTPUT, TIMES, RECORD):
            synced(new / name).replace(folder / name)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or set "
            "MDTH_HOME"
        ) from error
