"""Opening sound and video files safely: by content, and without touching any other file."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
from av.container import InputContainer
from av.stream import Disposition

from mdth.errors import MissingInput, UnreadableMedia
from mdth.files.reading import BoundedFile
from mdth.media import tables
from mdth.media.limits import CODECS, FORMATS, LARGEST_CLIP_PIXELS, MOST_DAMAGED_PACKETS, THREADS

log = logging.getLogger("mdth")

# Time stamps that go back by more than this are those of another recording, joined to the first.
BACK_S = 0.5
AMR_PAUSE_BYTES = 7  # what a phone records while nobody speaks; FFmpeg does not decode that
# Bytes that hold the last page of an Ogg stream.
OGG_PAGE = 65_536
# What these say of their length is a guess from the first frames' bits.
_GUESSED = frozenset("aac ac3 amr dts eac3 loas mlp mp3 truehd".split())
_WORDS = {"audio": "sound", "video": "video"}
_OPTIONS = {
    "format_whitelist": FORMATS,
    "codec_whitelist": ",".join(sorted(CODECS["audio"] | CODECS["video"])),
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
        if remote := re.match(r"([a-z]{2,}:/)(.*)", str(path)):  # a path has no //
            raise MissingInput(f"{remote[1]}/{remote[2]}: an address; download it, give the file")
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
        self.cut = False  # whether the last packet lacks bytes
        self.end_s = Fraction(0)  # where the packets read so far end, of all streams
        self.start_s = max(Fraction(container.start_time or 0, 1_000_000), Fraction(0))
        self._container = container

    @property
    def declared_s(self) -> float | None:
        """How long the file says it is."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def decode(self) -> Iterator[Any]:
        """Every frame that decodes; what does not is noted in `damaged`, and the rest goes on."""
        packets, failed = self._packets(), 0
        while failed < MOST_DAMAGED_PACKETS:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError) as error:
                self.damaged.append(reason(error))
                return
            if packet is None:
                return
            self.cut = packet.is_corrupt or (self.cut and not packet.size)
            try:
                yield from packet.decode()
            except av.error.EOFError:
                return
            except (av.FFmpegError, OSError) as error:
                failed += 1
                pause = self._container.format.name == "amr" and packet.size <= AMR_PAUSE_BYTES
                if not pause:
                    self.damaged.append(reason(error))

    def _packets(self) -> Iterator[Any]:
        """The stream's packets; those of a recording joined to another follow it in time.

        All streams of a recording are moved alike, so that sound and picture stay together.
        """
        shift = Fraction(0)
        last: dict[int, Fraction] = {}
        for packet in self._container.demux():
            if packet.dts is not None and packet.time_base:
                at, time_base = packet.stream.index, packet.time_base
                dts = packet.dts * time_base
                start = dts if packet.pts is None else packet.pts * time_base
                step = dts - last.get(at, dts)
                if step < -BACK_S:
                    shift = self.end_s - start
                    last.clear()
                last[at] = dts
                length = (packet.duration or 0) * time_base or step
                self.end_s = max(self.end_s, start + shift + length)
                with suppress(OverflowError):  # a damaged stamp stays as it is
                    packet.dts += round(shift / time_base)
                    if packet.pts is not None:
                        packet.pts += round(shift / time_base)
            if packet.stream is self.stream:
                yield packet

    def judge(self, decoded_s: float, what: str, *, missing_s: float) -> None:
        """Say once how much decoded, if more than `missing_s` is missing or some is damaged.

        Raises UnreadableMedia if it is nothing.
        """
        if not decoded_s:
            why = f" ({self.damaged[0]})" if self.damaged else ""
            raise UnreadableMedia(f"{self.path}: no {what} could be decoded{why}")
        declared_s = (not self._guessed() and self.declared_s) or 0.0
        # A length that is the whole file's, from 0 on, says nothing of a single stream's.
        reached_s = decoded_s if self.stream.duration else max(decoded_s, float(self.end_s))
        missing = declared_s - reached_s > missing_s
        if self.damaged or missing or self._ends_early():
            log.warning(
                "%s: damaged or cut off; using the %.2f s of %s that decode%s",
                *(self.path, decoded_s, what),
                f", {declared_s:.2f} s are declared" if missing else "",
            )

    def _guessed(self) -> bool:
        """Whether the declared length is a guess: of an MP3 it is none after a Xing header."""
        if self._container.format.name != "mp3":
            return self._container.format.name in _GUESSED
        head = self._bytes(0, 10)
        tags = sum((byte & 127) << 7 * k for k, byte in enumerate(head[:5:-1]))
        first = self._bytes(10 + tags if head[:3] == b"ID3" else 0, 300)
        return not any(tag in first for tag in (b"Xing", b"Info", b"VBRI"))

    def _ends_early(self) -> bool:
        """Whether bytes are missing: of the last packet, or of the page that ends an Ogg stream."""
        if self._container.format.name == "ogg":
            tail = self._bytes(max(0, self.path.stat().st_size - OGG_PAGE), OGG_PAGE)
            page = tail[max(0, tail.rfind(b"OggS")) :]
            whole = len(page) > 27 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
            return not whole or not page[5] & 4
        return self.cut and b"data" + 4 * b"\xff" not in self._bytes(0, 4096)  # written to a pipe

    def _bytes(self, start: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(count)


@contextmanager
def open_track(path: Path, kind: str) -> Iterator[Track]:
    """The stream of a kind, "audio" or "video", that players take: the default one, else the first.

    Of those that are read here; the picture on a cover is no video. Raises MissingInput,
    UnreadableMedia.
    """
    with open_media(path) as container:
        streams: list[Any] = [
            stream
            for stream in container.streams
            if stream.type == kind and not stream.disposition & Disposition.attached_pic
        ]
        if not streams:
            raise UnreadableMedia(f"{path}: there is no {_WORDS[kind]} in it")
        readable = [s for s in streams if s.codec_context and s.codec_context.name in CODECS[kind]]
        if not readable:
            context = streams[0].codec_context
            name = f"the format {context.name}, which is" if context else "a format"
            raise UnreadableMedia(f"{path}: its {kind} is in {name} not read here; convert it")
        stream = max(readable, key=lambda s: bool(s.disposition & Disposition.default))
        if stream is not streams[0]:
            place = streams.index(stream) + 1
            log.info("%s: using %s track %d of %d", path, _WORDS[kind], place, len(streams))
        stream.codec_context.thread_count = THREADS
        yield Track(path, container, stream)


def pulled(graph: av.filter.Graph) -> Iterator[Any]:
    """The frames that have come through a filter graph by now."""
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def reason(error: Exception) -> str:
    """The short text of an FFmpeg or system error, without numbers and file names."""
    return str(getattr(error, "strerror", None) or error)
