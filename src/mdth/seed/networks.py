"""The seed's networks on their devices: loaded once for many videos, as long as their files stay.

Kept is what one device in this process holds; workers of several devices end with their video.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mdth.seed.files import SeedFiles

if TYPE_CHECKING:
    from mdth.bfv2v.export import Renderers
    from mdth.faceformer.export import FlameSpeech

States = tuple[tuple[str, int, int] | None, ...]
Wanted = tuple[tuple[str, ...], States]


class _Kept(NamedTuple):
    """Renderers that nobody uses, and what they were made for."""

    wanted: Wanted
    renderers: "Renderers"


class Networks:
    """What a `Seed` engine has loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speech: tuple[Wanted, FlameSpeech] | None = None
        self._idle: _Kept | None = None

    def speech(self, files: SeedFiles, device: str) -> "FlameSpeech":
        """What moves the mouth. Raises CheckpointError."""
        from mdth.faceformer.export import FlameSpeech

        wanted = (device,), _states(files)
        with self._lock:
            if self._speech is None or self._speech[0] != wanted:
                self._speech = None
                self._speech = wanted, FlameSpeech.load(files.common, device=device)
            return self._speech[1]

    @contextmanager
    def renderers(self, files: SeedFiles, devices: Sequence[str]) -> "Iterator[Renderers]":
        """What draws, ready for a source. Raises CheckpointError, DeviceError."""
        from mdth.bfv2v.export import Files, Renderers

        wanted = tuple(devices), _states(files)
        with self._lock:
            kept, self._idle = self._idle, None
        if kept and kept.wanted == wanted:
            ready = kept.renderers
        else:
            # The old ones go first: a GPU may not hold both.
            if kept:
                kept.renderers.__exit__(None, None, None)
            del kept
            ready = Renderers(Files(files.generator, files.config), devices).__enter__()
        reusable = False
        try:
            yield ready
            reusable = ready.reusable
        finally:
            # What was broken off may have frames under way.
            kept = _Kept(wanted, ready)
            if reusable:
                with self._lock:
                    kept, self._idle = self._idle, kept
            if kept:
                kept.renderers.__exit__(None, None, None)

    def close(self) -> None:
        """Drop all of it."""
        with self._lock:
            kept, self._idle, self._speech = self._idle, None, None
        if kept:
            kept.renderers.__exit__(None, None, None)


def _states(files: SeedFiles) -> States:
    """Another checkpoint in the same place has another state."""
    return tuple(map(_state, files.for_frames()))


def _state(file: Path) -> tuple[str, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return str(file), found.st_mtime_ns, found.st_size
