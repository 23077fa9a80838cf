"""What made a video, as JSON beside it: inputs and hashes, models, versions, settings, seconds."""

import hashlib
import platform
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mdth import __version__
from mdth.artefacts import Portrait
from mdth.errors import CheckpointError
from mdth.files import assets
from mdth.files.networks import WEIGHTS
from mdth.flow import Clock
from mdth.options import EMBEDDED, SEED, Options
from mdth.storage.sealed import sha256

FORMAT = 2
LIBRARIES = ("numpy", "onnxruntime", "mediapipe", "opencv-contrib-python", "av", "pillow")
SEED_LIBRARIES = ("torch", "eos-py")
# What every output's own metadata says.
SYNTHETIC = {
    "comment": f"Synthetic: the speech in this video was put into a portrait by mdth {__version__}",
    "description": "synthetic",
}


def described(given: Path | Portrait) -> dict[str, Any]:
    """An input as the record names it; folders of the user's machine stay out of it."""
    if isinstance(given, Portrait):
        pixels = hashlib.sha256(given.image.tobytes()).hexdigest()
        return {"name": "a prepared portrait", "pixels_sha256": pixels}
    path = given
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def versions(engine: str = EMBEDDED) -> dict[str, str]:
    """Versions of mdth, Python and the libraries that shape an engine's result."""
    return dict(_versions((*LIBRARIES, *SEED_LIBRARIES) if engine == SEED else LIBRARIES))


@cache
def _versions(libraries: tuple[str, ...]) -> dict[str, str]:
    found = {"mdth": __version__, "python": platform.python_version()}
    for library in libraries:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed by a package manager"
    return found


def models(more: Iterable[Path] = ()) -> dict[str, str]:
    """The networks of the embedded engine and `more`, each with the SHA-256 of its file."""
    embedded = [assets.path(entry.name) for entry in assets.entries()]
    return hashes(
        [*embedded, *sorted(WEIGHTS.glob("*.onnx")), *sorted(WEIGHTS.glob("*.npz")), *more]
    )


def hashes(files: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of each file by its name, in hex. Raises CheckpointError for a missing one."""
    found = {}
    for file in files:
        try:
            there = file.stat()
            found[file.name] = _known_hash(file.resolve(), there.st_size, there.st_mtime_ns)
        except OSError as error:
            raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error
    return found


@cache
def _known_hash(file: Path, size: int, time_ns: int) -> str:
    """Read once while size and time stay the same: checkpoints may be gigabytes."""
    return sha256(file)


def of_film(
    options: Options,
    *,
    frames: int,
    shape: tuple[int, ...],
    clock: Clock,
    more_models: Iterable[Path] = (),
) -> dict[str, Any]:
    """What the record says about a video, its inputs left out; `shape` is a frame's [H,W,3]."""
    return {
        "format": FORMAT,
        "synthetic": True,
        "frames": frames,
        "width": shape[1],
        "height": shape[0],
        "settings": asdict(options),
        "models": models(more_models),
        "versions": versions(options.engine),
        "seconds": clock.seconds,
    }
