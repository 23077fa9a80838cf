"""A live avatar fed in real time: how late its frames are, and what it takes.

python -m benchmarks.live [PORTRAIT] [SPEECH] pushes the speech in blocks of 20 ms as a microphone
would; frames are encoded (H.264 and AAC, zero latency) and thrown away. Then an answer comes at
once. Latency: from a frame's last sample pushed to the frame encoded.
"""

import argparse
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

import mdth
from benchmarks.machine import machine
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.live_session import SPEAKING, LiveSession
from mdth.media.audio import read_blocks
from mdth.media.transport import TransportWriter
from training import command

EXAMPLES = Path(mdth.__file__).parent / "examples"
BLOCK_S, ANSWER_S, PAUSE_S = 0.02, 0.6, 4.0


class Shown(NamedTuple):
    """One frame: when it was encoded, CPU seconds of the process until then, what it did."""

    at_s: float
    cpu_s: float
    state: str


class Nowhere:
    """A file for bytes that nobody wants."""

    def write(self, data: bytes) -> int:
        return len(data)


def shown(live: LiveSession) -> Iterator[Shown]:
    with TransportWriter(Nowhere(), size=live.size, fps=live.fps, metadata={}) as out:  # type: ignore[arg-type]
        for frame in live:
            out.write(frame.picture, frame.sound)
            yield Shown(time.monotonic(), time.process_time(), live.state)


def speak(live: LiveSession, speech: FloatArray, pushed_s: list[float]) -> None:
    """Push it as time goes; when each block was there goes to `pushed_s`."""
    size, began_s = round(BLOCK_S * SPEECH_RATE_HZ), time.monotonic()
    for number, start in enumerate(range(0, len(speech), size)):
        time.sleep(max(0.0, began_s + (number + 1) * BLOCK_S - time.monotonic()))
        live.push(speech[start : start + size])
        pushed_s.append(time.monotonic())
    live.end_of_speech()


def of_microphone(live: LiveSession, frames: Iterator[Shown], speech: FloatArray) -> list[Shown]:
    """Latencies are printed; gives the frames that spoke."""
    pushed_s: list[float] = []
    talker = threading.Thread(target=speak, args=(live, speech, pushed_s))
    talker.start()
    said: list[Shown] = []
    others, repeated = 0, live.repeated
    for frame in frames:
        if frame.state == SPEAKING:
            said.append(frame)
        else:
            others += bool(said)
            if not talker.is_alive() and not live.waiting_s:
                break
    talker.join()
    ends = np.arange(1, len(said) + 1) / live.fps
    blocks = np.clip(np.ceil(ends / BLOCK_S - 1e-6).astype(int) - 1, 0, len(pushed_s) - 1)
    late_s = np.array([frame.at_s for frame in said]) - np.array(pushed_s)[blocks]
    middle, most = np.quantile(late_s, [0.5, 0.95])
    print(f"as a microphone: {len(said)} frames, {live.repeated - repeated} of them repeated")
    print(f"latency: median {middle:.3f} s, 95 % {most:.3f} s; gaps: {max(0, others - 1)} frames")
    return said


def cores(frames: list[Shown]) -> float:
    """CPU seconds a second."""
    return (frames[-1].cpu_s - frames[0].cpu_s) / (frames[-1].at_s - frames[0].at_s)


def rest(frames: Iterator[Shown], seconds: float, fps: int) -> list[Shown]:
    return [next(frames) for _ in range(round(seconds * fps))]


def answer(live: LiveSession, frames: Iterator[Shown], speech: FloatArray) -> None:
    began_s = time.monotonic()
    live.push(speech[: round(ANSWER_S * SPEECH_RATE_HZ)])
    first = next(frame for frame in frames if frame.state == SPEAKING)
    print(f"{ANSWER_S} s pushed at once: first frame after {first.at_s - began_s:.3f} s")
    live.interrupt()


def parsed() -> argparse.Namespace:
    parser = command.parser("benchmarks.live", __doc__)
    add = parser.add_argument
    add("portrait", nargs="?", type=Path, default=EXAMPLES / "grace_hopper.jpg")
    add("speech", nargs="?", type=Path, default=EXAMPLES / "speech.wav")
    add("--size", type=int, default=512, help="longest side of the frames in px")
    add("--fps", type=int, default=25)
    return parser.parse_args()


def main() -> None:
    given = parsed()
    speech = np.concatenate(list(read_blocks(given.speech)))
    avatar = mdth.prepare(given.portrait, max_size=given.size)
    live = mdth.live(avatar, pace=True, fps=given.fps)
    print(machine())
    width, height = live.size
    print(f"{width} x {height} px, {live.fps} frames/s")
    frames = shown(live)
    rest(frames, 1, live.fps)
    print(f"idle: {cores(rest(frames, PAUSE_S, live.fps)):.2f} cores")
    print(f"speaking: {cores(of_microphone(live, frames, speech)):.2f} cores")
    rest(frames, PAUSE_S, live.fps)
    for _ in range(3):
        answer(live, frames, speech)
        rest(frames, 1, live.fps)
    live.close()


if __name__ == "__main__":
    command.run(main)
