"""Data files that carry their content's hash in their name, and the list that points to them.

`audio/speech.npy` lies in `audio/speech-1f0c2a9b77de.npy`: two versions never share a name, so that
a new one can be put beside an old one. What counts is what the list in the manifest points to.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from mdth.errors import ArtefactError
from mdth.files.reading import sha256
from mdth.files.write import replacing
from mdth.storage.layout import KINDS

# Hexadecimal digits of a SHA-256 in a file's name: 48 bits, the whole hash is in the manifest.
DIGITS = 12


class Sealed(NamedTuple):
    """A data file: where it lies, relative to the manifest, its size and its SHA-256 in hex."""

    path: str
    bytes: int
    sha256: str


def hashed(name: str, digest: str) -> str:
    """The path of the file `name` with the content of that hash."""
    path = PurePosixPath(name)
    return str(path.with_name(f"{path.stem}-{digest[:DIGITS]}{path.suffix}"))


def described(name: str, path: Path) -> Sealed:
    """How a list points to the file at `path`, known as `name`."""
    digest = sha256(path)
    return Sealed(hashed(name, digest), path.stat().st_size, digest)


def pointed_to(manifest: Mapping[str, Any]) -> dict[str, Sealed]:
    """The files of a manifest by name. Raises ArtefactError for a list that is not one of ours."""
    try:
        files = {str(name): Sealed(**entry) for name, entry in manifest["files"].items()}
        wrong = [name for name, file in files.items() if not _is_ours(name, file)]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArtefactError(f"the manifest's list of files cannot be read ({error})") from error
    if wrong:
        raise ArtefactError(f"the manifest points to files that are none of ours: {wrong[0]!a}")
    return files


def _is_ours(name: str, file: Sealed) -> bool:
    """Whether an entry names a file in a kind's folder, under the name its hash gives."""
    folder, _, plain = name.partition("/")
    plain_name = plain.isprintable() and not plain.startswith(".") and not set(plain) & set("/\\")
    is_hash = len(file.sha256) == 64 and set(file.sha256) <= set("0123456789abcdef")
    return bool(
        folder in KINDS
        and plain
        and plain_name
        and is_hash
        and isinstance(file.bytes, int)
        and file.path == hashed(name, file.sha256)
    )


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file, None where there is no such file. Raises ArtefactError."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise ArtefactError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ArtefactError(f"{path}: not a JSON object")
    return value


def write_json(path: Path, content: Mapping[str, Any]) -> Path:
    """Write JSON under a temporary name first, so that a reader never sees half of it."""
    with replacing(path) as part:
        part.write_bytes(as_json(content))
    return path


def as_json(content: Mapping[str, Any]) -> bytes:
    """The text of a JSON file; the same content always gives the same."""
    try:
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:  # a file's name on the disk may be no text at all
        return (json.dumps(content, indent=2) + "\n").encode()
