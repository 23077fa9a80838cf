"""The seal on a prepared twin: what it was made from, how, and that it is still the same."""

from pathlib import Path
from typing import Any, NamedTuple

from mdth import __version__, engines, record
from mdth.artefacts import Files
from mdth.errors import ArtefactError
from mdth.files.reading import link_on_the_way, sha256
from mdth.storage.layout import KINDS, MANIFEST
from mdth.storage.sealed import Sealed, described, pointed_to, read_json, write_json

# 1: plain names. 2: files carry their content's hash in their name; models and sizes are listed.
FORMAT = 2

Manifest = dict[str, Any]


class Origin(NamedTuple):
    """What prepared data is made from.

    twin: its id. sources: its input files (see `mdth.twins.sources`). settings: the choices.
    models: the networks used and their hashes.
    """

    twin: str
    sources: Manifest
    settings: Manifest
    models: dict[str, str]


def seal(folder: Path, origin: Origin) -> Manifest:
    """Give every file in `folder` its lasting name and write `manifest.json`, the last step."""
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        files[name] = described(name, path)
        path.replace(folder / files[name].path)
    manifest = {
        "format": FORMAT,
        **origin._asdict(),
        "versions": _versions(origin),
        "files": {name: file._asdict() for name, file in files.items()},
    }
    write_json(folder / MANIFEST, manifest)
    return manifest


def read(folder: Path, *, twin: str) -> Manifest:
    """The manifest of a prepared twin whose files are all as they were sealed.

    Files that it does not point to do not count. Raises ArtefactError for another format or twin,
    and for a changed or missing file.
    """
    again = f"run: mdth preprocess {twin}"
    try:
        manifest = read_json(folder / MANIFEST)
    except ArtefactError as error:
        raise ArtefactError(f"{error}; {again}") from error
    if manifest is None:
        raise ArtefactError(f"{folder}: no {MANIFEST}; {again}")
    check(manifest, twin=twin, where=str(folder))
    changed = [name for name, file in pointed_to(manifest).items() if not _as_sealed(folder, file)]
    if changed:
        raise ArtefactError(
            f"{folder}: changed since it was prepared: {', '.join(changed)}; {again}"
        )
    return manifest


def check(manifest: Manifest, *, twin: str, where: str) -> None:
    """Raises ArtefactError unless this version can read it and it is this twin's."""
    again = f"run: mdth preprocess {twin}"
    if manifest.get("format") != FORMAT:
        raise ArtefactError(
            f"{where}: prepared in format {manifest.get('format')!a}, this is mdth {__version__} "
            f"with format {FORMAT}; {again}"
        )
    if manifest.get("twin") != twin:
        raise ArtefactError(
            f"{where}: prepared for the twin {manifest.get('twin')!a}, not {twin!r}; {again}"
        )
    try:
        pointed_to(manifest)
        whole = all(_is_source(manifest["sources"][kind]) for kind in KINDS)
        whole = whole and all(isinstance(manifest[name], dict) for name in ("settings", "models"))
    except (ArtefactError, KeyError, TypeError, AttributeError) as error:
        raise ArtefactError(f"{where}: the manifest is damaged ({error}); {again}") from error
    if not whole:
        raise ArtefactError(f"{where}: the manifest is damaged; {again}")


def _is_source(source: Any) -> bool:
    chosen = source["chosen"]
    return (chosen is None or {"name", "bytes", "sha256"} <= set(chosen)) and all(
        isinstance(skipped["name"], str) for skipped in source["skipped"]
    )


def paths(folder: Path) -> set[str]:
    """The manifest and what it points to, relative to the folder."""
    manifest = read_json(folder / MANIFEST) or {"files": {}}
    return {MANIFEST, *(file.path for file in pointed_to(manifest).values())}


def files_of(folder: Path, manifest: Manifest, kind: str) -> Files:
    """The prepared files of a kind by the name they were saved under."""
    return {
        name.removeprefix(f"{kind}/"): folder / file.path
        for name, file in pointed_to(manifest).items()
        if name.startswith(f"{kind}/")
    }


def is_current(folder: Path, origin: Origin) -> bool:
    """Whether `folder` holds what preparing the same again would give."""
    return current(folder, origin) is not None


def current(folder: Path, origin: Origin) -> Manifest | None:
    """The manifest of what preparing the same again would give, where `folder` holds that."""
    try:
        manifest = read(folder, twin=origin.twin)
    except ArtefactError:
        return None
    return manifest if is_of(manifest, origin) else None


def found(folder: Path) -> Manifest | None:
    """The manifest of a folder where there is one that can be read."""
    try:
        manifest = read_json(folder / MANIFEST)
        pointed_to(manifest or {"files": {}})
    except ArtefactError:
        return None
    return manifest


def is_of(manifest: Manifest, origin: Origin) -> bool:
    """Whether a manifest names this origin and this version of everything."""
    wanted = {"format": FORMAT, **origin._asdict(), "versions": _versions(origin)}
    return {name: manifest.get(name) for name in wanted} == wanted


def _as_sealed(folder: Path, file: Sealed) -> bool:
    path = folder / file.path
    if link_on_the_way(folder, path) is not None:
        return False
    return path.is_file() and path.stat().st_size == file.bytes and sha256(path) == file.sha256


def _versions(origin: Origin) -> dict[str, str]:
    return record.versions(engines.get(origin.settings.get("engine", engines.EMBEDDED)))
