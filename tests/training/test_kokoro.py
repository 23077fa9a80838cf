"""Token durations to phone times, and the examples made with them."""

import wave
from pathlib import Path

import numpy as np
import pytest

from training.kokoro_times import (
    LAG_S,
    RATE_HZ,
    UNIT_S,
    Phone,
    fit_silences,
    phone_times,
    with_margins,
)

EXAMPLES = Path(__file__).parents[2] / "src/mdth/examples"


def test_durations_become_phones_less_the_lag() -> None:
    units = np.array([10, 2, 1, 4, 3, 2, 8, 2, 6, 1])
    phones = phone_times("bˈiː bi.", units * UNIT_S)
    assert [p.phone for p in phones] == ["SIL", "B", "IY", "B", "IY", "SIL"]
    starts = np.array([10, 12, 22, 30, 32]) * UNIT_S - LAG_S
    assert [p.start_s for p in phones[1:]] == pytest.approx(starts)
    assert phones[-1].end_s == pytest.approx(units.sum() * UNIT_S)


def test_a_pause_counted_as_speech_is_silence() -> None:
    sound = np.random.default_rng(0).normal(0.0, 0.1, RATE_HZ).astype(np.float32)
    sound[: RATE_HZ // 5] = 0.0
    sound[RATE_HZ // 2 : RATE_HZ * 7 // 10] = 0.0
    said = [
        Phone("SIL", 0.0, 0.25), Phone("S", 0.25, 0.65), Phone("SIL", 0.65, 0.7),
        Phone("AA", 0.7, 1.0),
    ]  # fmt: skip
    fitted = fit_silences(said, sound)
    assert [p.phone for p in fitted] == ["SIL", "S", "SIL", "AA"]
    assert [p.start_s for p in fitted] == pytest.approx([0.0, 0.2, 0.5, 0.7], abs=0.011)


def test_a_pause_that_is_not_quiet_is_none() -> None:
    sound = np.random.default_rng(0).normal(0.0, 0.1, RATE_HZ).astype(np.float32)
    said = [Phone("S", 0.0, 0.4), Phone("SIL", 0.4, 0.6), Phone("AA", 0.6, 1.0)]
    assert fit_silences(said, sound) == [Phone("S", 0.0, 0.6), Phone("AA", 0.6, 1.0)]


def test_margins_are_exact_whether_cut_or_added() -> None:
    sound = np.ones(RATE_HZ, np.float32)
    said = [Phone("SIL", 0.0, 0.3), Phone("AA", 0.3, 0.8), Phone("SIL", 0.8, 1.0)]
    cut, phones = with_margins(sound, said, lead_s=0.1, trail_s=0.5)
    assert len(cut) == round(1.1 * RATE_HZ)
    assert [p.end_s for p in phones] == pytest.approx([0.1, 0.6, 1.1])
    assert cut[-1] == 0.0 and cut[0] == 1.0


@pytest.mark.parametrize("name", ["speech", "short"])
def test_the_examples_fit_their_tables(name: str) -> None:
    with wave.open(str(EXAMPLES / f"{name}.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE_HZ)
        sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    rows = [line.split() for line in (EXAMPLES / f"{name}.tsv").read_text().splitlines()[1:]]
    phones = [Phone(phone, float(start), float(end)) for phone, start, end in rows]
    assert phones[-1].end_s == pytest.approx(len(sound) / RATE_HZ, abs=1e-3)
    assert all(a.end_s == b.start_s for a, b in zip(phones, phones[1:], strict=False))
    assert {"P", "B", "M", "F", "V", "UW", "IY", "SH"} <= {p.phone for p in phones}

    def level(p: Phone) -> float:
        piece = sound[round((p.start_s + 0.02) * RATE_HZ) : round((p.end_s - 0.02) * RATE_HZ)]
        return float(np.sqrt(np.mean(piece**2)))

    quiet = max(level(p) for p in phones if p.phone == "SIL")
    vowels = [
        level(p)
        for p in phones
        if p.phone in ("IY", "AY", "OW", "AE", "UW") and p.end_s - p.start_s > 0.07
    ]
    assert quiet < 0.1 * min(vowels)
