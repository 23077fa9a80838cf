"""Opening sound and video files safely: by content, and without touching any other file."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import BinaryIO, NoReturn

import av
from av.container import InputContainer
from av.stream import Disposition

from mdth.errors import MissingInput, UnreadableMedia

# They read other files or addresses, capture devices, show text as pictures, or are still pictures.
_REFUSED = frozenset(
    "alias_pix alsa avisynth brender_pix concat concatf dash dvbtxt fbdev ffmetadata hls idcin "
    "image2 image2pipe imf jack kmsgrab lavfi mpjpeg oss pulse rtp rtsp sap sdp tty txd "
    "vapoursynth video4linux2 v4l2 vobsub webm_dash_manifest x11grab xbin bin adf idf ico".split()
)


class _Unnamed:
    """A file without its name, so that the extension has no say in what it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read = file.read
        self.seek = file.seek
        self.tell = file.tell


@cache
def _allowed_formats() -> str:
    names = {name for entry in av.formats_available for name in entry.split(",")}
    return ",".join(sorted(name for name in names - _REFUSED if not name.endswith("_pipe")))


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
        file = path.open("rb")
    except OSError as error:
        raise UnreadableMedia(f"{path}: cannot be read ({error.strerror})") from error
    with file:
        try:
            container = av.open(
                _Unnamed(file),
                "r",
                container_options={
                    "format_whitelist": _allowed_formats(),
                    "protocol_whitelist": "file",
                },
                metadata_errors="replace",
                io_open=_refuse_other_files,
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
                yield container
            except av.FFmpegError as error:
                raise UnreadableMedia(f"{path}: cannot be decoded ({reason(error)})") from error


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
