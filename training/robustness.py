"""What must not matter to the lips, measured: silence, level, shifts."""

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ
from mdth.face import geometry

FPS = 25.0
SHIFTS = (1, 97, 192, 311, 383)


def opening(model: SpeechToMesh, sound: FloatArray, neutral: FloatArray, fps: float) -> FloatArray:
    """Lip opening [T] (eye distances) of a face that rests in `neutral` [478,3]."""
    gaps = [geometry.lip_opening(o + neutral) for o in model.stream([sound], fps)]
    return np.array(gaps)


def quiet_sounds() -> dict[str, FloatArray]:
    """Two seconds each without speech; the breaths are not those of training."""
    from training import voices

    rng = np.random.default_rng(7)
    count = 2 * SAMPLE_RATE_HZ
    hiss = rng.standard_normal(count).astype(np.float32)
    band = np.convolve(hiss, np.hanning(9) * np.cos(np.arange(9) * 0.8), "same")
    swell = np.sin(np.pi * np.linspace(0, 1, count)) ** 2
    return {
        "digital silence": np.zeros(count, np.float32),
        "hiss at -70 dB": hiss * np.float32(10 ** (-70 / 20)),
        "hiss at -50 dB": hiss * np.float32(10 ** (-50 / 20)),
        "hiss at -30 dB": hiss * np.float32(10 ** (-30 / 20)),
        "breath at -35 dB": (band / band.std() * swell * 10 ** (-35 / 20)).astype(np.float32),
        "breath of training": voices.breath(count, rng).numpy() * np.float32(0.02),
    }


def shut_lips(model: SpeechToMesh, neutral: FloatArray) -> dict[str, tuple[float, float]]:
    """For each quiet sound the widest opening and the largest speed (eye distances, per second)."""
    found = {}
    for name, sound in quiet_sounds().items():
        gaps = opening(model, sound, neutral, FPS)
        found[name] = (float(gaps.max()), float(np.abs(np.diff(gaps)).max() * FPS))
    return found


def change(reference: FloatArray, other: FloatArray) -> float:
    """RMS of the difference of two openings over the 95th percentile of the first."""
    count = min(len(reference), len(other))
    rms = np.sqrt(np.mean((reference[:count] - other[:count]) ** 2))
    return float(rms / np.percentile(reference, 95))


def level_change(model: SpeechToMesh, sounds: list[FloatArray], neutral: FloatArray) -> float:
    """The largest change of the opening for sounds 20 dB softer and louder."""
    changes = []
    for sound in sounds:
        plain = opening(model, sound, neutral, FPS)
        changes += [
            change(plain, opening(model, sound * np.float32(gain), neutral, FPS))
            for gain in (0.1, 10.0)
        ]
    return max(changes)


def shift_change(
    model: SpeechToMesh, sounds: list[FloatArray], neutral: FloatArray
) -> dict[int, float]:
    """For each shift in samples the RMS change of the opening at the same moments of the sounds.

    The frame rate is such that the shift is one frame.
    """
    found = {}
    for shift in SHIFTS:
        fps = SAMPLE_RATE_HZ / shift
        changes = []
        for sound in sounds:
            heard = sound[: max(SAMPLE_RATE_HZ, shift * 600)]
            plain = opening(model, heard, neutral, fps)
            moved = opening(model, np.pad(heard, (shift, 0)), neutral, fps)[1:]
            changes.append(change(plain, moved))
        found[shift] = float(np.mean(changes))
    return found
