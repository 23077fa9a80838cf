"""Writing the result: an mp4 made while it is rendered, or raw pictures to a pipe."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import av
import numpy as np
from av.container import OutputContainer

from mdth.artefacts import Frame
from mdth.errors import StorageError
from mdth.files.write import replacing
from mdth.media.audio import probe_sound
from mdth.media.container import reason
from mdth.media.tracks import PictureTrack, SoundTrack
from mdth.parallel import InOrder

QUEUED_FRAMES = 4
_MP4_KEYS = frozenset(
    {"title", "artist", "album", "comment", "description", "copyright", "date", "encoder"}
)


class Mp4Writer:
    """An mp4 (faststart) written frame by frame by a thread of its own; use it with `with`.

    The file gets its name when it is complete: an error or interrupt leaves nothing. What goes
    wrong with it is a StorageError. A kind of writer gives `_begin`, `_add` and `_finish`.
    """

    def __init__(self, path: Path, sound: Path | None, metadata: dict[str, str] | None) -> None:
        self.path, self.sound = path, sound
        self.metadata = metadata or {}
        self.frames_written = 0
        self.bytes_written = 0
        self.seconds = 0.0  # spent encoding
        self._thread = ThreadPoolExecutor(1, "mdth-encoder")
        self._encoded = InOrder(self._encode, self._thread, depth=QUEUED_FRAMES)
        self._writing = self._write()

    def __enter__(self) -> Self:
        if self.path.is_dir():
            raise StorageError(f"{self.path}: is a folder; give the name of a file to write")
        if self.sound is not None:
            probe_sound(self.sound)
        with self._reported():
            self._writing.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What goes wrong while an unfinished file is put away is no news.
        with self._reported() if error is None else suppress(av.FFmpegError, OSError):
            self._writing.__exit__(kind, error, trace)
            self.bytes_written = self.path.stat().st_size

    def _begin(self, out: OutputContainer, held: ExitStack) -> None:
        """Add the streams; what has to be closed goes to `held`."""
        raise NotImplementedError

    def _add(self, *frame: Any) -> None:
        """Encode what `_queue` was given; in the thread."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Encode what is still held."""
        raise NotImplementedError

    def _queue(self, *frame: Any) -> None:
        for _ in self._encoded.feed(frame):
            pass

    @contextmanager
    def _write(self) -> Iterator[None]:
        """Everything that is open while the file is written."""
        custom = not set(self.metadata) <= _MP4_KEYS
        flags = {"movflags": "+faststart" + "+use_metadata_tags" * custom}
        with (
            replacing(self.path) as part,
            # Without "file:" what stands before a colon in the name would be a protocol.
            av.open(f"file:{part}", "w", format="mp4", container_options=flags) as out,
            ExitStack() as held,
        ):
            out.metadata.update(self.metadata)
            self._begin(out, held)
            try:
                yield
                for _ in self._encoded.finish():
                    pass
            finally:
                self._thread.shutdown(cancel_futures=True)
            if not self.frames_written:
                raise ValueError("no frame was written")
            self._timed(self._finish)

    def _encode(self, frame: tuple[Any, ...]) -> None:
        with self._reported():
            self._timed(self._add, *frame)

    def _timed(self, work: Callable[..., None], *given: Any) -> None:
        start = time.perf_counter()
        work(*given)
        self.seconds += time.perf_counter() - start

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """What goes wrong with the file, in the user's words."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise StorageError(
                f"{self.path}: cannot be written ({reason(error)}); free some space or choose "
                "another place"
            ) from error


class VideoWriter(Mp4Writer):
    """An H.264 + AAC mp4 (yuv420p) of RGB pictures.

    Frame k is shown at k / fps; the sound keeps its rate, channels, level and timing, and is cut
    or filled with silence to the pictures' length when they differ by more than a frame.

    width, height: px, even. fps: exact as a Fraction. sound: any file with sound, or None.
    Raises InputError for a bad sound, StorageError when the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        fps: Fraction | float,
        sound: Path | None,
        crf: int = 18,
        preset: str = "veryfast",
        metadata: dict[str, str] | None = None,
    ) -> None:
        if width % 2 or height % 2 or width < 2 or height < 2:
            raise ValueError(f"H.264 needs even sizes, not {width} x {height}")
        super().__init__(path, sound, metadata)
        self.size = width, height
        self.fps = Fraction(fps).limit_denominator(100_000)
        self.options = {"crf": str(crf), "preset": preset}

    def write(self, frame: Frame) -> None:
        """Add a picture, RGB uint8 [H,W,3]; the array may be reused afterwards."""
        width, height = self.size
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"a frame is uint8 ({height}, {width}, 3), not {frame.dtype} {frame.shape}"
            )
        self._queue(frame.copy())

    def _begin(self, out: OutputContainer, held: ExitStack) -> None:
        self._pictures = PictureTrack(out, self.size, self.fps, self.options)
        self._sound = SoundTrack(out, self.sound) if self.sound is not None else None

    def _add(self, *frame: Frame) -> None:
        self._pictures.add(*frame)
        self.frames_written += 1
        if self._sound is not None:
            self._sound.add_until(self.frames_written / self.fps)

    def _finish(self) -> None:
        self._pictures.finish()
        if self._sound is not None:
            self._sound.finish(self.frames_written / self.fps, slack=1 / self.fps)


class RawWriter(AbstractContextManager["RawWriter"]):
    """Raw rgb24 pictures, one after the other, to a pipe or file that is already open."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.bytes_written = 0
        self.seconds = 0.0  # spent writing

    def __exit__(self, *_: object) -> None:
        try:
            self.file.flush()
        except BrokenPipeError:
            return

    def write(self, frame: Frame) -> None:
        """Add a picture, RGB uint8 [H,W,3]. Raises StorageError when nobody reads any more."""
        start = time.perf_counter()
        try:
            self.file.write(np.ascontiguousarray(frame).data)
        except OSError as error:
            raise StorageError(f"raw pictures cannot be written ({reason(error)})") from error
        self.seconds += time.perf_counter() - start
        self.bytes_written += frame.nbytes
