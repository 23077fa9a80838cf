"""The process of one live call: messages from stdin, an avatar that speaks to stdout.

A message is a letter, the length of what follows (4 bytes, big end first), and that: `s` PCM as
s16le mono, `j` a JSON object as `WS /v1/live` has them, `m` a piece of an mp4 in fragments.
"""

import contextlib
import json
import logging
import queue
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import mdth
from mdth import engines, guard, record
from mdth.errors import InputError, in_words
from mdth.live_session import LiveSession
from mdth.media.transport import TransportWriter
from mdth.serve.requests import LONGEST_TEXT

log = logging.getLogger("mdth")

HEAD = struct.Struct(">cI")
SOUND, WORDS, MEDIA = b"s", b"j", b"m"
# AAC comes in blocks of 1,024 samples, two of them late: 43 ms; at 16 kHz it is 128.
SOUND_HZ = 48_000
# Of what was pushed and not said yet; what comes on top of it is refused.
MOST_WAITING_S, MOST_TEXTS, AGAIN_S = 120.0, 20, 0.5


def packed(kind: bytes, payload: bytes) -> bytes:
    """A message."""
    return HEAD.pack(kind, len(payload)) + payload


def main(folder: str, start: str) -> int:
    """Live until stdin ends. folder: a saved avatar. start: `rate_hz` and `options`, as JSON."""
    out = _Out(sys.stdout.buffer)
    sys.stdout = sys.stderr
    try:
        with guard.limits():
            _live(Path(folder), **json.loads(start), out=out)
    except Exception as error:  # noqa: BLE001 (it is told, in the user's words)
        out.fail(error)
        return 1
    return 0


class _Out:
    """stdout as messages, from several threads; a file for who writes media."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._lock = file, threading.Lock()

    def write(self, media: bytes) -> int:
        """A piece of the mp4."""
        self._send(MEDIA, bytes(media))
        return len(media)

    def say(self, **about: Any) -> None:
        """A JSON object."""
        self._send(WORDS, json.dumps(about).encode())

    def fail(self, error: Exception) -> None:
        """What went wrong."""
        words = in_words(error)
        log.info("%s", words)
        self.say(type="error", error=(type(words).__name__, str(words)))

    def _send(self, kind: bytes, payload: bytes) -> None:
        with self._lock:
            self._file.write(packed(kind, payload))
            self._file.flush()


def _live(folder: Path, rate_hz: int, options: dict[str, Any], out: _Out) -> None:
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
        hearing = _Hearing(session, out, rate_hz)
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


class _Hearing:
    """What comes from stdin goes to the session; over: nothing more comes."""

    over = False

    def __init__(self, session: LiveSession, out: _Out, rate_hz: int) -> None:
        self._session, self._out, self._rate_hz = session, out, rate_hz
        self._texts = queue.Queue[tuple[int, str, str]](MOST_TEXTS)
        # Texts of before an interruption are not said.
        self._turn = 0
        self._speaker: threading.Thread | None = None

    def run(self, stdin: BinaryIO) -> None:
        """Until the end."""
        for kind, payload in messages(stdin):
            try:
                if kind == SOUND:
                    self._push(np.frombuffer(payload[: len(payload) // 2 * 2], "<i2"))
                else:
                    self._told(payload)
            except Exception as error:  # noqa: BLE001 (one bad message ends no call)
                self._out.fail(error)
        self.over = True

    def _push(self, sound: Any, *, rate_hz: int | None = None) -> None:
        if self._session.waiting_s > MOST_WAITING_S:
            raise InputError(f"more than {MOST_WAITING_S:g} s wait to be said; send more later")
        self._session.push(sound, rate_hz=rate_hz or self._rate_hz)

    def _told(self, words: bytes) -> None:
        match _object(words):
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
        if not text.strip() or len(text) > LONGEST_TEXT:
            raise InputError(f"text: give 1 to {LONGEST_TEXT} letters")
        try:
            self._texts.put_nowait((self._turn, text, voice))
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
                    self._push(sentence.sound, rate_hz=RATE_HZ)
                    self._session.end_of_speech()
            except Exception as error:  # noqa: BLE001 (one bad text ends no call)
                self._out.fail(error)


def _object(words: bytes) -> Any:
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
    sys.exit(main(*sys.argv[1:]))
