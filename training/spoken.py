"""Our own sentences spoken by synthetic voices, with faces whose lips are shut on every p, b and m.

    python -m training.spoken speak work/spoken --minutes 20
    python -m training.spoken label work/spoken --run work/runs/first

GRID has m almost only as a letter's name, and trackers see half of the shut lips of fast speech as
a little open, so that a decoder trained on it leaves lips apart on m. Here the phone times are
known: the faces are those of a decoder trained without them, and where a p, b or m sounds, its lips
are brought together along the way that opening lips take in the tracked faces.
The last sentences and the voices of HELD_OUT are for measuring alone (`training.closures`). `speak`
goes on where it stopped.
"""

import argparse
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import InputError
from mdth.speak import voice as speak
from training import closures, command, kokoro, models
from training.kokoro_times import RATE_HZ, with_margins, write_phones
from training.measures import linear
from training.people import People

log = logging.getLogger("mdth")

SENTENCES = Path(__file__).with_name("sentences.txt")
LAST_HELD_OUT = 20
HELD_OUT = ("af_heart", "am_michael", "bf_emma")
SPEEDS = (0.85, 1.25)
MIX_WEIGHTS = (0.25, 0.75)
LABEL_FPS = 100
# The lips meet in the first half of such a phone; the burst or the next sound parts them.
MEET = 0.4
HOLD_S = 0.03
SHOULDER_S = 0.08
# Just past touching, in eye distances, so that shut lips stay shut under the decoder's own error.
SHUT_GAP = -0.004


def sentences() -> tuple[list[str], list[str]]:
    """Those for training, and those held out."""
    lines = SENTENCES.read_text("utf-8").splitlines()
    texts = [line for line in lines if line and not line.startswith("#")]
    return texts[:-LAST_HELD_OUT], texts[-LAST_HELD_OUT:]


def plan(number: int, text: str, voices: list[str], *, held_out: bool) -> tuple[str, str, float]:
    """Name, voice and speed of a sentence; a training voice may be a mix of two of one accent."""
    random = np.random.default_rng([7, number, held_out])
    if held_out:
        return f"held_{number:03d}", HELD_OUT[number % len(HELD_OUT)], 1.0
    free = [voice for voice in voices if voice not in HELD_OUT]
    first = free[int(random.integers(len(free)))]
    alike = [voice for voice in free if voice[0] == first[0] and voice != first]
    second = alike[int(random.integers(len(alike)))]
    weight = round(float(random.uniform(*MIX_WEIGHTS)), 2)
    voice = first if random.random() < 0.5 else f"{first}:{weight},{second}:{1 - weight:.2f}"
    return f"train_{number:03d}", voice, round(float(random.uniform(*SPEEDS)), 3)


def shut(
    coefficients: FloatArray, phones: list[tuple[str, float, float]], people: People
) -> tuple[FloatArray, FloatArray]:
    """Coefficients [T,K] at LABEL_FPS with the lips shut on p, b and m; the times [M] of these, s.

    What is taken away is the mean change of a face that goes with an opening of its lips (the
    regression of coefficients on opening, over the tracked faces): jaw and corners go along.
    """
    opening = linear(people.basis)[:, 0]
    train = people.of("train")
    rest = float(np.median([clip.measures[:, 0].min() for clip in train]))
    spread = np.cov(np.concatenate([clip.coefficients for clip in train]).T) @ opening
    way = spread / (opening @ spread)
    times = np.arange(len(coefficients)) / LABEL_FPS
    meetings = np.array([
        start_s + MEET * (end_s - start_s)
        for phone, start_s, end_s in phones if phone in closures.LABIALS
    ])  # fmt: skip
    away = np.abs(times[:, None] - meetings).min(axis=1, initial=np.inf)
    part = np.clip((away - HOLD_S) / SHOULDER_S, 0, 1)
    near = 0.5 * (1 + np.cos(np.pi * part))
    gap = coefficients @ opening + rest
    too_far = np.maximum(gap - SHUT_GAP, 0) * near
    return coefficients - too_far[:, None] * way, meetings


def _speak(arguments: argparse.Namespace) -> None:
    """The command `speak`: wav at 16 kHz and phone times of every sentence, until time is up."""
    from scipy.signal import resample_poly

    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    synthesizer, voices = kokoro.Synthesizer(), list(speak.voices())
    stop_at = time.monotonic() + 60 * arguments.minutes
    for name, text, voice, speed in _all(voices, arguments.rounds):
        if (folder / f"{name}.wav").exists():
            continue
        if time.monotonic() > stop_at:
            log.info("time is up; run again to go on")
            return
        try:
            symbols = synthesizer.phonemes(text, voice)
        except InputError as error:
            log.info("%s: left out: %s", name, error)
            continue
        speech = synthesizer.timed(symbols, voice, speed=speed)
        margin_s = kokoro.MARGIN_S
        samples, phones = with_margins(*speech, lead_s=margin_s, trail_s=margin_s)
        sound = resample_poly(samples, SPEECH_RATE_HZ, RATE_HZ).astype(np.float32)
        write_phones(folder / f"{name}.tsv", phones)
        sound *= kokoro.PEAK / np.abs(sound).max()
        kokoro.write_wav(folder / f"{name}.wav", sound, SPEECH_RATE_HZ)


def _all(voices: list[str], rounds: int) -> Iterator[tuple[str, str, str, float]]:
    """Name, text, voice and speed: the held-out ones, then rounds over those for training."""
    training, held_out = sentences()
    for number, text in enumerate(held_out):
        name, voice, speed = plan(number, text, voices, held_out=True)
        yield name, text, voice, speed
    for number in range(rounds * len(training)):
        text = training[number % len(training)]
        name, voice, speed = plan(number, text, voices, held_out=False)
        yield name, text, voice, speed


def _label(arguments: argparse.Namespace) -> None:
    """The command `label`: the faces of every training sentence, as NAME.npz."""
    from training.bank import at_times, decoded, encode_clip
    from training.export_onnx import load_run

    people, (network, _) = People.load(arguments.people), load_run(arguments.run)
    wavs = command.files_in(arguments.folder, "train_*.wav")
    sounds = [kokoro.read_wav(wav) for wav in wavs]
    with ProcessPoolExecutor() as pool:
        heard = list(pool.map(encode_clip, sounds, repeat(models.encoder())))
    for wav, sound, windows in zip(wavs, sounds, heard, strict=True):
        times = np.arange(int(len(sound) / SPEECH_RATE_HZ * LABEL_FPS)) / LABEL_FPS
        found = at_times(decoded(network, windows), times)
        coefficients, meetings = shut(found, closures.read_phones(wav.with_suffix(".tsv")), people)
        np.savez(
            wav.with_suffix(".npz"),
            times=np.arange(len(coefficients)) / LABEL_FPS,
            coefficients=coefficients.astype(np.float32),
            closures=meetings,
        )


def main() -> None:
    parser = command.parser("training.spoken", __doc__)
    parts = command.parts(parser, {"speak": _speak, "label": _label})
    for part in parts.values():
        part.add_argument("folder", type=Path)
    parts["speak"].add_argument("--minutes", type=float, default=20.0)
    parts["speak"].add_argument("--rounds", type=int, default=1)
    parts["label"].add_argument("--people", type=Path, default=Path("work/people.npz"))
    parts["label"].add_argument("--run", type=Path, required=True, help="whose faces they get")
    given = parser.parse_args()
    given.part(given)


if __name__ == "__main__":
    command.run(main)
