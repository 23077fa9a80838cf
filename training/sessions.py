"""Sessions: one voice saying some clips with pauses between, in a room, with noise, at some level.

Some sessions have no speech at all and shut lips.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ
from training import voices
from training.dataset import FPS, Faces
from training.kokoro import read_wav

CLIPS_PER_SESSION = 8
SENTENCES_PER_SESSION = 5
DENSE_HZ = 1000
SILENT_SESSIONS = 0.1
DUBBED_SESSIONS = 0.4
RECORDED_VOICE = 0.25
# A closure by the word times is looked for in the tracked gap this far around.
CLOSURE_REACH_S = 0.08
SETTLE_S = 0.12


@dataclass(frozen=True)
class Utterance:
    """A clip: sound float32 [N]; times [T] (s) and coefficients [T,K] of its faces; closures."""

    sound: FloatArray
    times: FloatArray
    coefficients: FloatArray
    closures: FloatArray


@dataclass(frozen=True)
class Session:
    """A sound float32 [N], dense coefficients [D,K] at 1 kHz, and closure times [M] in seconds."""

    sound: FloatArray
    coefficients: FloatArray
    closures: FloatArray


class Library:
    """The utterances sessions are made of.

    A training set's own, dubbed ones (`training.dub`) and spoken ones (`training.spoken`) where
    their folders are given.
    """

    def __init__(
        self, dataset: Path, dubbed: Path | None = None, spoken: Path | None = None
    ) -> None:
        self.faces = Faces.load(dataset)
        self._sounds = np.load(dataset / "sounds.npy", mmap_mode="r")
        self.clips = np.flatnonzero(~self.faces.held_out)
        self._closures = self._tracked_closures()
        self.dubbed = self._read_dubbed(dubbed) if dubbed else []
        self._dubbed_folder = dubbed
        self.spoken = sorted(spoken.glob("train_*.npz")) if spoken else []

    def _tracked_closures(self) -> list[FloatArray]:
        """For each clip the times of the smallest tracked gaps at its p, b and m."""
        found: list[list[float]] = [[] for _ in self.faces.names]
        times = np.arange(self.faces.gaps.shape[1]) / FPS
        for clip, time_s in self.faces.closures:
            near = np.flatnonzero(np.abs(times - time_s) <= CLOSURE_REACH_S)
            if len(near):
                best = near[np.argmin(self.faces.gaps[int(clip), near])]
                found[int(clip)].append(float(times[best]))
        return [np.array(sorted(times)) for times in found]

    def _read_dubbed(self, folder: Path) -> list[tuple[str, int, FloatArray, FloatArray]]:
        """File name, clip, and time map (dub seconds, clip seconds) of `training.dub`'s clips."""
        places = {str(self.faces.names[i]): int(i) for i in self.clips}
        entries = json.loads((folder / "index.json").read_text("utf-8"))
        return [
            (e["wav"], places[e["s1_clip"]], np.array(e["dub_s"]), np.array(e["s1_s"]))
            for e in entries
            if e["s1_clip"] in places
        ]

    def recorded(self, clip: int) -> Utterance:
        """A clip as recorded."""
        sound = self._sounds[clip].astype(np.float32) / 32768
        coefficients = self.faces.coefficients[clip]
        times = np.arange(len(coefficients)) / FPS
        return Utterance(sound, times, coefficients, self._closures[clip])

    def dub(self, index: int) -> Utterance:
        """A clip's words by a synthetic voice, the faces moved to its times."""
        name, clip, dub_s, clip_s = self.dubbed[index]
        sound = read_wav(Path(str(self._dubbed_folder)) / name)
        times = np.interp(np.arange(self.faces.gaps.shape[1]) / FPS, clip_s, dub_s)
        times = times + 1e-4 * np.arange(len(times))
        closures = np.interp(self._closures[clip], clip_s, dub_s)
        return Utterance(sound, times, self.faces.coefficients[clip], closures)


def read_spoken(labels: Path) -> Utterance:
    """One of `training.spoken`'s sentences: its npz, with the sound beside it."""
    with np.load(labels, allow_pickle=False) as arrays:
        found = [arrays[name] for name in ("times", "coefficients", "closures")]
    return Utterance(read_wav(labels.with_suffix(".wav")), *found)


def speak(utterance: Utterance, voice: voices.Voice) -> Utterance:
    """An utterance in another voice."""
    if voice == voices.Voice():
        return utterance
    sound = voices.change_voice(torch.from_numpy(utterance.sound)[None], voice)[0].numpy()
    factor = len(sound) / len(utterance.sound)
    return Utterance(
        sound, utterance.times * factor, utterance.coefficients, utterance.closures * factor
    )


def _pause(rng: np.random.Generator, loudness: float) -> FloatArray:
    """What lies between two utterances: mostly silence, else a breath, noise or tones."""
    kind = rng.choice(["short", "long", "breath", "noise", "tones"], p=[0.5, 0.15, 0.2, 0.1, 0.05])
    seconds = rng.uniform(0, 0.4) if kind == "short" else rng.uniform(0.4, 1.6)
    count = int(seconds * SAMPLE_RATE_HZ)
    if kind in ("short", "long") or count < 2000:
        return np.zeros(count, np.float32)
    make = {"breath": voices.breath, "noise": voices.noise, "tones": voices.tones}[kind]
    peak = loudness * 10 ** (rng.uniform(-40, -6) / 20)
    sound: FloatArray = make(count, rng).numpy() * peak
    return sound


def join(utterances: list[Utterance], rng: np.random.Generator) -> Session:
    """Utterances one after the other with pauses, in which the lips settle to neutral."""
    loudness = float(np.median([np.sqrt(np.mean(u.sound**2)) for u in utterances]))
    sounds: list[FloatArray] = []
    knots: list[tuple[float, FloatArray]] = []
    closures: list[FloatArray] = []
    neutral = np.zeros(utterances[0].coefficients.shape[1], np.float32)
    now = 0
    for utterance in utterances:
        pause = _pause(rng, loudness)
        begin_s, now_s = now / SAMPLE_RATE_HZ, (now + len(pause)) / SAMPLE_RATE_HZ
        if now_s - begin_s > 2.5 * SETTLE_S:
            knots += [(begin_s + SETTLE_S, neutral), (now_s - SETTLE_S, neutral)]
        knots += [
            (now_s + t, row)
            for t, row in zip(utterance.times, utterance.coefficients, strict=True)
            if not knots or now_s + t > knots[-1][0] + 1e-3
        ]
        closures.append(utterance.closures + now_s)
        sounds += [pause, utterance.sound]
        now += len(pause) + len(utterance.sound)
    sound = np.concatenate(sounds)
    dense_s = np.arange(int(len(sound) / SAMPLE_RATE_HZ * DENSE_HZ) + 1) / DENSE_HZ
    coefficients = _spline(
        np.array([t for t, _ in knots]), np.stack([r for _, r in knots]), dense_s
    )
    return Session(sound.astype(np.float32), coefficients, np.concatenate(closures))


def _spline(times: FloatArray, rows: FloatArray, at: FloatArray) -> FloatArray:
    from scipy.interpolate import PchipInterpolator

    spline = PchipInterpolator(times, rows, axis=0)
    found: FloatArray = spline(np.clip(at, times[0], times[-1])).astype(np.float32)
    return found


def silent_session(components: int, rng: np.random.Generator) -> Session:
    """Some seconds without speech: hiss, breaths or tones at any level, or nothing."""
    count = int(rng.uniform(6, 14) * SAMPLE_RATE_HZ)
    sound = np.zeros(count, np.float32)
    if rng.random() < 0.7:
        sound += voices.noise(count, rng).numpy() * 10 ** (rng.uniform(-80, -20) / 20)
    for _ in range(int(rng.integers(0, 6))):
        length = int(rng.uniform(0.3, 2.0) * SAMPLE_RATE_HZ)
        begin = int(rng.integers(0, count - length))
        make = voices.breath if rng.random() < 0.7 else voices.tones
        peak = 10 ** (rng.uniform(-70, -12) / 20)
        sound[begin : begin + length] += make(length, rng).numpy() * peak
    dense = np.zeros((count * DENSE_HZ // SAMPLE_RATE_HZ + 1, components), np.float32)
    return Session(sound, dense, np.zeros(0))


def make_session(library: Library, rng: np.random.Generator, *, plain: bool = False) -> Session:
    """One random session; `plain` keeps the recorded voice, room and level (an ablation)."""
    if rng.random() < SILENT_SESSIONS and not plain:
        return silent_session(library.faces.coefficients.shape[2], rng)
    if library.spoken:
        chosen = rng.choice(len(library.spoken), SENTENCES_PER_SESSION)
        utterances = [read_spoken(library.spoken[int(i)]) for i in chosen]
        voice = voices.Voice(1.0, rng.uniform(0.92, 1.08), rng.uniform(0.85, 1.2))
    elif library.dubbed and rng.random() < DUBBED_SESSIONS and not plain:
        chosen = rng.choice(len(library.dubbed), CLIPS_PER_SESSION)
        utterances = [library.dub(int(i)) for i in chosen]
        voice = voices.Voice(1.0, rng.uniform(0.92, 1.08), rng.uniform(0.85, 1.2))
    else:
        chosen = rng.choice(library.clips, CLIPS_PER_SESSION, replace=False)
        utterances = [library.recorded(int(i)) for i in chosen]
        voice = voices.Voice.draw(rng) if rng.random() > RECORDED_VOICE else voices.Voice()
    if plain:
        return join(utterances, rng)
    session = join([speak(u, voice) for u in utterances], rng)
    return Session(_record(session.sound, rng), session.coefficients, session.closures)


def _record(sound: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A sound through a room and a microphone, with noise, at a random level."""
    heard = torch.from_numpy(sound)
    if rng.random() < 0.8:
        heard = voices.colour(heard, rng)
    loudness = float(heard.std()) + 1e-9
    heard = heard / loudness
    if rng.random() < 0.7:
        heard = heard + voices.noise(len(heard), rng) * 10 ** (rng.uniform(-60, -12) / 20)
    recorded: FloatArray = (heard * 10 ** (rng.uniform(-48, -12) / 20)).numpy()
    return recorded.astype(np.float32)
