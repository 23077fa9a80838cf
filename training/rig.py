"""A recorded face rig's speech joins a training set: true motion of one more real talker.

    python -m training.rig work/people.npz data/talk/facegood work/people_rig.npz \
        --run work/runs/first

The rig's weights say how far its lips open, pucker and spread, but not what that is on our face. A
decoder trained without it hears the same recordings: what it says of them, regressed on the
weights, is the linear map from weights to our coefficients, and the weights' own motion gives the
faces. They are scaled to the usual opening and width as everybody's.
"""

import logging
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ
from training import command, models
from training.bank import at_times, decoded, encode_clip, quiet_inside
from training.dataset import read_sound
from training.export_onnx import load_run
from training.measures import linear, predicted
from training.people import Clip, People, scaled_to_usual
from training.score import best_lag, correlation

log = logging.getLogger("mdth")

PERSON = "rig"
# Weights that hardly move (standard deviation) tell nothing.
MOVES = 0.01
# What counts as a pause; the rig's lips shut before the sound fades, by so much.
PAUSE_S, EARLY_S, FADE_S = 0.3, 0.12, 0.07


def read_weights(file: Path) -> tuple[FloatArray, float]:
    """Weights [T,W] of a recording, and frames a second."""
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["weights"].astype(np.float64), float(arrays["fps"])


def mapped(weights: list[FloatArray], said: list[FloatArray]) -> list[FloatArray]:
    """Coefficients [T,K] of weights [T,W], by a ridge regression of what a decoder says on them."""
    moving = np.concatenate(weights).std(axis=0) > MOVES
    rows = np.concatenate(weights)[:, moving]
    wanted = np.concatenate(said)
    mean, target = rows.mean(axis=0), wanted.mean(axis=0)
    ridge = 1e-3 * len(rows) * rows.var(axis=0).mean() * np.eye(moving.sum())
    centred = rows - mean
    slope = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (wanted - target))
    # Where all weights are zero the rig's lips are shut, as ours are at zero.
    return [w[:, moving] @ slope for w in weights]


def _said(rows: FloatArray, count: int, fps: float, lag_s: float) -> FloatArray:
    """Coefficients [T,K] of windows [W,T,K] at the times of `count` frames that are late."""
    return at_times(rows, np.maximum(np.arange(count) / fps - lag_s, 0))


def _lag(rows: list[FloatArray], weights: list[FloatArray], fps: float, people: People) -> float:
    """By how much the rig's lips are late (s): one figure, the median over its recordings."""
    opening = linear(people.basis)[:, 0]
    said = [_said(row, len(w), fps, 0.0) for row, w in zip(rows, weights, strict=True)]
    faces = mapped(weights, said)
    lags = [-best_lag(a @ opening, b @ opening, fps)[0] for a, b in zip(said, faces, strict=True)]
    return float(np.median(lags))


def rested(clip: Clip, rest: FloatArray) -> Clip:
    """A clip with the faces `rest` [T,K] in its pauses, in which a rig, unlike people, is shut."""
    quiet = quiet_inside(clip, PAUSE_S).astype(float)
    early, fade = round(EARLY_S * clip.fps), round(FADE_S * clip.fps)
    quiet = np.stack([np.roll(quiet, -step) for step in range(early + 1)]).max(axis=0)
    kernel = np.full(2 * fade + 1, 1 / (2 * fade + 1))
    part = np.convolve(np.pad(quiet, fade, "edge"), kernel, "valid")[:, None]
    rows = part * rest + (1 - part) * clip.coefficients
    return replace(clip, coefficients=rows.astype(np.float32))


def main() -> None:
    parser = command.parser("training.rig", __doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("recordings", type=Path, help="folder of NAME.flac and NAME.npz")
    parser.add_argument("output", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="a decoder trained without it")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    people, (network, _) = People.load(given.people), load_run(given.run)
    files = command.files_in(given.recordings, "*.npz")
    sounds = [read_sound(file.with_suffix(".flac")) for file in files]
    weights, rates = zip(*map(read_weights, files), strict=True)
    with ProcessPoolExecutor(given.workers) as pool:
        heard = list(pool.map(
            encode_clip, [s.astype(np.float32) / 32768 for s in sounds], repeat(models.encoder())
        ))  # fmt: skip
    rows = [decoded(network, windows) for windows in heard]
    lag_s = _lag(rows, list(weights), rates[0], people)
    said = [_said(r, len(w), fps, lag_s) for r, w, fps in zip(rows, weights, rates, strict=True)]
    faces = mapped(list(weights), said)
    opening = linear(people.basis)[:, 0]
    fits = [correlation(a @ opening, b @ opening) for a, b in zip(said, faces, strict=True)]
    log.info("lips %.0f ms late; r of the opening %s", 1000 * lag_s, np.round(fits, 2))
    neutral = np.mean([clip.neutral for clip in people.of("train")], axis=0)
    scaled = scaled_to_usual(faces, people)
    late = max(0, round(lag_s * SAMPLE_RATE_HZ))
    rests = scaled_to_usual(said, people)
    for file, sound, row, rest, fps in zip(files, sounds, scaled, rests, rates, strict=True):
        clip = Clip(
            file.stem, PERSON, "train", np.pad(sound, (late, 0)), row.astype(np.float32), fps,
            predicted(row, people.basis, neutral).astype(np.float32), neutral, np.zeros(0), 1.0,
        )  # fmt: skip
        people.clips.append(rested(clip, rest))
    people.save(given.output)


if __name__ == "__main__":
    command.run(main)
