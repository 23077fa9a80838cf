"""What made a video, as JSON beside it: inputs and hashes, models, versions, settings, seconds."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mdth import __version__, assets
from mdth.artefacts import Portrait
from mdth.flow import Clock
from mdth.networks import WEIGHTS
from mdth.options import Options

FORMAT = 1
LIBRARIES = ("numpy", "onnxruntime", "mediapipe", "opencv-contrib-python", "av", "pillow")
# What every output's own metadata says.
SYNTHETIC = {
    "comment": f"Synthetic: the speech in this video was put into a portrait by mdth {__version__}",
    "description": "synthetic",
}


def sha256(path: Path) -> str:
    """Hash of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(given: Path | Portrait) -> dict[str, Any]:
    """An input as the record names it; folders of the user's machine stay out of it."""
    if isinstance(given, Portrait):
        pixels = hashlib.sha256(given.image.tobytes()).hexdigest()
        return {"name": "a prepared portrait", "pixels_sha256": pixels}
    path = given
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def versions() -> dict[str, str]:
    """Versions of mdth, Python and the libraries that shape the result."""
    found = {"mdth": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed by a package manager"
    return found


def models() -> dict[str, str]:
    """Every network in use and the SHA-256 of its file."""
    files = [assets.path(entry.name) for entry in assets.entries()]
    return {file.name: sha256(file) for file in [*files, *sorted(WEIGHTS.glob("*.onnx"))]}


def of_film(
    options: Options, *, frames: int, shape: tuple[int, ...], clock: Clock
) -> dict[str, Any]:
    """What the record says about a video, its inputs left out; `shape` is a frame's [H,W,3]."""
    return {
        "format": FORMAT,
        "synthetic": True,
        "frames": frames,
        "width": shape[1],
        "height": shape[0],
        "settings": asdict(options),
        "models": models(),
        "versions": versions(),
        "seconds": clock.seconds,
    }


def write(path: Path, content: Mapping[str, Any]) -> Path:
    """Write JSON under a temporary name first, so that a reader never sees half of it."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
