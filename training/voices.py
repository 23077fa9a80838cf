"""One voice -> many: pitch, formants, tempo, room, noise and level, with the timing known.

The lips of two dozen people are all the training pictures there are; what keeps a decoder from
learning their voices too is that it hears the same lips under many.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

WINDOW = 512
STEP = 128
# Cepstral coefficients that make the envelope: up to 1.6 ms, below a pitch of 600 Hz.
ENVELOPE_LIFTER = 26


@dataclass(frozen=True)
class Voice:
    """How a voice differs from the recorded one: factors of pitch, formants and duration."""

    pitch: float = 1.0
    formants: float = 1.0
    duration: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Voice":
        """A plausible speaker: higher voices mostly have higher formants."""
        pitch = math.exp(rng.uniform(math.log(0.75), math.log(2.2)))
        formants = pitch**0.3 * rng.uniform(0.9, 1.12)
        return cls(pitch, float(np.clip(formants, 0.82, 1.3)), rng.uniform(0.8, 1.25))


def change_voice(sounds: Tensor, voice: Voice) -> Tensor:
    """Sounds [B,N] in another voice, [B, N * duration].

    The spectrum is stretched in time by a phase vocoder, its envelope moved, and the whole is
    resampled to the pitch.
    """
    window = torch.hann_window(WINDOW, device=sounds.device)
    spectrum = torch.stft(sounds, WINDOW, STEP, window=window, return_complex=True)
    spectrum = _move_envelope(spectrum, voice.formants / voice.pitch)
    spectrum = _stretch(spectrum, voice.duration * voice.pitch)
    length = round(sounds.shape[1] * voice.duration * voice.pitch)
    slow = torch.istft(spectrum, WINDOW, STEP, window=window, length=length)
    return _resample(slow, round(sounds.shape[1] * voice.duration))


def _move_envelope(spectrum: Tensor, factor: float) -> Tensor:
    """Spectra [B,F,T] with the envelope stretched along frequency by `factor`."""
    magnitude = (spectrum.abs() + 1e-6).log()
    cepstrum = torch.fft.irfft(magnitude, dim=1)
    lifter = torch.zeros(WINDOW, device=spectrum.device)
    lifter[:ENVELOPE_LIFTER] = 1
    lifter[-ENVELOPE_LIFTER + 1 :] = 1
    envelope = torch.fft.rfft(cepstrum * lifter[:, None], dim=1).real
    bins = envelope.shape[1]
    at = (torch.arange(bins, device=spectrum.device) / factor).clamp(max=bins - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=bins - 1)
    part = (at - low)[:, None]
    moved = envelope[:, low] * (1 - part) + envelope[:, high] * part
    changed: Tensor = spectrum * (moved - envelope).clamp(-6, 4).exp()
    return changed


def _stretch(spectrum: Tensor, factor: float) -> Tensor:
    """Spectra [B,F,T] made `factor` times longer: magnitudes between, phases advanced."""
    frames = spectrum.shape[2]
    at = torch.arange(0, frames - 1, 1 / factor, device=spectrum.device)
    low = at.floor().long()
    part = at - low
    padded = torch.nn.functional.pad(spectrum, (0, 1))
    before, after = padded[:, :, low], padded[:, :, low + 1]
    magnitude = before.abs() * (1 - part) + after.abs() * part
    bins = torch.arange(spectrum.shape[1], device=spectrum.device)
    expected = (2 * math.pi * STEP / WINDOW * bins)[None, :, None]
    turn = after.angle() - before.angle() - expected
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi)) + expected
    start = spectrum[:, :, :1].angle()
    phase = torch.cat([start, start + torch.cumsum(turn, dim=2)[:, :, :-1]], dim=2)
    return torch.polar(magnitude, phase)


def _resample(sounds: Tensor, length: int) -> Tensor:
    """Sounds [B,N] resampled to `length` samples through the Fourier transform."""
    spectrum = torch.fft.rfft(sounds, dim=1)
    bins = length // 2 + 1
    kept = spectrum[:, :bins]
    if kept.shape[1] < bins:
        kept = torch.nn.functional.pad(kept, (0, bins - kept.shape[1]))
    resampled: Tensor = torch.fft.irfft(kept, n=length, dim=1) * (length / sounds.shape[1])
    return resampled


def colour(sound: Tensor, rng: np.random.Generator) -> Tensor:
    """A sound [N] through a random microphone and, sometimes, a random room."""
    count = sound.shape[0]
    spectrum = torch.fft.rfft(sound)
    hz = torch.linspace(0, 8000, spectrum.shape[0], device=sound.device)
    octaves = torch.log2(hz.clamp(min=50) / 50)
    curve = torch.full_like(hz, 0.0)
    for order in range(1, 6):
        curve = curve + rng.normal(0, 5 / order) * torch.cos(
            math.pi * order * octaves / 7.4 + rng.uniform(0, 2 * math.pi)
        )
    gain = 10 ** (curve.clamp(-18, 18) / 20)
    if rng.random() < 0.25:
        gain = gain / (1 + (hz / rng.uniform(3000, 7000)) ** 8)
    if rng.random() < 0.3:
        gain = gain / (1 + (rng.uniform(80, 300) / hz.clamp(min=1)) ** 4)
    coloured = spectrum * gain
    if rng.random() < 0.5:
        coloured = coloured * torch.fft.rfft(room(rng).to(sound.device), n=count)
    heard: Tensor = torch.fft.irfft(coloured, n=count)
    return heard


def room(rng: np.random.Generator) -> Tensor:
    """The impulse response [8000] of a small room; the direct sound is sample 0."""
    decay_s = rng.uniform(0.05, 0.25)
    time_s = np.arange(8000) / 16000
    tail = rng.standard_normal(8000) * 10 ** (-3 * time_s / decay_s)
    tail[: rng.integers(10, 200)] = 0
    response = rng.uniform(0.05, 0.5) * tail / (np.linalg.norm(tail) + 1e-9)
    response[0] = 1
    return torch.tensor(response, dtype=torch.float32)


def noise(count: int, rng: np.random.Generator) -> Tensor:
    """Noise [count] with an RMS of 1 and a random slope from white to brown."""
    spectrum = rng.standard_normal(count // 2 + 1) + 1j * rng.standard_normal(count // 2 + 1)
    hz = np.maximum(np.fft.rfftfreq(count, 1 / 16000), 60)
    shaped = np.fft.irfft(spectrum * hz ** rng.uniform(-1, 0.2), n=count)
    return torch.tensor(shaped / shaped.std(), dtype=torch.float32)


def breath(count: int, rng: np.random.Generator) -> Tensor:
    """A breath [count]: noise through one or two broad resonances, rising and falling once."""
    spectrum = rng.standard_normal(count // 2 + 1) + 1j * rng.standard_normal(count // 2 + 1)
    hz = np.fft.rfftfreq(count, 1 / 16000)
    shape = 0.03 + sum(
        rng.uniform(0.3, 1) * np.exp(-(((hz - centre) / rng.uniform(300, 1200)) ** 2))
        for centre in rng.uniform(400, 5000, 2)
    )
    sound = np.fft.irfft(spectrum * shape, n=count)
    rise = np.sin(np.pi * np.linspace(0, 1, count) ** rng.uniform(0.5, 1.6)) ** rng.uniform(0.7, 2)
    return torch.tensor(sound / sound.std() * rise, dtype=torch.float32)


def tones(count: int, rng: np.random.Generator) -> Tensor:
    """Hum or music [count]: a few steady harmonics, or a row of short notes."""
    time_s = np.arange(count) / 16000
    sound = np.zeros(count)
    note = count if rng.random() < 0.5 else int(rng.uniform(0.1, 0.5) * 16000)
    for begin in range(0, count, note):
        here = slice(begin, min(begin + note, count))
        pitch = rng.choice([50, 60, 100, 120]) if note == count else rng.uniform(80, 900)
        fade = np.exp(-np.arange(here.stop - begin) / note * rng.uniform(0, 3))
        for harmonic in range(1, int(rng.integers(2, 9))):
            phase = rng.uniform(0, 2 * np.pi)
            tone = np.sin(2 * np.pi * pitch * harmonic * time_s[here] + phase)
            sound[here] += fade * tone * harmonic ** -rng.uniform(0.5, 2)
    return torch.tensor(sound / (sound.std() + 1e-9), dtype=torch.float32)
