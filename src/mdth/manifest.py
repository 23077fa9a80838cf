"""The seal on a prepared twin: what it was made from, how, and that it is still the same."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from mdth import __version__, record
from mdth.errors import ArtefactError
from mdth.storage.layout import MANIFEST as NAME

FORMAT = 1

Manifest = dict[str, Any]


class Origin(NamedTuple):
    """What prepared data is made from: the twin's id, its sources (see `twins`), the settings."""

    twin: str
    sources: Manifest
    settings: Manifest


def seal(folder: Path, origin: Origin) -> Manifest:
    """Write `manifest.json` over everything in `folder`; the last step of preparing."""
    manifest = {
        "format": FORMAT,
        **origin._asdict(),
        "versions": record.versions(),
        "files": _hashes(folder),
    }
    record.write(folder / NAME, manifest)
    return manifest


def read(folder: Path, *, twin: str) -> Manifest:
    """The manifest of a prepared twin whose files are all as they were sealed.

    Raises ArtefactError for another format or twin, and for a changed, missing or added file.
    """
    again = f"run: mdth preprocess {twin}"
    try:
        manifest = json.loads((folder / NAME).read_text("utf-8"))
        found = manifest["format"], manifest["twin"], manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(f"{folder}: no usable {NAME} ({error}); {again}") from error
    if found[0] != FORMAT:
        raise ArtefactError(
            f"{folder}: prepared in format {found[0]}, this is mdth {__version__} with format "
            f"{FORMAT}; {again}"
        )
    if found[1] != twin:
        raise ArtefactError(f"{folder}: prepared for the twin {found[1]!r}, not {twin!r}; {again}")
    here = _hashes(folder)
    changed = sorted(name for name in {*here, *found[2]} if here.get(name) != found[2].get(name))
    if changed:
        raise ArtefactError(
            f"{folder}: changed since it was prepared: {', '.join(changed)}; {again}"
        )
    return dict(manifest)


def is_current(folder: Path, origin: Origin) -> bool:
    """Whether `folder` holds what preparing the same again would give."""
    try:
        manifest = read(folder, twin=origin.twin)
    except ArtefactError:
        return False
    then = manifest["sources"], manifest["settings"], manifest["versions"]
    return bool(then == (origin.sources, origin.settings, record.versions()))


def _hashes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): record.sha256(path) for path in files}
