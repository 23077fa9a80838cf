"""Opening sound and video files safely: by content, and without touching any other file."""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
from av.container import InputContainer
from av.stream import Disposition

from mdth.errors import MissingInput, UnreadableMedia
from mdth.files.reading import BoundedFile
from mdth.media import tables
from mdth.media.kinds import CLIP_CODECS, FORMATS, SOUND_CODECS
from mdth.media.limits import LARGEST_CLIP_PIXELS, MOST_DAMAGED_PACKETS, THREADS

log = logging.getLogger("mdth")

_WORDS = {"audio": "sound", "video": "video"}
_OPTIONS = {
    "format_whitelist": FORMATS,
    "codec_whitelist": ",".join(sorted(SOUND_CODECS | CLIP_CODECS)),
    "protocol_whitelist": "file",
    "max_pixels": str(LARGEST_CLIP_PIXELS),
    "threads": "1",
}
# Titles and the like need not be UTF-8. PyAV 18 raises unless told otherwise; 19 never does, and
# has no such setting any more.
_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if hasattr(InputContainer, "metadata_errors") else {}
)


class _Unnamed(BoundedFile):
    """A file without its name, so that the extension has no say in what it is."""

    name = ""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """The new place, -1 where there is none: headers name places before the start."""
        try:
            return super().seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1


def _refuse_other_files(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError("a media file may not open other files")


def check_file(path: Path) -> None:
    """Raise MissingInput when nothing is there, UnreadableMedia when it is no file or empty."""
    if not path.exists():
        raise MissingInput(f"{path}: no such file")
    if not path.is_file():
        raise UnreadableMedia(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise UnreadableMedia(f"{path}: the file is empty (0 bytes)")


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """The file opened for demuxing; what it is follows from its content alone.

    Only the file itself is read: playlists and formats that name other files are refused.
    Raises MissingInput, UnreadableMedia.
    """
    check_file(path)
    try:
        file = _Unnamed(path)
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        if tables.contradict(file):
            raise UnreadableMedia(f"{path}: promises more than such a small file has; damaged")
        try:
            container = av.open(file, "r", options=_OPTIONS, io_open=_refuse_other_files, **_TAGS)
        except av.error.ArgumentError as error:
            raise UnreadableMedia(
                f"{path}: a still picture, a playlist or another kind that is no sound or video"
            ) from error
        except (av.FFmpegError, OSError, ValueError) as error:
            raise UnreadableMedia(
                f"{path}: not a sound or video file that can be read ({reason(error)})"
            ) from error
        with container:
            try:
                yield container
            except av.FFmpegError as error:
                raise UnreadableMedia(f"{path}: cannot be decoded ({reason(error)})") from error


class Track:
    """One stream of an open file, and what of it did not decode.

    start_s: where presentation starts, in the file's own seconds; sample and frame 0 belong there.
    Files that start late as a whole (MPEG-TS, the encoder delay of MP3) start at 0 for us; what
    lies before 0 (encoder priming) is never presented.
    """

    def __init__(self, path: Path, container: InputContainer, stream: Any) -> None:
        self.path = path
        self.stream = stream
        self.damaged: list[str] = []
        self.start_s = max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))
        self._container = container

    @property
    def declared_s(self) -> float | None:
        """How long the file says it is."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def decode(self) -> Iterator[Any]:
        """Every frame that decodes; what does not is noted in `damaged`."""
        packets = self._container.demux(self.stream)
        while len(self.damaged) < MOST_DAMAGED_PACKETS:
            try:
                yield from next(packets).decode()
            except (StopIteration, av.error.EOFError):
                return
            except av.error.InvalidDataError as error:
                self.damaged.append(reason(error))
            except (av.FFmpegError, OSError) as error:
                self.damaged.append(reason(error))
                return

    def judge(self, decoded_s: float, what: str, *, missing_s: float) -> None:
        """Say once how much decoded, if more than `missing_s` is missing or some is damaged.

        Raises UnreadableMedia if it is nothing.
        """
        if not decoded_s:
            why = f" ({self.damaged[0]})" if self.damaged else ""
            raise UnreadableMedia(f"{self.path}: no {what} could be decoded{why}")
        declared_s = self.declared_s or 0.0
        if self.damaged or declared_s - decoded_s > missing_s:
            log.warning(
                "%s: damaged or cut off; using the %.2f s of %s that decode, %.2f s are declared",
                *(self.path, decoded_s, what, declared_s),
            )


@contextmanager
def open_track(path: Path, kind: str, codecs: Collection[str]) -> Iterator[Track]:
    """The first stream of a kind, "audio" or "video"; the picture on a cover is no video.

    Raises MissingInput, UnreadableMedia: also for a codec that is not among `codecs`.
    """
    with open_media(path) as container:
        streams = (stream for stream in container.streams if stream.type == kind)
        stream = next((s for s in streams if not s.disposition & Disposition.attached_pic), None)
        if stream is None:
            raise UnreadableMedia(f"{path}: there is no {_WORDS[kind]} in it")
        context = stream.codec_context
        if context is None or context.name not in codecs:
            name = f"the format {context.name}, which is" if context else "a format"
            raise UnreadableMedia(f"{path}: its {kind} is in {name} not read here; convert it")
        context.thread_count = THREADS
        yield Track(path, container, stream)


def reason(error: Exception) -> str:
    """The short text of an FFmpeg or system error, without numbers and file names."""
    return str(getattr(error, "strerror", None) or error)
