"""The process of one live call: messages from stdin, an avatar that speaks to stdout.

A message is a letter, the length of what follows (4 bytes, big end first), and that: `s` PCM as
s16le mono, `j` a JSON object as `WS /v1/live` has them, `m` a piece of an mp4 in fragments.
"""

import contextlib
import json
import queue
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import mdth
from mdth import engines, guard, record
from mdth.errors import InputError
from mdth.live_session import LiveSession
from mdth.media.transport import TransportWriter
from mdth.serve.problems import of_error
from mdth.serve.requests import checked_text

HEAD = struct.Struct(">cI")
SOUND, WORDS, MEDIA = b"s", b"j", b"m"
# AAC comes in blocks of 1,024 samples, two of them late: 43 ms; at 16 kHz it is 128.
SOUND_HZ = 48_000
# Of what was pushed and not said yet; what comes on top of it is refused.
MOST_WAITING_S, MOST_TEXTS, AGAIN_S = 120.0, 20, 0.5


def packed(kind: bytes, payload: bytes) -> bytes:
    """A message."""
    return HEAD.pack(kind, len(payload)) + payload


def main(live: Callable[..., None], folder: str, start: str) -> int:
    """Be live until stdin ends. folder: a saved avatar, in the folder of its job.

    live: is called with the folder, `out`, and what is in start, a JSON object.
    """
    out = Out(sys.stdout.buffer, Path(folder).parents[2])
    sys.stdout = sys.stderr
    try:
        with guard.limits():
            live(Path(folder), out, **json.loads(start))
    except Exception as error:  # noqa: BLE001 (it is told, in the user's words)
        out.fail(error)
        return 1
    return 0


class Out:
    """stdout as messages, from several threads; a file for who writes media."""

    def __init__(self, file: BinaryIO, data: Path) -> None:
        """data: whose name nobody is told."""
        self._file, self._data, self._lock = file, data, threading.Lock()

    def write(self, media: bytes) -> int:
        """A piece of the mp4."""
        self._send(MEDIA, bytes(media))
        return len(media)

    def say(self, **about: Any) -> None:
        """A JSON object."""
        self._send(WORDS, json.dumps(about).encode())

    def fail(self, error: Exception) -> None:
        """What went wrong."""
        self.say(type="error", problem=of_error(error, self._data))

    def _send(self, kind: bytes, payload: bytes) -> None:
        with self._lock:
            self._file.write(packed(kind, payload))
            self._file.flush()


def _live(folder: Path, out: Out, *, rate_hz: int, options: dict[str, Any]) -> None:
    avatar = engines.load(folder)
    opened = mdth.live(avatar, pace=True, sound_hz=SOUND_HZ, **options)
    with contextlib.closing(opened) as session:
        size, fps = session.size, session.fps
        stream = TransportWriter(
            out,  # type: ignore[arg-type]
            size=size,
            fps=fps,
            metadata=record.SYNTHETIC,
            sound_hz=SOUND_HZ,
            fragments=True,
        )
        hearing = Hearing(session, out.fail, rate_hz)
        threading.Thread(target=hearing.run, args=(sys.stdin.buffer,), daemon=True).start()
        with stream:
            out.say(type="ready", mime=stream.mime, fps=fps, size=size)
            state = ""
            for frame in session:
                if hearing.over:
                    return
                if session.state != state:
                    state = session.state
                    out.say(type="state", state=state, time_s=round(frame.time_s, 3))
                stream.write(*frame[:2])
                guard.grow(1 / fps)


class Hearing:
    """What comes from stdin goes to the session; over: nothing more comes."""

    over = False

    def __init__(
        self, session: LiveSession, fail: Callable[[Exception], None], rate_hz: int
    ) -> None:
        """fail: is told what is wrong with one message, which ends no call."""
        self._session, self._fail, self._rate_hz = session, fail, rate_hz
        self._texts = queue.Queue[tuple[int, str, str]](MOST_TEXTS)
        # Texts of before an interruption are not said.
        self._turn = 0
        self._speaker: threading.Thread | None = None

    def run(self, stdin: BinaryIO) -> None:
        """Until the end."""
        for kind, payload in messages(stdin):
            try:
                if kind == SOUND:
                    self.push(np.frombuffer(payload[: len(payload) // 2 * 2], "<i2"))
                else:
                    self.tell(parsed(payload))
            except Exception as error:  # noqa: BLE001 (it is told)
                self._fail(error)
        self.over = True

    def push(self, sound: Any, *, rate_hz: int | None = None) -> None:
        """Sound as `LiveSession.push` has it. Raises InputError."""
        if self._session.waiting_s > MOST_WAITING_S:
            raise InputError(f"more than {MOST_WAITING_S:g} s wait to be said; send more later")
        self._session.push(sound, rate_hz=rate_hz or self._rate_hz)

    def tell(self, message: Any) -> None:
        """A message that is no sound. Raises InputError."""
        match message:
            case {"type": "end_of_speech"}:
                self._session.end_of_speech()
            case {"type": "interrupt"}:
                self._turn += 1
                self._session.interrupt()
            case {"type": "text", "text": str(text), "voice": str(voice)}:
                self._add(text, voice)
            case {"type": "text", "text": str(text)}:
                self._add(text, "")
            case _:
                raise InputError("messages are end_of_speech, interrupt, and text with a text")

    def _add(self, text: str, voice: str) -> None:
        try:
            self._texts.put_nowait((self._turn, checked_text(text), voice))
        except queue.Full as error:
            raise InputError(f"more than {MOST_TEXTS} texts wait to be said") from error
        if self._speaker is None:
            self._speaker = threading.Thread(target=self._speak, daemon=True)
            self._speaker.start()

    def _speak(self) -> None:
        """Say the texts, one sentence while the next is made."""
        from mdth.speak.voice import RATE_HZ, Voice

        voices: dict[str, Voice] = {}
        while True:
            turn, text, name = self._texts.get()
            try:
                if name not in voices:  # one at a time is in memory
                    voices.clear()
                    voices[name] = Voice(name, threads=1) if name else Voice(threads=1)
                for sentence in voices[name].say(text):
                    while turn == self._turn and self._session.waiting_s > MOST_WAITING_S:
                        time.sleep(AGAIN_S)
                    if turn != self._turn:
                        break
                    self.push(sentence.sound, rate_hz=RATE_HZ)
                    self._session.end_of_speech()
            except Exception as error:  # noqa: BLE001 (it is told)
                self._fail(error)


def parsed(words: str | bytes) -> Any:
    """A message of JSON. Raises InputError."""
    try:
        return json.loads(words)
    except (ValueError, RecursionError) as error:
        raise InputError("a message is a JSON object") from error


def messages(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and what they carry, until the end."""
    while len(head := file.read(HEAD.size)) == HEAD.size:
        kind, length = HEAD.unpack(head)
        payload = file.read(length)
        if len(payload) < length:
            return
        yield kind, payload


if __name__ == "__main__":
    sys.exit(main(_live, *sys.argv[1:]))
