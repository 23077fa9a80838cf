"""The two lists that vouch for files, and the one place that knows their form.

`manifest.json` says what prepared data was made from, and points to its files, which carry their
content's hash in their name: `image/person.png` lies in `image/person-1f0c2a9b77de.png`, so that a
new version can be put beside an old one. `output.json`, the record, says what made the video beside
it, with its hash; `times.json` how long it took. What is not vouched for does not count.
"""

import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mdth import __version__
from mdth.artefacts import Files
from mdth.errors import ArtefactError
from mdth.files.json import Json, as_json, read_json, write_json
from mdth.files.reading import link_on_the_way, sha256
from mdth.storage.layout import KINDS, MANIFEST, OUTPUT, RECORD, TIMES

# 1: plain names. 2: files carry their content's hash in their name; models and sizes are listed.
FORMAT = 2
# Hexadecimal digits of a SHA-256 in a file's name: 48 bits, the whole hash is in the manifest.
DIGITS = 12

_NAME = re.compile(rf"({'|'.join(KINDS)})/[^./\\][^/\\]*")
_SHA256 = re.compile("[0-9a-f]{64}")


class Sealed(NamedTuple):
    """A data file: where it lies, relative to the manifest, its size and its SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, name: str, file: Path) -> "Sealed":
        """How a list points to a file that is known as `name`."""
        digest = sha256(file)
        return cls(hashed(name, digest), file.stat().st_size, digest)

    def is_in(self, folder: Path) -> bool:
        """Whether the file is there as it was sealed."""
        path = folder / self.path
        if link_on_the_way(folder, path) is not None or not path.is_file():
            return False
        return path.stat().st_size == self.bytes and sha256(path) == self.sha256


def hashed(name: str, digest: str) -> str:
    """The path of the file `name` with the content of that hash."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{digest[:DIGITS]}{path.suffix}"))


def seal(folder: Path, wanted: Json) -> Json:
    """Give every file in `folder` its lasting name and write `manifest.json`, the last step.

    wanted: what it says beside its files: "format", the "twin", its "sources" (input files, see
    `mdth.twins.sources`), "settings", "models" and "versions".
    """
    files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        files[name] = Sealed.of(name, path)
        path.replace(folder / files[name].path)
    manifest = {**wanted, "files": {name: file._asdict() for name, file in files.items()}}
    write_json(folder / MANIFEST, manifest)
    return manifest


def pointed_to(manifest: Json | None) -> dict[str, Sealed]:
    """The files of a manifest by name. Raises ArtefactError for a list that is not one of ours."""
    try:
        listed = manifest["files"] if manifest is not None else {}
        files = {str(name): Sealed(**entry) for name, entry in listed.items()}
        wrong = [name for name, file in files.items() if not _is_ours(name, file)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArtefactError(f"the manifest's list of files cannot be read ({error})") from error
    if wrong:
        raise ArtefactError(f"the manifest points to files that are none of ours: {wrong[0]!a}")
    return files


def _is_ours(name: str, file: Sealed) -> bool:
    """Whether an entry names a file in a kind's folder, under the name its hash gives."""
    is_plain = bool(_NAME.fullmatch(name) and name.isprintable() and _SHA256.fullmatch(file.sha256))
    return is_plain and isinstance(file.bytes, int) and file.path == hashed(name, file.sha256)


def sizes(manifest: Json | None) -> dict[str, int]:
    """Path and bytes of what a manifest points to and of itself, which comes last."""
    found = {file.path: file.bytes for file in pointed_to(manifest).values()}
    return found if manifest is None else {**found, MANIFEST: len(as_json(manifest))}


def files_of(folder: Path, manifest: Json, kind: str) -> Files:
    """The prepared files of a kind by the name they were saved under."""
    return {
        name.removeprefix(f"{kind}/"): folder / file.path
        for name, file in pointed_to(manifest).items()
        if name.startswith(f"{kind}/")
    }


def read(folder: Path, *, twin: str) -> Json:
    """The manifest of a prepared twin whose files are all as they were sealed.

    Files that it does not point to do not count. Raises ArtefactError for another format or twin,
    and for a changed or missing file.
    """
    try:
        manifest = read_json(folder / MANIFEST)
    except ArtefactError as error:
        raise ArtefactError(f"{error}; run: mdth preprocess {twin}") from error
    check(manifest, twin=twin, where=str(folder))
    changed = [name for name, file in pointed_to(manifest).items() if not file.is_in(folder)]
    if changed:
        raise ArtefactError(
            f"{folder}: changed since it was prepared: {', '.join(changed)}; "
            f"run: mdth preprocess {twin}"
        )
    return manifest


def check(manifest: Json, *, twin: str, where: str) -> None:
    """Raises ArtefactError unless this version can read it and it is this twin's."""
    if problem := _problem(manifest, twin):
        raise ArtefactError(f"{where}: {problem}; run: mdth preprocess {twin}")


def _problem(manifest: Json, twin: str) -> str:
    made, of = manifest.get("format"), manifest.get("twin")
    if made != FORMAT:
        return f"prepared in format {made!a}, this is mdth {__version__} with format {FORMAT}"
    if of != twin:
        return f"prepared for the twin {of!a}, not {twin!r}"
    try:
        pointed_to(manifest)
        whole = all(_is_source(manifest["sources"][kind]) for kind in KINDS)
        whole = whole and all(isinstance(manifest[name], dict) for name in ("settings", "models"))
    except (ArtefactError, KeyError, TypeError, AttributeError) as error:
        return f"the manifest is damaged ({error})"
    return "" if whole else "the manifest is damaged"


def _is_source(source: Any) -> bool:
    chosen = source["chosen"]
    return (chosen is None or {"name", "bytes", "sha256"} <= set(chosen)) and all(
        isinstance(skipped["name"], str) for skipped in source["skipped"]
    )


def agrees(found: Json | None, wanted: Json) -> bool:
    """Whether a manifest or record says all that is wanted."""
    return found is not None and {name: found.get(name) for name in wanted} == wanted


def vouch(folder: Path, made: Json) -> None:
    """Write the record of the video in `folder`, and its times, which are no part of it."""
    seconds, video = made.pop("seconds"), folder / OUTPUT
    made["video"] = {"bytes": video.stat().st_size, "sha256": sha256(video)}
    write_json(folder / RECORD, made)
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    times = {"video_sha256": made["video"]["sha256"], "ended": ended, "seconds": seconds}
    write_json(folder / TIMES, times)


def video_of(record: Json | None) -> tuple[int | None, str]:
    """Bytes and SHA-256 of the video that a record vouches for; None and "" if it does not."""
    video = (record or {}).get("video")
    if not isinstance(video, dict):
        return None, ""
    return video.get("bytes"), str(video.get("sha256"))


def vouched(folder: Path) -> Json | None:
    """The record of the video in a folder, None unless both are there and belong together."""
    try:
        record = read_json(folder / RECORD)
        digest = video_of(record)[1]
        return record if digest and sha256(folder / OUTPUT) == digest else None
    except (ArtefactError, OSError):
        return None
