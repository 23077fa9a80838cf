"""Speech with phone times, by the voices of `mdth.speak`: sentences for training and examples.

    python -m training.kokoro "Hello." --voice bf_emma -o hello.wav

Phones come out in ARPABET without stress, silence as `SIL`.
"""

import logging
import tarfile
import wave
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.files import assets
from mdth.speak import english, voice
from training import command
from training.kokoro_times import (
    RATE_HZ,
    Phone,
    fit_silences,
    phone_times,
    with_margins,
    write_phones,
)

LOG = logging.getLogger("mdth")

# Silence at both ends; the largest sample, full scale 1.
MARGIN_S, PEAK = 0.25, 0.7


class Synthesizer(voice.Kokoro):
    """Kokoro with the times of its phones."""

    def phonemes(self, text: str, name: str) -> str:
        """Kokoro's symbols for an English text in a voice's accent. Raises InputError."""
        return " ".join(said for _, said in english.sentences(text, self.dictionary(name)))

    def timed(
        self, phonemes: str, name: str, *, speed: float = 1.0
    ) -> tuple[FloatArray, list[Phone]]:
        """Speech float32 [N] at 24 kHz, and its phones from 0 to N/24000 s, silence included."""
        samples, durations_s = self.synthesize(phonemes, name, speed=speed)
        return samples, fit_silences(phone_times(phonemes, durations_s.astype(float)), samples)


def voices(pattern: str) -> list[str]:
    """The names of Kokoro's voices, of all languages, that fit a pattern."""
    with tarfile.open(assets.path("kokoro_voices.tgz")) as archive:
        names = [Path(name).stem for name in archive.getnames() if name.endswith(".bin")]
    return sorted(name for name in names if fnmatch(name, pattern))


def write_wav(path: Path, samples: npt.NDArray[np.floating], rate_hz: int) -> None:
    """Write samples [N] (full scale 1.0, clipped) as mono 16-bit PCM."""
    voice.write(path, [np.asarray(samples, np.float32)], rate_hz=rate_hz)


def read_wav(path: Path) -> npt.NDArray[np.floating]:
    """Samples float32 [N] of one of our own mono 16-bit files, at the file's rate."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / np.float32(32768)


def main() -> None:
    parser = command.parser("training.kokoro", __doc__)
    parser.add_argument("text")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--voice", default="bf_emma")
    parser.add_argument("--speed", type=float, default=1.0)
    given = parser.parse_args()
    synthesizer = Synthesizer()
    phonemes = synthesizer.phonemes(given.text, given.voice)
    LOG.info("%s", phonemes)
    speech = synthesizer.timed(phonemes, given.voice, speed=given.speed)
    samples, phones = with_margins(*speech, lead_s=MARGIN_S, trail_s=MARGIN_S)
    samples = samples * (PEAK / max(float(np.abs(samples).max()), 1e-6))
    write_wav(given.output, samples, RATE_HZ)
    write_phones(given.output.with_suffix(".tsv"), phones)
    LOG.info("%s: %.2f s", given.output, len(samples) / RATE_HZ)


if __name__ == "__main__":
    command.run(main)
