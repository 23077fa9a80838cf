"""Whether the mouth says it in other languages: syllables by voices whose phone times are known.

    python -m training.languages

Kokoro's voices of eight languages say the same syllables: p, b and m before a, i and u. Printed for
each: how many p, b, m are shut (as in `training.closures`), and how far the lips open and widen on
the vowels. German, Korean and Arabic have no such voice.
"""

import itertools
import logging
import sys

import numpy as np

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.embedded.motion.rest import resting_face
from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
from training import command, kokoro, models
from training.closures import FPS, LABIALS, SHUT, smallest_gaps
from training.kokoro_times import RATE_HZ, Phone
from training.measures import measures

log = logging.getLogger("mdth")

LANGUAGES = {
    "English": "[ab]", "Mandarin": "z", "Japanese": "j", "French": "f", "Spanish": "e",
    "Hindi": "h", "Italian": "i", "Portuguese": "p",
}  # fmt: skip
VOICES = 3
LATE_S = 0.06
VOWELS = {"ɑ": "AA", "i": "IY", "u": "UW"}


def syllables(order: np.random.Generator) -> str:
    """p, b, m and t before a, i and u in random order, in Kokoro's symbols, with short pauses."""
    every = [f"{first}ˈ{vowel}ː" for first, vowel in itertools.product("pbmt", VOWELS)]
    return ", ".join(" ".join(order.permutation(every)[k::3]) for k in range(3)) + "."


def mouths(model: SpeechToMesh, sound: FloatArray) -> FloatArray:
    """Measures [T,6] of a resting face that says a sound, FPS a second."""
    return measures(resting_face() + np.stack(list(model.stream([sound], FPS))))


def vowel(found: FloatArray, phones: list[Phone], name: str) -> FloatArray:
    """How far lips open, how wide the mouth and how low the chin is [3] in a vowel: mean of peaks.

    The width is the mean over the vowel; the peaks may come up to 60 ms after it.
    """
    spans = [
        found[round(p.start_s * FPS) : round((p.end_s + LATE_S) * FPS) + 1]
        for p in phones if p.phone == name
    ]  # fmt: skip
    rows = [(span[:, 0].max(), span[:, 1].mean(), span[:, 5].max()) for span in spans]
    return np.asarray(np.mean(rows, axis=0))


def main() -> None:
    parser = command.parser("training.languages", __doc__)
    parser.parse_args()
    from scipy.signal import resample_poly

    synthesizer = kokoro.Synthesizer()
    model = SpeechToMesh(models.encoder())
    log.info(
        "language     p, b, m shut   opening of a, i, u     width of i, u    chin of a under i"
    )
    for language, letter in LANGUAGES.items():
        gaps: list[float] = []
        vowels: list[FloatArray] = []
        for name in kokoro.voices(f"{letter}[fm]_*")[:VOICES]:
            text = syllables(np.random.default_rng(len(vowels)))
            samples, phones = synthesizer.timed(text, name, speed=0.9)
            sound = resample_poly(samples, SPEECH_RATE_HZ, RATE_HZ).astype(np.float32)
            found = mouths(model, sound)
            shut = smallest_gaps(found[:, 0], [(p.phone, p.start_s, p.end_s) for p in phones])
            gaps += [gap for phone in LABIALS for gap in shut[phone]]
            vowels.append(np.stack([vowel(found, phones, it) for it in VOWELS.values()]))
        a, i, u = np.mean(vowels, axis=0)
        log.info(
            "%-12s %3d of %3d %10.3f %.3f %.3f %12.3f %.3f %12.3f", language,
            sum(gap < SHUT for gap in gaps), len(gaps), a[0], i[0], u[0], i[1], u[1], a[2] - i[2],
        )  # fmt: skip


if __name__ == "__main__":
    command.run(main, stream=sys.stdout)
