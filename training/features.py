"""Windows of random sessions of speech, cut and encoded as in service.

    python -m training.features work/people.npz work/windows --spoken work/spoken --sessions 600

Windows start at any sample, in pairs that lie close to each other, so that training can ask both
for the same lips. With `--live` they are as short as a live session's and follow each other, in
runs, as the frames of a video do, and the faces are those that the shipped decoder says, which
hears more of what comes after them.
Each session becomes `session_NNNNN.npz`: features float16 [W,T,368], coefficients float16 [W,T,K],
marks bool [W,T] (frames at which p, b or m shut the lips), shift float32 [W/2] (feature frames from
a pair's first window to its second; of a run one, 0).
"""

import argparse
import json
import logging
import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdth.embedded.speech.decoder import Decoder
from mdth.embedded.speech.speech_encoder import SpeechEncoder
from mdth.embedded.speech.windows import (
    CENTRE_SAMPLES,
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    TAIL_SAMPLES,
    level,
)
from mdth.files.write import replacing
from training import command, models
from training.bank import LIVE, SCHEME, at_times, encode_clip
from training.people import People

if TYPE_CHECKING:
    from training.sessions import Session

log = logging.getLogger("mdth")

PAIRS_PER_SECOND = 4.0
TAUGHT_HZ = 100
# A run: so many windows, a frame of 25 a second from each to the next; this part of a session's.
RUN, RUN_HOP, RUNS_KEPT = 24, SAMPLE_RATE_HZ // 25, 0.5


def encode_session(
    session: "Session",
    encoder: SpeechEncoder,
    frames: int,
    rng: np.random.Generator,
    *,
    runs: bool = False,
) -> dict[str, npt.NDArray[np.generic]]:
    """Random pairs, or runs, of windows of `frames` feature frames of a session, encoded."""
    from training.sessions import DENSE_HZ

    length = frames * FRAME_SAMPLES + TAIL_SAMPLES
    before = length * 3 // 4
    padded = np.pad(session.sound, (before, length * 3 // 4))
    if runs:
        both = rng.integers(RUN_HOP) + RUN_HOP * np.arange((len(padded) - length) // RUN_HOP)
        found = both[: len(both) // RUN * RUN].reshape(-1, RUN)
        kept = rng.choice(len(found), math.ceil(RUNS_KEPT * len(found)), replace=False)
        both, steps = found[kept].reshape(-1), np.zeros(len(kept), int)
    else:
        pairs = int(len(session.sound) / SAMPLE_RATE_HZ * PAIRS_PER_SECOND)
        starts = rng.integers(0, len(padded) - length - 16 * FRAME_SAMPLES, pairs)
        steps = rng.integers(1, FRAME_SAMPLES, pairs)
        steps += FRAME_SAMPLES * rng.integers(0, 12, pairs) * (rng.random(pairs) < 0.5)
        both = np.stack([starts, starts + steps], axis=1).reshape(-1)
    offsets = FRAME_SAMPLES * np.arange(frames) + CENTRE_SAMPLES - before
    times_s = (both[:, None] + offsets) / SAMPLE_RATE_HZ
    dense = np.clip(np.round(times_s * DENSE_HZ).astype(int), 0, len(session.coefficients) - 1)
    marks = np.zeros(times_s.shape, bool)
    for closure in session.closures:
        marks |= np.abs(times_s - closure) <= 0.5 * FRAME_SAMPLES / SAMPLE_RATE_HZ
    features = [encoder.hear(level(padded[at : at + length])) for at in both]
    return {
        "features": np.stack(features).astype(np.float16),
        "coefficients": session.coefficients[dense].astype(np.float16),
        "marks": marks,
        "shift": (steps / FRAME_SAMPLES).astype(np.float32),
    }


def taught(session: "Session", encoder: Path) -> "Session":
    """The session with the shipped decoder's faces."""
    from scipy.interpolate import CubicSpline

    from training.sessions import DENSE_HZ

    decoder, dense = Decoder(), np.arange(len(session.coefficients)) / DENSE_HZ
    heard = encode_clip(session.sound, encoder).astype(np.float32)
    said = np.stack([decoder.coefficients(window) for window in heard])
    times = np.arange(0, dense[-1], 1 / TAUGHT_HZ)
    faces = CubicSpline(times, at_times(said, times))(dense)
    return replace(session, coefficients=faces.astype(np.float32))


def _work(given: argparse.Namespace, numbers: list[int], stop_at: float) -> int:
    """Write the sessions of these numbers, until it is time to stop; the number of windows."""
    import torch

    from training.sessions import KINDS, TAUGHT_KINDS, Library, make_session

    torch.set_num_threads(1)
    late_ms = json.loads(given.lags.read_text("utf-8"))["late_ms"] if given.lags else {}
    late_s = {name: value / 1000 for name, value in late_ms.items()}
    library = Library(People.load(given.people), given.spoken, late_s)
    encoder = SpeechEncoder(given.encoder)
    count = 0
    for number in numbers:
        file = given.output / f"session_{number:05d}.npz"
        if file.exists():
            continue
        if time.time() > stop_at:
            break
        rng = np.random.default_rng(number)
        session = make_session(library, rng, TAUGHT_KINDS if given.live else KINDS)
        session = taught(session, given.encoder) if given.live else session
        frames = (LIVE if given.live else SCHEME).frames
        windows = encode_session(session, encoder, frames, rng, runs=given.live)
        with replacing(file) as part:
            np.savez(part, **windows)  # type: ignore[arg-type]
        count += len(windows["features"])
    return count


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.features", __doc__)
    parser.add_argument("people", type=Path, help="npz of training.people")
    parser.add_argument("output", type=Path)
    parser.add_argument("--encoder", type=Path, help="moonshine_tiny_en_encoder.ort")
    parser.add_argument("--spoken", type=Path, help="folder of spoken sentences")
    parser.add_argument("--lags", type=Path, help="card that says by how much lips are late")
    parser.add_argument("--live", action="store_true", help="for the decoder of live sessions")
    parser.add_argument("--sessions", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after this long")
    parser.add_argument("--random-seed", "--seed", type=int, default=0,
                        help="and number of the first session")  # fmt: skip
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    given.encoder = given.encoder or models.encoder()
    given.output.mkdir(parents=True, exist_ok=True)
    stop_at, workers = time.time() + given.seconds, given.workers
    numbers = list(range(given.random_seed, given.random_seed + given.sessions))
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(_work, given, numbers[k::workers], stop_at) for k in range(workers)]
        log.info("%d windows", sum(done.result() for done in jobs))


if __name__ == "__main__":
    command.run(main)
