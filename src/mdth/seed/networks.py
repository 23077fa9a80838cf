"""The seed's networks on their devices: loaded once for many videos while their files stay."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
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
        self._lock, self._speaking = threading.Lock(), threading.Lock()
        self._loading: threading.Thread | None = None
        self._speech: tuple[Wanted, FlameSpeech] | None = None
        # Renderers that nobody uses, and what they were made for.
        self._idle: tuple[Wanted, Renderers] | None = None

    def speech(self, files: SeedFiles, device: str) -> "FlameSpeech":
        """What moves the mouth. Raises CheckpointError."""
        from mdth.faceformer.export import FlameSpeech

        wanted = (device,), _states(files)
        with self._speaking:
            if self._speech is None or self._speech[0] != wanted:
                self._speech = None
                self._speech = wanted, FlameSpeech.load(files.common, device=device)
            return self._speech[1]

    def begin(self, files: SeedFiles, devices: Sequence[str]) -> None:
        """Load what draws beside what is done until it is asked for."""

        def load() -> None:
            # Whoever asks for it is told what is wrong.
            with suppress(Exception), self.renderers(files, devices):
                pass

        loading = threading.Thread(target=load)
        loading.start()
        self._loading = loading  # once it can be waited for

    @contextmanager
    def renderers(self, files: SeedFiles, devices: Sequence[str]) -> "Iterator[Renderers]":
        """What draws, ready for a source. Raises CheckpointError, DeviceError."""
        from mdth.bfv2v.export import Files, Renderers

        if (loading := self._loading) and loading is not threading.current_thread():
            loading.join()
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
        try:
            yield ready
        except BaseException:
            # What was broken off may have frames under way.
            _end((wanted, ready))
            raise
        with self._lock:
            kept, self._idle = self._idle, (wanted, ready)
        _end(kept)

    def close(self) -> None:
        """Drop all of it."""
        if self._loading:
            self._loading.join()
        with self._lock:
            kept, self._idle, self._speech = self._idle, None, None
        _end(kept)


def _end(kept: "tuple[Wanted, Renderers] | None") -> None:
    if kept:
        kept[1].__exit__(None, None, None)


def _states(files: SeedFiles) -> States:
    """Another checkpoint in the same place has another state."""
    return tuple(map(file_state, files.for_frames()))
