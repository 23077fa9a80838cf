"""Sessions: a voice talking, with pauses, in a room, with noise and other voices, at some level.

Some sessions have no speech at all and shut lips.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ
from training import voices
from training.kokoro import read_wav
from training.people import Clip, People

CLIPS_PER_SESSION = 8
SENTENCES_PER_SESSION = 5
# A talking person's session: so many excerpts, each of so many seconds.
EXCERPTS = (2, 5)
EXCERPT_S = (3.0, 9.0)
DENSE_HZ = 1000
# What a session is made of: nothing said, talk, GRID, spoken sentences, a recorded face rig.
KINDS = {"silent": 0.1, "talk": 0.45, "grid": 0.14, "rig": 0.16, "spoken": 0.15}
# The same where the faces are what a decoder says.
TAUGHT_KINDS = {"silent": 0.06, "talk": 0.37, "grid": 0.15, "rig": 0.12, "spoken": 0.3}
RECORDED_VOICE = 0.3
BABBLE = 0.45
# In a pause the lips stay as they are for the first of these, and part again in the second.
LINGER_S, PART_S = 0.55, 0.4
GRID_PERSON, RIG = "s1", "rig"


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
    """What sessions are made of: people's clips, and spoken sentences (`training.spoken`).

    late_s: by how much the lips of some clips, by name, come after their sound.
    """

    def __init__(
        self, people: People, spoken: Path | None = None, late_s: dict[str, float] | None = None
    ) -> None:
        self.late_s = late_s or {}
        self.components = len(people.basis)
        self.grid = [clip for clip in people.of("train") if clip.person == GRID_PERSON]
        self.rig = [clip for clip in people.of("train") if clip.person == RIG]
        talk = [clip for clip in people.of("train") if clip.person not in (GRID_PERSON, RIG)]
        self.talkers = {
            person: [clip for clip in talk if clip.person == person]
            for person in sorted({clip.person for clip in talk})
        }
        chances = np.sqrt([
            sum(len(clip.sound) * clip.trust**2 for clip in clips)
            for clips in self.talkers.values()
        ])  # fmt: skip
        self._chances = chances / chances.sum()
        self.spoken = sorted(spoken.glob("train_*.npz")) if spoken else []

    def talker(self, rng: np.random.Generator) -> list[Clip]:
        """The clips of one person, those of whom there is much a little more often."""
        names = list(self.talkers)
        return self.talkers[names[int(rng.choice(len(names), p=self._chances))]]

    def recorded(self, clip: Clip, begin_s: float = 0.0, end_s: float = np.inf) -> Utterance:
        """A clip as recorded, or a part of it."""
        times = np.arange(len(clip.coefficients)) / clip.fps - self.late_s.get(clip.name, 0.0)
        kept = (times >= begin_s) & (times <= end_s)
        first = round(begin_s * SAMPLE_RATE_HZ)
        last = min(len(clip.sound), round(min(end_s, 1e4) * SAMPLE_RATE_HZ))
        sound = clip.sound[first:last].astype(np.float32) / 32768
        marks = clip.marks[(clip.marks >= begin_s) & (clip.marks <= end_s)]
        return Utterance(sound, times[kept] - begin_s, clip.coefficients[kept], marks - begin_s)

    def excerpt(self, clip: Clip, rng: np.random.Generator) -> Utterance:
        """A random part of a clip."""
        length = len(clip.sound) / SAMPLE_RATE_HZ
        wanted = rng.uniform(*EXCERPT_S)
        if wanted > length - 0.5:
            return self.recorded(clip)
        begin = rng.uniform(0, length - wanted)
        return self.recorded(clip, begin, begin + wanted)

    def any_sound(self, rng: np.random.Generator) -> FloatArray:
        """Somebody's voice, for the background."""
        if self.spoken and rng.random() < 0.5:
            wav = self.spoken[int(rng.integers(len(self.spoken)))].with_suffix(".wav")
            return read_wav(wav)
        clips = self.talker(rng) if rng.random() < 0.6 or not self.grid else self.grid
        return clips[int(rng.integers(len(clips)))].sound.astype(np.float32) / 32768


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
        if now_s - begin_s > LINGER_S + 2 * PART_S:
            knots += [(begin_s + LINGER_S, neutral), (now_s - PART_S, neutral)]
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


def make_session(
    library: Library, rng: np.random.Generator, kinds: dict[str, float] | None = None
) -> Session:
    """One random session; kinds: how often each (default: KINDS)."""
    chance = kinds or KINDS
    there = {"spoken": library.spoken, "rig": library.rig, "grid": library.grid}
    names = [kind for kind in chance if there.get(kind, True)]
    chances = np.array([chance[kind] for kind in names])
    kind = str(rng.choice(names, p=chances / chances.sum()))
    if kind == "silent":
        return silent_session(library.components, rng)
    voice = voices.Voice(1.0, rng.uniform(0.92, 1.08), rng.uniform(0.85, 1.2))
    if kind == "spoken":
        chosen = rng.choice(len(library.spoken), SENTENCES_PER_SESSION)
        utterances = [read_spoken(library.spoken[int(i)]) for i in chosen]
    else:
        if kind == "grid":
            which = rng.choice(len(library.grid), CLIPS_PER_SESSION, replace=False)
            utterances = [library.recorded(library.grid[int(i)]) for i in which]
        else:
            clips = library.rig if kind == "rig" else library.talker(rng)
            count = int(rng.integers(*EXCERPTS))
            utterances = [library.excerpt(clips[int(rng.integers(len(clips)))], rng)
                          for _ in range(count)]  # fmt: skip
        voice = voices.Voice.draw(rng) if rng.random() > RECORDED_VOICE else voices.Voice()
    session = join([speak(u, voice) for u in utterances], rng)
    heard = session.sound
    if rng.random() < BABBLE:
        heard = heard + _babble(len(heard), library, rng) * np.float32(
            heard.std() * 10 ** (rng.uniform(-32, -7) / 20)
        )
    return Session(_record(heard, rng), session.coefficients, session.closures)


def _babble(count: int, library: Library, rng: np.random.Generator) -> FloatArray:
    """Some other voices at once, float32 [count], RMS 1."""
    total = np.zeros(count, np.float32)
    for _ in range(int(rng.integers(1, 6))):
        voice = library.any_sound(rng)
        rows = np.resize(np.roll(voice, int(rng.integers(len(voice)))), count)
        total += rows / (rows.std() + 1e-6)
    return np.asarray(total / (total.std() + 1e-6))


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
