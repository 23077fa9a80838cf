"""A twin's input: one readable file of each kind chosen in the store and fetched."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from natsort import natsort_keygen, ns

from mdth import record
from mdth.artefacts import SHORTEST_S, SPEECH_RATE_HZ
from mdth.errors import ArtefactError, InputError, MissingInput
from mdth.files.json import Json
from mdth.media.audio import read_blocks
from mdth.media.image import read_image
from mdth.media.speech import check_length
from mdth.media.video import probe_video
from mdth.storage.layout import AUDIO, IMAGE, KINDS, VIDEO
from mdth.storage.plain import Entry, is_plain
from mdth.twins.twin import Twin

log = logging.getLogger("mdth")

_natural = natsort_keygen(alg=ns.IGNORECASE)


def _check_sound(path: Path) -> None:
    """Raise InputError unless as much decodes as the shortest speech has."""
    count = 0
    for block in read_blocks(path):
        count += len(block)
        if count >= SHORTEST_S * SPEECH_RATE_HZ:
            return
    check_length(count)


# Each raises InputError for a file that cannot be used.
READ: dict[str, Callable[[Path], object]] = {
    AUDIO: _check_sound,
    IMAGE: read_image,
    VIDEO: probe_video,
}


class Skipped(NamedTuple):
    """A file that was not used, and why."""

    name: str
    reason: str


class Choice(NamedTuple):
    """The file that is used, None if no file can be, and all the others."""

    name: str | None
    skipped: tuple[Skipped, ...]


def choose(candidates: Iterable[Entry], readable: Callable[[str], None]) -> Choice:
    """The first readable file by natural order of name, case aside: 2.wav before 10.wav.

    Hidden and empty files are skipped. readable: called with a name, raises InputError when the
    file cannot be used; not called again once a file is chosen.
    """
    chosen: str | None = None
    skipped: list[Skipped] = []
    for candidate in sorted(candidates, key=lambda each: (_natural(each.name), each.name)):
        why = _why_not(candidate, readable, chosen)
        if why:
            skipped.append(Skipped(candidate.name, why))
            log.info("skipped %s: %s", candidate.name, why)
        else:
            chosen = candidate.name
            log.info("using %s", chosen)
    return Choice(chosen, tuple(skipped))


def _why_not(candidate: Entry, readable: Callable[[str], None], chosen: str | None) -> str:
    if candidate.name.startswith("."):
        return "hidden"
    if candidate.is_link:
        return "a link, which is not followed; put the file itself there"
    if set(candidate.name) & set("/\\") or not is_plain(candidate.name):
        return "its name cannot be that of a file everywhere; rename it"
    if candidate.size == 0:
        return "empty"
    if chosen is not None:
        return f"not needed, {chosen} comes first"
    try:
        readable(candidate.name)
    except InputError as error:
        return str(error)
    return ""


@dataclass(frozen=True)
class Sources:
    """A twin's input by kind: files on this machine, None where there is none, and the choices."""

    files: dict[str, Path | None]
    choices: dict[str, Choice]

    @property
    def sound(self) -> Path:
        """The file whose sound is the speech: the audio, else the clip."""
        return next(file for kind in (AUDIO, VIDEO) if (file := self.files[kind]))

    def described(self) -> Json:
        """The manifest's account of them."""
        return {
            kind: {
                "chosen": record.described(path) if path else None,
                "skipped": [skipped._asdict() for skipped in self.choices[kind].skipped],
            }
            for kind, path in self.files.items()
        }


def fetch(twin: Twin, folder: Path | None = None) -> Sources:
    """Choose one file of each kind in the store and bring it here.

    folder: where they go, a folder for each kind, instead of into the twin's local tree. Raises
    MissingInput when there is no face or no sound among them, StorageError.
    """
    choices: dict[str, Choice] = {}
    files: dict[str, Path | None] = {}
    for kind in KINDS:
        choices[kind], files[kind] = _fetch_kind(twin, kind, folder)
    if not any(choice.name or choice.skipped for choice in choices.values()):
        raise MissingInput(
            f"{twin.store.url}: no files in raw/{twin.name}; check the twin's id, or put audio, "
            f"image or video there (sample input: mdth sample {twin.name})"
        )
    for what, kind in (("sound", AUDIO), ("face", IMAGE)):
        if files[kind] is None and files[VIDEO] is None:
            raise MissingInput(f"raw/{twin.name}: no {what}; {_why(choices[kind], kind)}")
    return Sources(files, choices)


def _fetch_kind(twin: Twin, kind: str, instead: Path | None) -> tuple[Choice, Path | None]:
    """The choice and its local file; whatever else was in the local folder goes."""
    stored, folder = twin.raw(kind)
    folder = instead / kind if instead else folder
    log.info("%s: choosing among the files of %s", kind, stored)

    def readable(name: str) -> None:
        path = twin.store.download(f"{stored}/{name}", folder / name)
        try:
            READ[kind](path)
        except InputError as error:
            # The reason goes into the manifest, which tells nothing of this machine's folders.
            raise InputError(str(error).removeprefix(f"{path}: ")) from error

    choice = choose(twin.store.files(stored), readable)
    if folder.is_dir():
        for path in folder.iterdir():
            if path.is_file() and path.name != choice.name:
                path.unlink()
    return choice, folder / choice.name if choice.name else None


def _why(choice: Choice, kind: str) -> str:
    if not choice.skipped:
        return f"put a file into raw/.../{kind} or .../{VIDEO}"
    return "none of its files can be used: " + "; ".join(
        f"{skipped.name}: {skipped.reason}" for skipped in choice.skipped
    )


def check_fresh(twin: Twin, sources: Json) -> None:
    """Refuse input that changed since it was prepared; input that was taken away is no change.

    sources: the manifest's account. Raises ArtefactError, StorageError.
    """
    for kind in KINDS:
        stored, chosen = twin.raw(kind)[0], sources[kind]["chosen"]
        names = {file.name for file in twin.store.files(stored)}
        known = {file["name"] for file in sources[kind]["skipped"]}
        if chosen:
            known.add(chosen["name"])
        same = names == known
        if same and chosen:
            same = twin.store.sha256(f"{stored}/{chosen['name']}") == str(chosen["sha256"])
        if names and not same:
            raise ArtefactError(
                f"{twin.name}: the {kind} files changed since they were prepared; "
                f"run: mdth preprocess {twin.name}"
            )
