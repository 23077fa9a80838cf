"""A live avatar fed in real time: how late its frames are, and what it takes.

python -m benchmarks.live [PORTRAIT] [SPEECH] pushes the speech in blocks of 20 ms as a microphone
would, again and again for five minutes (`--hour`: for an hour); frames are encoded (H.264 and AAC,
zero latency) and thrown away. Then answers come at once. Latency: from a frame's last sample pushed
to the frame encoded. Beside it: the mouth of files, which hears more ahead, for one speech.
"""

import argparse
import resource
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
SHORT_S, HOUR_S = 300.0, 3600.0


class Shown(NamedTuple):
    """One frame: when it was encoded, CPU seconds of the process until then, what it did."""

    at_s: float
    cpu_s: float
    state: str


Spoken = tuple[list[Shown], FloatArray]


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


def of_microphone(live: LiveSession, frames: Iterator[Shown], speech: FloatArray) -> Spoken:
    """The frames that spoke, and how late each was [T] s."""
    pushed_s: list[float] = []
    talker = threading.Thread(target=speak, args=(live, speech, pushed_s))
    talker.start()
    said: list[Shown] = []
    for frame in frames:
        if frame.state == SPEAKING:
            said.append(frame)
        elif not talker.is_alive() and not live.waiting_s:
            break
    talker.join()
    ends = np.arange(1, len(said) + 1) / live.fps
    blocks = np.clip(np.ceil(ends / BLOCK_S - 1e-6).astype(int) - 1, 0, len(pushed_s) - 1)
    late_s = np.array([frame.at_s for frame in said]) - np.array(pushed_s)[blocks]
    return said, late_s


def cores(frames: list[Shown]) -> float:
    """CPU seconds a second."""
    return (frames[-1].cpu_s - frames[0].cpu_s) / (frames[-1].at_s - frames[0].at_s)


def rest(frames: Iterator[Shown], seconds: float, fps: int) -> list[Shown]:
    return [next(frames) for _ in range(round(seconds * fps))]


def answer(live: LiveSession, frames: Iterator[Shown], speech: FloatArray) -> float:
    """Seconds until the first frame of an answer whose first 0.6 s are pushed at once."""
    began_s = time.monotonic()
    live.push(speech[: round(ANSWER_S * SPEECH_RATE_HZ)])
    first = next(frame for frame in frames if frame.state == SPEAKING)
    live.interrupt()
    return first.at_s - began_s


def column(live: LiveSession, speech: FloatArray, seconds: float) -> dict[str, str]:
    """One column of the table: `seconds` of speech, then answers."""
    frames = shown(live)
    rest(frames, 1, live.fps)
    idle = cores(rest(frames, PAUSE_S, live.fps))
    said: list[Shown] = []
    lates: list[FloatArray] = []
    loads: list[float] = []
    repeated, before_mb, began_s = live.repeated, resident_mb(), time.monotonic()
    while not said or said[-1].at_s - said[0].at_s < seconds - len(speech) / SPEECH_RATE_HZ:
        spoken, late_s = of_microphone(live, frames, speech)
        said += spoken
        lates.append(late_s)
        loads.append(cores(spoken))
        rest(frames, 1, live.fps)
    missing = (live.repeated - repeated) / (time.monotonic() - began_s)
    grown_mb = resident_mb() - before_mb
    firsts = []
    for _ in range(3):
        firsts.append(answer(live, frames, speech))
        rest(frames, 1, live.fps)
    live.close()
    middle, most = np.quantile(np.concatenate(lates), [0.5, 0.95])
    return {
        "latency, sound pushed to frame encoded: median": f"{middle:.3f} s",
        "the same, 95 %": f"{most:.3f} s",
        "frames": f"{len(said)}",
        f"pictures drawn a second, of {live.fps}": f"{live.fps - missing:.1f}",
        f"first frame of an answer, {ANSWER_S} s pushed at once": f"{max(firsts):.3f} s",
        "cores in use while speaking": f"{np.mean(loads):.2f}",
        "idle": f"{idle:.2f}",
        "memory grown": f"{grown_mb:.0f} MB",
    }


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def parsed() -> argparse.Namespace:
    parser = command.parser("benchmarks.live", __doc__)
    add = parser.add_argument
    add("portrait", nargs="?", type=Path, default=EXAMPLES / "grace_hopper.jpg")
    add("speech", nargs="?", type=Path, default=EXAMPLES / "speech.wav")
    add("--size", type=int, default=512, help="longest side of the frames in px")
    add("--fps", type=int, default=25)
    add("--hour", action="store_true", help="an hour instead of five minutes")
    add("--seconds", type=float, help="another time")
    return parser.parse_args()


def main() -> None:
    given = parsed()
    speech = np.concatenate(list(read_blocks(given.speech)))
    avatar = mdth.prepare(given.portrait, max_size=given.size)
    seconds = given.seconds or (HOUR_S if given.hour else SHORT_S)
    columns = {}
    for mesh, length_s in (("live", seconds), ("embedded", 0.0)):
        live = mdth.live(avatar, pace=True, fps=given.fps, engine_mesh=mesh)
        width, height = live.size
        columns[f"engine_mesh {mesh}"] = column(live, speech, length_s)
    print(machine())
    print(f"{width} x {height} px, {given.fps} frames/s, {seconds:.0f} s\n")
    print(f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name in columns["engine_mesh live"]:
        print(f"| {name} | {' | '.join(found[name] for found in columns.values())} |")


if __name__ == "__main__":
    command.run(main)
