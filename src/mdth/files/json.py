"""JSON files that appear complete or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mdth.errors import ArtefactError
from mdth.files.write import replacing

Json = dict[str, Any]


def parse(content: bytes, where: object) -> Json:
    """The object that a JSON file has. Raises ArtefactError where it has none."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{where}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise ArtefactError(f"{where}: not a JSON object")
    return value


def read_json(path: Path) -> Json:
    """The object in a JSON file. Raises ArtefactError."""
    try:
        return parse(path.read_bytes(), path)
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read ({error.strerror})") from error


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
