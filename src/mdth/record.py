"""What made a video, as JSON beside it: inputs and hashes, models, versions, settings, seconds."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mdth import __version__
from mdth.artefacts import Portrait
from mdth.engine import Avatar, Engine
from mdth.errors import CheckpointError
from mdth.files.reading import known_sha256, sha256
from mdth.options import Options

FORMAT = 2
LIBRARIES = ("numpy", "onnxruntime", "mediapipe", "opencv-contrib-python", "av", "pillow")
# The groups of options that a video is shaped by.
SHAPING = ("portrait", "motion", "video")
# What every output's own metadata says.
SYNTHETIC = {
    "comment": f"Synthetic: the speech in this video was put into a portrait by mdth {__version__}",
    "description": "synthetic",
}


def inputs(given: Mapping[str, Path | str | Portrait | Avatar | None]) -> dict[str, Any]:
    """All that were given, as the record names them."""
    return {name: described(it) for name, it in given.items() if it is not None}


def described(given: Path | str | Portrait | Avatar) -> dict[str, Any]:
    """An input as the record names it; folders of the user's machine stay out of it."""
    if not isinstance(given, Path | str):
        portrait = given if isinstance(given, Portrait) else given.portrait
        pixels = hashlib.sha256(portrait.image.tobytes()).hexdigest()
        return {"name": "a prepared portrait", "pixels_sha256": pixels}
    path = Path(given)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def versions(engine: Engine | None = None) -> dict[str, str]:
    """Versions of mdth, Python and the libraries that shape a result, of an engine's own too."""
    found = {"mdth": __version__, "python": platform.python_version()}
    for library in (*LIBRARIES, *(engine.libraries if engine else ())):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed by a package manager"
    return found


def models(engine: Engine, options: Options, *stages: str) -> dict[str, str]:
    """The files that an engine reads in these stages, each with its SHA-256 in hex.

    Raises CheckpointError for a missing one.
    """
    needs, found = engine.needs(options), {}
    for file in (need.path for need in needs if need.path and need.stages & set(stages)):
        try:
            found[file.name] = known_sha256(file)
        except OSError as error:
            raise CheckpointError(f"{file}: cannot be read ({error.strerror})") from error
    return found


def of_result(
    engine: Engine,
    options: Options,
    *,
    frames: int,
    seconds: dict[str, float],
    stages: Sequence[str],
    **more: Any,
) -> dict[str, Any]:
    """What the record says about a video or a moving mesh, and more of it, its inputs left out."""
    return {
        "format": FORMAT,
        "synthetic": True,
        "frames": frames,
        **more,
        "settings": options.settings(engine.name, SHAPING),
        "models": models(engine, options, *stages),
        "versions": versions(engine),
        "seconds": seconds,
    }
