"""Opening sound and video files safely: by content, and without touching any other file."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from mdth.errors import MissingInput, UnreadableMedia
from mdth.files.bounded import BoundedFile
from mdth.media.kinds import FORMATS, codec_list
from mdth.media.limits import LARGEST_CLIP_PIXELS, MOST_STREAMS

_OPTIONS = {
    "format_whitelist": FORMATS,
    "codec_whitelist": codec_list(),
    "protocol_whitelist": "file",
    "max_streams": str(MOST_STREAMS + 1),
    "max_pixels": str(LARGEST_CLIP_PIXELS),
    "threads": "1",
}
# Titles and the like need not be UTF-8. PyAV 18 raises unless told otherwise; 19 never does, and
# has no such setting any more.
_TAGS: dict[str, Any] = (
    {"metadata_errors": "replace"} if hasattr(InputContainer, "metadata_errors") else {}
)


class _Unnamed:
    """A file without its name, so that the extension has no say in what it is."""

    def __init__(self, file: BoundedFile) -> None:
        self._file = file
        self.read = file.read
        self.tell = file.tell

    def seek(self, offset: int, whence: int) -> int:
        """The new place, -1 where there is none: headers name places before the start."""
        try:
            return self._file.seek(offset, whence)
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
        file = BoundedFile(path)
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        try:
            container = av.open(
                _Unnamed(file),
                "r",
                options=_OPTIONS,
                io_open=_refuse_other_files,
                **_TAGS,
            )
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
                _check_streams(container, path)
                yield container
            except av.FFmpegError as error:
                raise UnreadableMedia(f"{path}: cannot be decoded ({reason(error)})") from error


def _check_streams(container: InputContainer, path: Path) -> None:
    if len(container.streams) > MOST_STREAMS:
        raise UnreadableMedia(
            f"{path}: more than {MOST_STREAMS} streams, which no recording has; it is damaged"
        )


def check_codec(stream: Stream, known: Collection[str], path: Path) -> None:
    """Raise UnreadableMedia for a codec that is not `known` or has no decoder here."""
    context = stream.codec_context
    if context is None or context.name not in known:
        name = "a format" if context is None else f"the format {context.name}, which is"
        raise UnreadableMedia(f"{path}: its {stream.type} is in {name} not read here; convert it")


def reason(error: Exception) -> str:
    """The short text of an FFmpeg or system error, without numbers and file names."""
    return str(getattr(error, "strerror", None) or error)


def start_time(container: InputContainer) -> Fraction:
    """Where presentation starts, in the file's own seconds; sample and frame 0 belong there.

    Files that start late as a whole (MPEG-TS, the encoder delay of MP3) start at 0 for us; what
    lies before 0 (encoder priming) is never presented.
    """
    return max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))


def is_cover(disposition: Disposition) -> bool:
    """Whether a picture stream is cover art and not a video."""
    return bool(disposition & Disposition.attached_pic)
