"""The seed's networks on their devices: loaded once for many videos, as long as their files stay.

Kept is what one device in this process holds; workers of several devices end with their video.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdth.seed.files import SeedFiles

if TYPE_CHECKING:
    from mdth.bfv2v.export import Renderers
    from mdth.faceformer.export import FlameSpeech

States = tuple[tuple[str, int, int] | None, ...]


class _Kept(NamedTuple):
    """Renderers that nobody uses, and what they were made for."""

    devices: tuple[str, ...]
    states: States
    renderers: "Renderers"


_idle: list[_Kept] = []


def speech(files: SeedFiles, device: str) -> "FlameSpeech":
    """What moves the mouth. Raises CheckpointError."""
    return _speech(files.common, device, _states(files))


@lru_cache(maxsize=1)
def _speech(common: Path, device: str, states: States) -> "FlameSpeech":
    from mdth.faceformer.export import FlameSpeech

    return FlameSpeech.load(common, device=device)


@contextmanager
def renderers(files: SeedFiles, devices: Sequence[str]) -> Iterator["Renderers"]:
    """What draws, ready for a source. Raises CheckpointError, DeviceError."""
    from mdth.bfv2v.export import Files, Renderers

    wanted = tuple(devices), _states(files)
    kept = _idle.pop() if _idle else None
    if kept and kept[:2] == wanted:
        ready = kept.renderers
    else:
        # The old ones go first: a GPU may not hold both.
        del kept
        ready = Renderers(Files(files.generator, files.config), devices).__enter__()
    reusable = False
    try:
        yield ready
        reusable = ready.reusable
    finally:
        # What was broken off may have frames under way.
        if reusable:
            _idle[:] = [_Kept(*wanted, ready)]
        else:
            ready.__exit__(None, None, None)


def _states(files: SeedFiles) -> States:
    """Another checkpoint in the same place has another state."""
    return tuple(map(_state, files.for_frames()))


def _state(file: Path) -> tuple[str, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file), found.st_mtime_ns, found.st_size
