"""Writing a clip again with parts of its frames changed, and nothing else."""

import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Self, cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame

from mdth.errors import UnreadableMedia
from mdth.media.container import Track, open_track
from mdth.media.film import Film, FilmFrame, described, others_of
from mdth.media.planes import Added, Patch, PlanesTrack
from mdth.media.tracks import SoundTrack
from mdth.media.video import open_video
from mdth.media.writer import Mp4Writer

log = logging.getLogger("mdth")

# What mp4 holds and players of it play; "float" names decoders, not formats.
COPIED_SOUNDS = frozenset({"aac", "mp3", "mp3float", "alac", "ac3", "eac3"})
COPIED = COPIED_SOUNDS | {"mov_text", "h264", "hevc"}
# The muxer writes its own.
FORMAT_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})


class CopiedTracks:
    """Streams of an open file, packet by packet, in step with the pictures.

    start_s: where presentation starts in the file; it becomes 0.
    """

    def __init__(
        self, out: OutputContainer, streams: Sequence[Stream], *, start_s: Fraction
    ) -> None:
        self.out, self.start_s = out, start_s
        self.copies: dict[int, Stream] = {}
        for stream in streams:
            copy = out.add_stream_from_template(stream, opaque=True)
            copy.metadata.update(stream.metadata)
            copy.disposition = stream.disposition
            self.copies[stream.index] = copy
        self.packets = _packets(streams)

    def add_until(self, time_s: Fraction) -> None:
        """Write the packets that begin before `time_s`."""
        for packet in self.packets:
            place = packet.pts if packet.dts is None else packet.dts
            if place is None or packet.time_base is None:
                continue
            shift = round(self.start_s / packet.time_base)
            if (place - shift) * packet.time_base >= time_s:
                self.packets = itertools.chain([packet], self.packets)
                return
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.stream = self.copies[packet.stream_index]
            self.out.mux(packet)

    def finish(self, length_s: Fraction, *, slack: Fraction) -> None:
        """Write what begins before the pictures end; what is shorter stays so."""
        self.add_until(length_s)


def _packets(streams: Sequence[Stream]) -> "Iterator[Packet[Stream]]":
    """Packets up to the end, or to what is damaged: reading the sound has told of it."""
    packets = cast(InputContainer, streams[0].container).demux(*streams)
    while True:
        try:
            yield next(packets)
        except (StopIteration, av.FFmpegError, OSError):
            return


class FilmWriter(Mp4Writer):
    """An mp4 like a clip: size, times, rotation, pixel shape, colours and depth are the clip's.

    Only samples under a patch change. 8 bits are written as H.264, 10 and 12 as HEVC.
    sound: the file whose sound replaces the clip's own; None keeps that. It is copied where mp4
    holds it, and ends with the pictures. crf: x264's quality; None: as good as the clip itself.
    kept: the clip's other streams that go along; changed: what does not, or not as it is. Both are
    whole after `__enter__`, and `changed` is logged.
    Raises InputError for a bad sound, StorageError when the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        like: Film,
        sound: Path | None,
        crf: int | None = None,
        preset: str = "veryfast",
        metadata: dict[str, str] | None = None,
    ) -> None:
        super().__init__(path, sound, metadata)
        self.like = like
        self.crf, self.preset = crf, preset
        self.kept: list[str] = []
        self.changed: list[str] = []
        self.end_s = Fraction(0)

    def __enter__(self) -> Self:
        super().__enter__()
        for what in self.changed:
            log.info("%s: %s", self.like.path, what)
        return self

    def write(
        self, original: FilmFrame, patch: Patch | None, *, time_s: Fraction | None = None
    ) -> None:
        """Add a frame with a patch; nothing of it but what lies under alpha > 0 changes.

        time_s: when it is shown, rising (default: as in the clip). The same frame may be written
        any number of times, and the arrays be reused afterwards.
        """
        added = patch and self._pictures.difference(original.rgb, patch)
        self._queue(original.decoded, added, original.time_s if time_s is None else time_s)

    def _begin(self, out: OutputContainer, held: ExitStack) -> None:
        clip = held.enter_context(open_video(self.like.path))
        container = clip.stream.container
        theirs = {k: v for k, v in container.metadata.items() if k not in FORMAT_TAGS}
        out.metadata.update(theirs | self.metadata)
        self._pictures = PlanesTrack(
            out, self.like, crf=self.crf, preset=self.preset, changed=self.changed
        )
        own = _sound_of(self.like.path, held)
        self._tracks: list[SoundTrack | CopiedTracks] = []
        heard = own if self.sound is None else _sound_of(self.sound, held)
        if heard is not None:
            self._tracks.append(self._sound_track(out, heard))
        others = [s for s in others_of(clip) if own is None or s.index != own.stream.index]
        kept = [s for s in others if s.codec_context and s.codec_context.name in COPIED]
        if kept:
            self._tracks.append(CopiedTracks(out, kept, start_s=clip.start_s))
        self.kept += [described(stream) for stream in kept]
        self.changed += [f"{described(s)} is left out" for s in others if s not in kept]
        out.set_chapters(container.chapters())

    def _sound_track(self, out: OutputContainer, heard: Track) -> SoundTrack | CopiedTracks:
        codec = heard.stream.codec_context.name
        if codec in COPIED_SOUNDS:
            return CopiedTracks(out, [heard.stream], start_s=heard.start_s)
        self.changed.append(f"sound as aac, not {codec}")
        return SoundTrack(out, heard.path)

    def _add(self, decoded: VideoFrame, added: Added | None, time_s: Fraction) -> None:
        self._pictures.add(decoded, added, time_s)
        self.frames_written += 1
        self.end_s = time_s + 1 / self.like.fps
        for track in self._tracks:
            track.add_until(self.end_s)

    def _finish(self) -> None:
        self._pictures.finish()
        for track in self._tracks:
            track.finish(self.end_s, slack=1 / self.like.fps)


def _sound_of(path: Path, held: ExitStack) -> Track | None:
    """The sound of a file that stays open, None where there is none to be read."""
    try:
        return held.enter_context(open_track(path, "audio"))
    except UnreadableMedia:
        return None
