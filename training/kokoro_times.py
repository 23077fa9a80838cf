"""Kokoro's symbols and token durations -> phones in time, fitted to the sound."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RATE_HZ = 24_000
UNIT_S = 600 / RATE_HZ  # one step of Kokoro's token durations
LAG_S = 0.06  # durations run behind the sound: median of 188 sentences against a forced aligner
SILENCE = "SIL"
LEVEL_STEP_S = 0.01
QUIET_DB = -40.0  # of the loud parts of the same speech: below this a pause is a pause
MIN_QUIET_S = 0.06
MIN_PAUSE_S = 0.1  # a gap between words shorter than this belongs to the phone before it

STRESS = "ˈˌ"
LENGTH = "ː"
# fmt: off
ARPABET = {
    "A": "EY", "I": "AY", "O": "OW", "Q": "OW", "W": "AW", "Y": "OY", "ʧ": "CH", "ʤ": "JH",
    "ə": "AH", "ɐ": "AH", "ᵊ": "AH", "ʌ": "AH", "ɪ": "IH", "ᵻ": "IH", "i": "IY", "ɛ": "EH",
    "æ": "AE", "a": "AE", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "u": "UW", "ʊ": "UH", "ɜ": "ER",
    "b": "B", "d": "D", "f": "F", "ɡ": "G", "h": "HH", "j": "Y", "k": "K", "l": "L", "m": "M",
    "n": "N", "ŋ": "NG", "p": "P", "ɹ": "R", "s": "S", "ʃ": "SH", "t": "T", "ɾ": "T", "T": "T",
    "ʔ": "T", "θ": "TH", "ð": "DH", "v": "V", "w": "W", "z": "Z", "ʒ": "ZH",
}
# fmt: on

Samples = npt.NDArray[np.float32]


class Phone(NamedTuple):
    """A phone (ARPABET without stress, or SIL) and where it sounds, in seconds."""

    phone: str
    start_s: float
    end_s: float


def phone_times(phonemes: str, durations_s: npt.NDArray[np.float64]) -> list[Phone]:
    """Kokoro's symbols and the durations of its tokens (one more at each end) -> phones in time.

    Stress belongs to the phone after it, length to the phone before; punctuation, the ends and
    word gaps of at least 0.1 s are silence. The lag of the durations is taken out.
    """
    spans: list[tuple[str, float]] = [(SILENCE, float(durations_s[0]))]
    stress_s = 0.0
    for symbol, duration in zip(phonemes, durations_s[1:-1].tolist(), strict=True):
        if symbol in STRESS:
            stress_s += duration
        elif symbol == LENGTH:
            spans[-1] = (spans[-1][0], spans[-1][1] + duration)
        else:
            spans.append((ARPABET.get(symbol, SILENCE), duration + stress_s))
            stress_s = 0.0
    spans.append((SILENCE, float(durations_s[-1]) + stress_s))
    merged = _without_short_gaps(spans)
    ends = np.cumsum([duration for _, duration in merged])
    bounds = np.concatenate([[0.0], np.maximum(ends[:-1] - LAG_S, 0.0), ends[-1:]])
    return [
        Phone(phone, float(start), float(end))
        for (phone, _), start, end in zip(merged, bounds[:-1], bounds[1:], strict=True)
    ]


def _without_short_gaps(spans: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Join neighbouring silences, then give the short ones between phones to the phone before."""
    joined: list[tuple[str, float]] = []
    for phone, duration in spans:
        if joined and phone == SILENCE == joined[-1][0]:
            joined[-1] = (SILENCE, joined[-1][1] + duration)
        else:
            joined.append((phone, duration))
    kept = [joined[0]]
    for phone, duration in joined[1:-1]:
        if phone == SILENCE and duration < MIN_PAUSE_S:
            kept[-1] = (kept[-1][0], kept[-1][1] + duration)
        else:
            kept.append((phone, duration))
    return [*kept, joined[-1]]


def fit_silences(phones: list[Phone], samples: Samples) -> list[Phone]:
    """The phones with each silence moved to where the sound [N] at 24 kHz is really quiet.

    Kokoro counts most of a pause as part of the phone before it. A silence whose stretch holds no
    60 ms of quiet is none: it goes to the phone before.
    """
    step = round(LEVEL_STEP_S * RATE_HZ)
    blocks = np.resize(samples, len(samples) // step * step).reshape(-1, step)
    level_db = 10.0 * np.log10(np.mean(blocks**2, axis=1) + 1e-12)
    quiet = level_db < np.percentile(level_db, 95) + QUIET_DB
    fitted: list[Phone] = []
    for phone in phones:
        fitted.append(phone)
        if phone.phone == SILENCE and len(fitted) > 1:
            fitted[-2:] = _fit_silence(fitted[-2], phone, quiet)
    if fitted[0].phone == SILENCE and len(fitted) > 1:
        loud = np.flatnonzero(~quiet)
        onset_s = min(fitted[0].end_s, float(loud[0]) * LEVEL_STEP_S if len(loud) else np.inf)
        fitted[:2] = [fitted[0]._replace(end_s=onset_s), fitted[1]._replace(start_s=onset_s)]
    return _without_gaps(fitted)


def _fit_silence(before: Phone, silence: Phone, quiet: npt.NDArray[np.bool_]) -> list[Phone]:
    """A phone and the silence after it, parted where the longest quiet in both begins."""
    first = round(before.start_s / LEVEL_STEP_S) + 2
    last = round(silence.end_s / LEVEL_STEP_S)
    start = end = first
    run = first
    for block in range(first, min(last, len(quiet))):
        run = run if quiet[block] else block + 1
        if block + 1 - run > end - start:
            start, end = run, block + 1
    if end - start < round(MIN_QUIET_S / LEVEL_STEP_S):
        return [before._replace(end_s=silence.end_s)]
    start_s = start * LEVEL_STEP_S
    end_s = silence.end_s if end >= min(last, len(quiet)) - 1 else end * LEVEL_STEP_S
    return [before._replace(end_s=start_s), Phone(SILENCE, start_s, end_s)]


def _without_gaps(phones: list[Phone]) -> list[Phone]:
    """The phones, each beginning where the one before ends."""
    return [
        phone._replace(start_s=before.end_s) if before else phone
        for before, phone in zip([None, *phones[:-1]], phones, strict=True)
    ]


def with_margins(
    samples: Samples, phones: list[Phone], *, lead_s: float, trail_s: float
) -> tuple[Samples, list[Phone]]:
    """The same speech with so much silence before its first and after its last phone."""
    voiced = [phone for phone in phones if phone.phone != SILENCE]
    start_s = voiced[0].start_s - lead_s
    end_s = voiced[-1].end_s + trail_s
    first, last = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
    cut = samples[max(first, 0) : max(last, 0)]
    cut = np.pad(cut, (max(-first, 0), max(last - len(samples), 0)))
    inside = phones[phones.index(voiced[0]) : phones.index(voiced[-1]) + 1]
    moved = [Phone(p.phone, p.start_s - start_s, p.end_s - start_s) for p in inside]
    length_s = (last - first) / RATE_HZ
    lead = Phone(SILENCE, 0.0, moved[0].start_s)
    trail = Phone(SILENCE, moved[-1].end_s, length_s)
    return cut, [lead, *moved, trail]


def write_phones(path: Path, phones: list[Phone]) -> None:
    """Write phones as a table: phone, start_s, end_s."""
    rows = [f"{p.phone}\t{p.start_s:.3f}\t{p.end_s:.3f}\n" for p in phones]
    path.write_text("phone\tstart_s\tend_s\n" + "".join(rows), encoding="utf-8")
