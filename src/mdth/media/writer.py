"""Writing the result: an mp4 made while it is rendered, or raw pictures to a pipe."""

import os
import queue
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import av
import numpy as np

from mdth.artefacts import Frame
from mdth.errors import MdthError, StorageError
from mdth.files.write import synced
from mdth.media.audio import probe_sound
from mdth.media.container import reason
from mdth.media.tracks import PictureTrack, SoundTrack

QUEUED_FRAMES = 4
_MP4_KEYS = frozenset(
    {"title", "artist", "album", "comment", "description", "copyright", "date", "encoder"}
)


class VideoWriter:
    """An H.264 + AAC mp4 (yuv420p, faststart), written frame by frame by a thread of its own.

    Frame k is shown at k / fps; the sound keeps its rate, channels, level and timing, and is cut
    or filled with silence to the pictures' length when they differ by more than a frame. The file
    gets its name when it is complete: an error or interrupt leaves nothing. Use it with `with`.

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
        self.path = path
        self.size = width, height
        self.fps = Fraction(fps).limit_denominator(100_000)
        self.sound = sound
        self.options = {"crf": str(crf), "preset": preset}
        self.metadata = metadata or {}
        self.frames_written = 0
        self.bytes_written = 0
        self.seconds = 0.0  # spent encoding
        self._part = path.with_name(f".{path.stem}.{os.getpid()}.part.mp4")
        self._queue: queue.Queue[Frame | None] = queue.Queue(QUEUED_FRAMES)
        self._failure: BaseException | None = None
        self._cancelled = False
        self._thread = threading.Thread(target=self._run, name="mdth-encoder", daemon=True)

    def __enter__(self) -> Self:
        if self.sound is not None:
            probe_sound(self.sound)
        if self.path.is_dir():
            raise StorageError(f"{self.path}: is a folder; give the name of a file to write")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._part.touch()
        except OSError as error:
            raise _not_written(self.path, error) from error
        self._thread.start()
        return self

    def write(self, frame: Frame) -> None:
        """Add a picture, RGB uint8 [H,W,3]; the array may be reused afterwards."""
        width, height = self.size
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise ValueError(
                f"a frame is uint8 ({height}, {width}, 3), not {frame.dtype} {frame.shape}"
            )
        self._put(frame.copy())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._cancelled = kind is not None
            if not self._cancelled:
                self._put(None)
            self._thread.join()
            if self._failure is not None and not self._cancelled:
                raise self._failure
            if not self._cancelled:
                self._complete()
        finally:
            self._cancelled = True
            self._thread.join()
            self._part.unlink(missing_ok=True)

    def _complete(self) -> None:
        if not self.frames_written:
            raise ValueError("no frame was written")
        try:
            self.bytes_written = self._part.stat().st_size
            synced(self._part).replace(self.path)
        except OSError as error:
            raise _not_written(self.path, error) from error

    def _put(self, frame: Frame | None) -> None:
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                self._queue.put(frame, timeout=0.1)
            except queue.Full:
                continue
            return

    def _frames(self) -> Iterator[Frame]:
        while not self._cancelled:
            try:
                frame = self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
            if frame is None:
                return
            yield frame

    def _run(self) -> None:
        try:
            self._encode()
        except MdthError as error:
            self._failure = error
        except (av.FFmpegError, OSError) as error:
            self._failure = _not_written(self.path, error)
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            self._failure = error

    def _encode(self) -> None:
        flags = "+faststart"
        if not set(self.metadata) <= _MP4_KEYS:
            flags += "+use_metadata_tags"
        with av.open(
            str(self._part), "w", format="mp4", container_options={"movflags": flags}
        ) as out:
            out.metadata.update(self.metadata)
            pictures = PictureTrack(out, self.size, self.fps, self.options)
            sound = SoundTrack(out, self.sound) if self.sound is not None else None
            for frame in self._frames():
                start = time.perf_counter()
                pictures.add(frame)
                self.frames_written += 1
                if sound is not None:
                    sound.add_until(Fraction(self.frames_written) / self.fps)
                self.seconds += time.perf_counter() - start
            if self._cancelled:
                return
            start = time.perf_counter()
            pictures.finish()
            if sound is not None:
                sound.finish(Fraction(self.frames_written) / self.fps, slack=1 / self.fps)
            self.seconds += time.perf_counter() - start


class RawWriter:
    """Raw rgb24 pictures, one after the other, to a pipe or file that is already open."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.frames_written = 0
        self.bytes_written = 0
        self.seconds = 0.0  # spent writing

    def __enter__(self) -> Self:
        return self

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
        self.frames_written += 1


def _not_written(path: Path, error: Exception) -> StorageError:
    return StorageError(
        f"{path}: cannot be written ({reason(error)}); free some space or choose another place"
    )
