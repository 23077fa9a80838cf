"""A twin's folders: its input chosen and fetched, its prepared data kept and found again."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from mdth import manifest, record
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Motion, Portrait, Speech
from mdth.config import config
from mdth.errors import ArtefactError, InputError, MissingInput
from mdth.film import Scene
from mdth.media.audio import read_blocks
from mdth.media.image import read_image
from mdth.media.video import probe_video
from mdth.storage import layout
from mdth.storage.choice import Choice, choose
from mdth.storage.store import Store

log = logging.getLogger("mdth")


@dataclass(frozen=True)
class Twin:
    """A twin's id, the store it is kept in and the local tree."""

    name: str
    store: Store
    tree: layout.LocalTree

    @classmethod
    def named(cls, twin_id: str) -> Self:
        """The twin of that id, in the store and home of the settings. Raises InvalidTwinId."""
        layout.check_twin_id(twin_id)
        return cls(twin_id, Store(config().store), layout.LocalTree(config().home))

    @property
    def prepared(self) -> Path:
        """The local folder of its prepared data."""
        return self.tree.processed(self.name)


@dataclass(frozen=True)
class Sources:
    """A twin's input files on this machine, None where there is none, and how they were chosen."""

    audio: Path | None
    image: Path | None
    video: Path | None
    choices: dict[str, Choice]

    @property
    def sound(self) -> Path:
        """The file whose sound is the speech: the audio, else the clip. Raises MissingInput."""
        file = self.audio or self.video
        if file is None:
            raise MissingInput("no sound: give an audio file or a clip that has sound")
        return file

    def described(self) -> dict[str, Any]:
        """The manifest's account of them."""
        files = {layout.AUDIO: self.audio, layout.IMAGE: self.image, layout.VIDEO: self.video}
        return {
            kind: {
                "chosen": record.described(path) if path else None,
                "skipped": [asdict(skipped) for skipped in self.choices[kind].skipped],
            }
            for kind, path in files.items()
        }


def fetch(twin: Twin) -> Sources:
    """Choose one file of each kind in the store and bring it to the local tree.

    Raises MissingInput when there is no face or no sound among them, StorageError.
    """
    choices, files = {}, {}
    for kind in layout.KINDS:
        log.info("%s: choosing among the files of raw/%s/%s", kind, twin.name, kind)
        choices[kind], files[kind] = _fetch_kind(twin, kind)
    if not any(choice.name or choice.skipped for choice in choices.values()):
        raise MissingInput(
            f"{twin.store.url}: no files in raw/{twin.name}; check the twin's id, or put audio, "
            f"image or video there (sample input: mdth sample {twin.name})"
        )
    for what, kind in (("sound", layout.AUDIO), ("face", layout.IMAGE)):
        if files[kind] is None and files[layout.VIDEO] is None:
            raise MissingInput(f"raw/{twin.name}: no {what}; {_why(choices[kind], kind)}")
    return Sources(files[layout.AUDIO], files[layout.IMAGE], files[layout.VIDEO], choices)


def _fetch_kind(twin: Twin, kind: str) -> tuple[Choice, Path | None]:
    """The choice and its local file; whatever else was in the local folder goes."""
    stored, folder = layout.stored_raw(twin.name, kind), twin.tree.raw(twin.name, kind)

    def readable(name: str) -> None:
        path = twin.store.download(f"{stored}/{name}", folder / name)
        try:
            READABLE[kind](path)
        except InputError as error:
            # The reason goes into the manifest, which tells nothing of this machine's folders.
            raise InputError(str(error).removeprefix(f"{path}: ")) from error

    choice = choose(twin.store.files(stored), readable)
    if folder.is_dir():
        for path in folder.iterdir():
            if path.is_file() and path.name != choice.name:
                path.unlink()
    return choice, folder / choice.name if choice.name else None


def _check_sound(path: Path) -> None:
    next(read_blocks(path))


def _check_image(path: Path) -> None:
    read_image(path)


def _check_video(path: Path) -> None:
    probe_video(path)


# Each raises InputError for a file that cannot be used.
READABLE: dict[str, Callable[[Path], None]] = {
    layout.AUDIO: _check_sound,
    layout.IMAGE: _check_image,
    layout.VIDEO: _check_video,
}


def _why(choice: Choice, kind: str) -> str:
    if not choice.skipped:
        return f"put a file into raw/.../{kind} or .../{layout.VIDEO}"
    return "none of its files can be used: " + "; ".join(
        f"{skipped.name}: {skipped.reason}" for skipped in choice.skipped
    )


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder that takes the place of `folder` if all goes well, and goes if not."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as scratch:
        new = Path(scratch, "new")
        new.mkdir()
        yield new
        if folder.exists():
            shutil.rmtree(folder)
        new.replace(folder)


def open_prepared(twin: Twin) -> manifest.Manifest:
    """The manifest of the local prepared data, fetched from the store where it is not there.

    Raises ArtefactError when neither has it, when it is not what was sealed, when the store holds a
    newer preparation, or when the twin's input has changed since.
    """
    stored = layout.stored_processed(twin.name)
    name = f"{stored}/{layout.MANIFEST}"
    in_store = twin.store.read_json(name) if twin.store.exists(name) else None
    if not twin.prepared.exists():
        if in_store is None:
            raise ArtefactError(
                f"{twin.name}: nothing is prepared, here or in the store ({twin.store.url}); "
                f"run: mdth preprocess {twin.name}"
            )
        log.info("fetching the prepared data from the store")
        twin.store.download_folder(stored, twin.prepared)
    sealed = manifest.read(twin.prepared, twin=twin.name)
    if in_store not in (None, sealed):
        raise ArtefactError(
            f"{twin.prepared}: the store holds another preparation; run: mdth preprocess "
            f"{twin.name}, or remove the folder to use the store's"
        )
    for kind in layout.KINDS:
        _check_fresh(twin, kind, sealed["sources"][kind])
    return sealed


def _check_fresh(twin: Twin, kind: str, source: dict[str, Any]) -> None:
    """Refuse input that changed since it was prepared; input that was taken away is no change."""
    files = {file.name: file.size for file in twin.store.files(layout.stored_raw(twin.name, kind))}
    chosen = source["chosen"] or {"name": None, "bytes": 0}
    names = {skipped["name"] for skipped in source["skipped"]} | {chosen["name"]} - {None}
    same = set(files) == names and files.get(chosen["name"], 0) == chosen["bytes"]
    if files and not same:
        raise ArtefactError(
            f"{twin.name}: the {kind} files changed since they were prepared; "
            f"run: mdth preprocess {twin.name}"
        )


def publish_prepared(twin: Twin) -> None:
    """Put the local prepared data into the store, unless it is there already."""
    stored = layout.stored_processed(twin.name)
    sealed = manifest.read(twin.prepared, twin=twin.name)
    name = f"{stored}/{layout.MANIFEST}"
    if twin.store.exists(name) and twin.store.read_json(name) == sealed:
        return
    twin.store.publish(twin.prepared, stored)


def load_scene(folder: Path) -> Scene:
    """The scene that prepared data holds. Raises ArtefactError."""
    speech = Speech.load(folder / layout.AUDIO)
    video = folder / layout.VIDEO
    return Scene(
        portrait=Portrait.load(folder / layout.IMAGE),
        blocks=_blocks(speech.samples),
        sound=speech.original,
        duration_s=speech.duration_s,
        motion=Motion.load(video) if video.is_dir() else None,
    )


def _blocks(samples: FloatArray) -> Iterator[FloatArray]:
    for start in range(0, len(samples), SPEECH_RATE_HZ):
        yield samples[start : start + SPEECH_RATE_HZ]
