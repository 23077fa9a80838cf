"""Tracks of a file taken over as they are, without decoding."""

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import cast

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

# What mp4 holds and players of it play; "float" names decoders, not formats.
SOUND_CODECS = frozenset({"aac", "mp3", "mp3float", "alac", "ac3", "eac3"})
OTHER_CODECS = frozenset({"mov_text", "h264", "hevc"})


def can_copy(stream: Stream) -> bool:
    """Whether mp4 holds a stream as it is."""
    context = stream.codec_context
    return context is not None and context.name in SOUND_CODECS | OTHER_CODECS


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
