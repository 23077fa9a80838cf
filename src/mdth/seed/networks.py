"""The seed's networks on their devices: loaded once for many videos, as long as their files stay.

Kept is what one device in this process holds; workers of several devices end with their video.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mdth.files.reading import file_state
from mdth.seed.files import SeedFiles

if TYPE_CHECKING:
    from mdth.bfv2v.export import Renderers
    from mdth.faceformer.export import FlameSpeech

States = tuple[tuple[str, int, int] | None, ...]
Wanted = tuple[tuple[str, ...], States]


class Networks:
    """What a `Seed` engine has loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speech: tuple[Wanted, FlameSpeech] | None = None
        # Renderers that nobody uses, and what they were made for.
        self._idle: tuple[Wanted, Renderers] | None = None

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
        if kept and kept[0] == wanted:
            ready = kept[1]
        else:
            # The old ones go first: a GPU may not hold both.
            _end(kept)
            del kept
            ready = Renderers(Files(files.generator, files.generator_config), devices).__enter__()
        reusable = False
        try:
            yield ready
            reusable = ready.reusable
        finally:
            # What was broken off may have frames under way.
            kept = wanted, ready
            if reusable:
                with self._lock:
                    kept, self._idle = self._idle, kept
            _end(kept)

    def close(self) -> None:
        """Drop all of it."""
        with self._lock:
            kept, self._idle, self._speech = self._idle, None, None
        _end(kept)


def _end(kept: "tuple[Wanted, Renderers] | None") -> None:
    if kept:
        kept[1].__exit__(None, None, None)


def _states(files: SeedFiles) -> States:
    """Another checkpoint in the same place has another state."""
    return tuple(map(file_state, files.for_frames()))
