"""Pictures and sound as they come: a transport stream for players, fragments for browsers."""

from contextlib import AbstractContextManager
from fractions import Fraction
from typing import Any, BinaryIO

import av
import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame
from mdth.errors import StorageError
from mdth.media.container import reason
from mdth.media.tracks import PictureTrack

SOUND_BITS_PER_S = 64_000
# A player that comes later begins at the next whole picture.
WHOLE_EVERY_S = 2
# Nothing waits in the muxer for the other track.
_MUXER = {"flush_packets": "1", "max_interleave_delta": "1"}
# Each is as short as it can be; "frag_every_frame" gets times of two tracks wrong (FFmpeg 8).
_FRAGMENTS = {"movflags": "delay_moov+default_base_moof+skip_trailer", "frag_duration": "1"}
# Sound begins before its first sample, by what AAC needs; a stream has no time below 0.
FIRST_S = 1


class TransportWriter(AbstractContextManager["TransportWriter"]):
    """H.264 (zero latency) and AAC of frames with their sound, to a pipe or an open file.

    fps: whole. sound_hz: one that AAC knows. fragments: an mp4 in fragments, as Media Source
    Extensions take it, in place of an MPEG transport stream. Raises StorageError when nobody reads
    any more.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        size: tuple[int, int],
        fps: int,
        metadata: dict[str, str],
        sound_hz: int = SPEECH_RATE_HZ,
        fragments: bool = False,
    ) -> None:
        kind, options = ("mp4", _FRAGMENTS | _MUXER) if fragments else ("mpegts", _MUXER)
        self._out = av.open(file, "w", format=kind, container_options=options)
        self._out.metadata.update(metadata)
        options = {"preset": "superfast", "tune": "zerolatency", "g": str(WHOLE_EVERY_S * fps)}
        self._pictures = PictureTrack(self._out, size, Fraction(fps), options)
        # Threads for whole frames hold as many frames back.
        self._pictures.stream.codec_context.thread_count = 1
        self._stream = self._out.add_stream("aac", rate=sound_hz, layout="mono")
        self._stream.bit_rate = SOUND_BITS_PER_S
        first_s = 0 if fragments else FIRST_S
        self._pictures.count, self._count = first_s * fps, first_s * sound_hz
        self._sound_hz = sound_hz

    @property
    def mime(self) -> str:
        """The media type of fragments, with both codecs (RFC 6381)."""
        context = self._pictures.stream.codec_context
        if not context.is_open:
            context.open()
        # A start code, 67 for a sequence parameter set, then profile, constraints and level.
        parameters = (context.extradata or b"")[5:8].hex()
        return f'video/mp4; codecs="avc1.{parameters},mp4a.40.2"'

    def write(self, picture: Frame, sound: FloatArray) -> None:
        """Add RGB uint8 [H,W,3] and its float32 [n], mono."""
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound)[None], "fltp", "mono")
        frame.sample_rate = self._sound_hz
        frame.pts, frame.time_base = self._count, Fraction(1, self._sound_hz)
        self._count += len(sound)
        try:
            self._pictures.add(picture)
            self._out.mux(self._stream.encode(frame))
        except (av.FFmpegError, OSError) as error:
            raise StorageError(f"the stream cannot be written ({reason(error)})") from error

    def __exit__(self, kind: object, *_: Any) -> None:
        try:
            if kind is None:
                self._pictures.finish()
                self._out.mux(self._stream.encode(None))
            self._out.close()
        except (av.FFmpegError, OSError) as error:
            if kind is None:
                raise StorageError(f"the stream cannot be written ({reason(error)})") from error
