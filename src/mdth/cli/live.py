"""`mdth live`: speech from stdin, an avatar that speaks and lives to stdout, as time goes."""

import argparse
import contextlib
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mdth import guard
from mdth.cli.commands import STDOUT
from mdth.errors import InputError, MdthError
from mdth.log.console import Progress
from mdth.options import TABLE

if TYPE_CHECKING:
    from mdth.integrations.weights import Weights
    from mdth.live_session import LiveFrame, LiveSession

log = logging.getLogger("mdth")

BLOCK_BYTES = 640  # 20 ms
# A sender that is faster than time waits when this much is waiting.
MOST_WAITING_S = 2.0


def live(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """PCM -> MPEG-TS or raw frames, until stdin has ended and all was said, or for some seconds."""
    import mdth
    from mdth import engines, record
    from mdth.integrations import weights
    from mdth.media.transport import TransportWriter
    from mdth.media.writer import RawWriter

    if parsed.text is None and (sys.stdin is None or sys.stdin.isatty()):
        raise InputError("no speech: send s16le, 16 kHz, mono, such as: ffmpeg ... | mdth live ...")
    terminal = sys.stdout is None or sys.stdout.isatty()
    if parsed.output == STDOUT and parsed.weights is None and terminal:
        raise InputError("a stream is not for a terminal; send it on, or name a file with -o")
    if parsed.output != STDOUT and _is(parsed.output, parsed.avatar):
        raise InputError(f"{parsed.output}: is the avatar; write to another place")
    chosen = {name: value for name, value in vars(parsed).items() if name in TABLE}
    saved = engines.is_saved(parsed.avatar)
    avatar = engines.load(parsed.avatar) if saved else mdth.prepare(parsed.avatar, **chosen)
    send = _hear if parsed.text is None else _speaker(parsed)
    if parsed.weights is None:
        session = mdth.live(avatar, pace=True, **chosen)
    else:
        session, face = weights.live_weights(avatar, pace=True, **chosen)
    out = sys.stdout.buffer if parsed.output == STDOUT else Path(parsed.output).open("wb")
    stdin = sys.stdin.buffer if sys.stdin else io.BytesIO()
    heard = threading.Thread(target=send, args=(stdin, session), daemon=True)
    try:
        heard.start()
        if parsed.weights is not None:
            _show(session, heard, parsed.seconds, _sender(parsed.weights, session, face, out))
        elif parsed.raw:
            with RawWriter(out) as raw:
                _show(session, heard, parsed.seconds, lambda frame: raw.write(frame.picture))
        else:
            size, fps = session.size, session.fps
            with TransportWriter(out, size=size, fps=fps, metadata=record.SYNTHETIC) as stream:
                _show(session, heard, parsed.seconds, lambda it: stream.write(*it[:2]))
    finally:
        session.close()
        if parsed.output != STDOUT:
            out.close()
    yield from ()


def _show(
    session: "LiveSession",
    heard: threading.Thread,
    seconds: float | None,
    write: Callable[["LiveFrame"], None],
) -> None:
    for frame in session:
        write(frame)
        guard.grow(1 / session.fps)
        said = not heard.is_alive() and not session.waiting_s
        if said if seconds is None else frame.time_s + 1.5 / session.fps > seconds:
            return


def _sender(
    target: str, session: "LiveSession", face: "Weights", out: BinaryIO
) -> Callable[["LiveFrame"], None]:
    """What writes a frame's weights as a line, or sends them."""
    from mdth.integrations import weights

    if target == STDOUT:

        def write(frame: "LiveFrame") -> None:
            out.write(weights.json_line(face(frame), session.state).encode())
            out.flush()

        return write
    host, _, port = target.rpartition(":")
    if not (host and port.isdigit() and int(port) < 1 << 16):
        raise InputError(f"{target}: give HOST:PORT, such as 127.0.0.1:{weights.PORT}")
    try:
        place = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
    except OSError as error:
        raise InputError(f"{target}: {error.strerror}; give another host") from error
    sent = socket.socket(place[0], socket.SOCK_DGRAM)

    def send(frame: "LiveFrame") -> None:
        with contextlib.suppress(ConnectionError):  # nobody listens yet
            sent.sendto(weights.packet(face(frame), fps=session.fps), place[4])

    return send


def _is(output: str, avatar: Path) -> bool:
    return Path(output).exists() and avatar.samefile(output)


def _hear(file: BinaryIO, session: "LiveSession") -> None:
    """Push what comes as it comes."""
    import numpy as np

    rest = b""
    try:
        while block := file.read1(BLOCK_BYTES):  # type: ignore[attr-defined]
            whole = len(rest + block) // 2 * 2
            session.push(np.frombuffer((rest + block)[:whole], "<i2").astype(np.int16))
            rest = (rest + block)[whole:]
            _wait(session)
        session.end_of_speech()
    except (MdthError, OSError, ValueError):  # the session was closed
        return


def _wait(session: "LiveSession") -> None:
    while session.waiting_s > MOST_WAITING_S:
        time.sleep(0.02)


def _speaker(parsed: argparse.Namespace) -> Callable[[BinaryIO, "LiveSession"], None]:
    """What says a text, or lines as they come: a sentence while the next is made."""
    from mdth.speak.voice import RATE_HZ, Voice

    voice = Voice(parsed.voice, speed=parsed.voice_speed, threads=1)
    # What is missing or cannot be said shows before anything is drawn.
    voice.load()
    said = None if parsed.text == STDOUT else voice.say(parsed.text)

    def say(file: BinaryIO, session: "LiveSession") -> None:
        try:
            for line in [b""] if said else filter(bytes.strip, file):
                try:
                    sentences = said or voice.say(line.decode())
                except (MdthError, UnicodeDecodeError) as error:
                    log.warning("%s", error)
                    continue
                for sentence in sentences:
                    session.push(sentence.sound, rate_hz=RATE_HZ)
                    session.end_of_speech()
                    _wait(session)
        except (MdthError, OSError, ValueError):  # the session was closed
            return

    return say
