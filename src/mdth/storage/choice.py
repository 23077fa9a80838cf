"""Which of several input files is used: the first readable one by natural order of name."""

import logging
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple

from natsort import natsort_keygen, ns

from mdth.errors import InputError
from mdth.storage.plain import Entry

log = logging.getLogger("mdth")

CONTROL = ("Cc", "Cs", "Zl", "Zp")
LONGEST_NAME = 200  # bytes; stores add to them

_natural = natsort_keygen(alg=ns.IGNORECASE)


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


def is_plain(path: str, longest: int = LONGEST_NAME) -> bool:
    """Whether it is names joined by '/' that can be on every disk, of at most `longest` bytes.

    None of them leads elsewhere, and no character is a control character.
    """
    return (
        len(path.encode(errors="replace")) <= longest
        and not {"", ".", ".."} & set(path.split("/"))
        and not any(unicodedata.category(character) in CONTROL for character in path)
    )


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
