"""A twin's input: one readable file of each kind chosen in the store and fetched."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mdth import record
from mdth.errors import ArtefactError, InputError, MissingInput
from mdth.media.audio import read_blocks
from mdth.media.image import read_image
from mdth.media.video import probe_video
from mdth.storage import layout
from mdth.storage.choice import Choice, choose
from mdth.twins.twin import Twin

log = logging.getLogger("mdth")


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


def fetch(twin: Twin, folder: Callable[[str], Path] | None = None) -> Sources:
    """Choose one file of each kind in the store and bring it here.

    folder: where the files of a kind go, into the twin's local tree unless it is given. Raises
    MissingInput when there is no face or no sound among them, StorageError.
    """
    choices, files = {}, {}
    for kind in layout.KINDS:
        log.info("%s: choosing among the files of raw/%s/%s", kind, twin.name, kind)
        target = folder(kind) if folder else twin.tree.raw(twin.name, kind)
        choices[kind], files[kind] = _fetch_kind(twin, kind, target)
    if not any(choice.name or choice.skipped for choice in choices.values()):
        raise MissingInput(
            f"{twin.store.url}: no files in raw/{twin.name}; check the twin's id, or put audio, "
            f"image or video there (sample input: mdth sample {twin.name})"
        )
    for what, kind in (("sound", layout.AUDIO), ("face", layout.IMAGE)):
        if files[kind] is None and files[layout.VIDEO] is None:
            raise MissingInput(f"raw/{twin.name}: no {what}; {_why(choices[kind], kind)}")
    return Sources(files[layout.AUDIO], files[layout.IMAGE], files[layout.VIDEO], choices)


def _fetch_kind(twin: Twin, kind: str, folder: Path) -> tuple[Choice, Path | None]:
    """The choice and its local file; whatever else was in the local folder goes."""
    stored = layout.stored_raw(twin.name, kind)

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


def check_fresh(twin: Twin, sources: dict[str, Any]) -> None:
    """Refuse input that changed since it was prepared; input that was taken away is no change.

    sources: the manifest's account. Raises ArtefactError, StorageError.
    """
    for kind in layout.KINDS:
        stored = twin.store.files(layout.stored_raw(twin.name, kind))
        files = {file.name: file.size for file in stored}
        chosen = sources[kind]["chosen"] or {"name": None, "bytes": 0}
        skipped = {file["name"] for file in sources[kind]["skipped"]}
        names = skipped | {chosen["name"]} - {None}
        same = set(files) == names and files.get(chosen["name"], 0) == chosen["bytes"]
        if files and not same:
            raise ArtefactError(
                f"{twin.name}: the {kind} files changed since they were prepared; "
                f"run: mdth preprocess {twin.name}"
            )
