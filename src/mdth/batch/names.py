"""Which twins: a list in a file, or all whose id begins with a prefix."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from mdth.config import config
from mdth.errors import InputError, InvalidTwinId, MissingInput
from mdth.storage.layout import TWIN_ID_RULE, is_twin_id
from mdth.storage.store import Store

log = logging.getLogger("mdth")

STDIN = "-"


def read(where: str) -> list[str]:
    """The twins' ids, each once, in the order given.

    where: a file with an id a line ("-" for standard input), else the beginning of the ids of twins
    in the store's `raw`, "" for all of them. Blank lines and what follows a "#" do not count.
    Raises InvalidTwinId naming every line that is no id, MissingInput when there are none,
    InputError for a file that is no text, StorageError.
    """
    if where == STDIN:
        return _listed(sys.stdin, "standard input")
    if not where or not Path(where).is_file():
        return _stored(where)
    try:
        return _listed(Path(where).read_text("utf-8").splitlines(), where)
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{where}: cannot be read as a list of twins ({error})") from error


def _listed(lines: Iterable[str], where: str) -> list[str]:
    words = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    given = [(number, word) for number, word in words if word]
    wrong = [f"line {number}: {ascii(word)}" for number, word in given if not is_twin_id(word)]
    if wrong:
        raise InvalidTwinId(f"{where}: not twin ids: {', '.join(wrong)}; an id has {TWIN_ID_RULE}")
    if not given:
        raise MissingInput(f"{where}: no twin in it; write one id a line")
    return list(dict.fromkeys(word for _, word in given))


def _stored(prefix: str) -> list[str]:
    store = Store(config().store)
    found = [name for name in store.folders("raw") if name.startswith(prefix)]
    twins = [name for name in found if is_twin_id(name)]
    for name in sorted(set(found) - set(twins)):
        log.warning("raw/%s: not a twin's folder, its name is no twin id; left out", ascii(name))
    if not twins:
        raise MissingInput(
            f"{prefix!r}: no list of that name, and no twin in {store.url}/raw begins with it"
        )
    log.info("%d twins in %s/raw begin with %r", len(twins), store.url, prefix)
    return twins
