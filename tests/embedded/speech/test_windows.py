"""The window scheme in numbers."""

import numpy as np
import pytest

from mdth.embedded.speech.decoder import Scheme
from mdth.embedded.speech.speech_encoder import INPUTS, log_mel
from mdth.embedded.speech.windows import (
    CENTRE_SAMPLES,
    FRAME_SAMPLES,
    LiveScheme,
    WindowScheme,
    interpolate,
    level,
)

SCHEME = WindowScheme(past=22, hop=6.5, ahead=5)


def test_the_shipped_scheme_in_numbers() -> None:
    assert (SCHEME.frames, SCHEME.samples) == (40, 40 * 384 + 512)
    assert (SCHEME.hop_samples, SCHEME.look_ahead_s) == (2496, pytest.approx(0.436))


@pytest.mark.parametrize("scheme", [SCHEME, LiveScheme(24, 6, fps=30)])
def test_windows_keep_time_and_hear_no_more_than_the_look_ahead(scheme: Scheme) -> None:
    # Each window says the time of each of its frames, so the blend must say the asked time.
    for time_s in np.arange(51) / 30:
        window = scheme.last_window(time_s)
        end_s = (scheme.start(window) + scheme.samples) / 16_000
        assert end_s - time_s <= scheme.look_ahead_s + 0.5 / 16_000
        centres = scheme.start(window) + CENTRE_SAMPLES + FRAME_SAMPLES * np.arange(scheme.frames)
        before = centres - scheme.start(window) + scheme.start(window - 1)
        told = scheme.blend(time_s, before[:, None] / 16_000, centres[:, None] / 16_000)
        assert told[0] == pytest.approx(time_s, abs=0.5 / 16_000)


def test_interpolation_goes_through_the_rows() -> None:
    rows = np.sin(np.arange(12.0))[:, None]
    assert interpolate(rows, 5.0)[0] == pytest.approx(rows[5, 0])
    assert interpolate(rows, 5.5)[0] == pytest.approx(np.sin(5.5), abs=0.1)


def test_level_takes_loudness_away_but_leaves_silence() -> None:
    sound = np.random.default_rng(0).standard_normal(SCHEME.samples).astype(np.float32) * 0.05
    assert level(sound * np.float32(10)) == pytest.approx(level(sound), rel=1e-3, abs=1e-5)
    assert not level(np.zeros(SCHEME.samples, np.float32)).any()
    assert np.abs(level(sound * np.float32(1e-4))).max() < 0.01


def test_log_mel_has_a_row_for_each_frame_and_hears_a_click_in_its_place() -> None:
    sound = np.zeros(SCHEME.samples, np.float32)
    sound[FRAME_SAMPLES * 10 + CENTRE_SAMPLES] = 1
    mel = log_mel(sound)
    assert mel.shape == (40, INPUTS - 288)
    assert np.abs(mel.mean(axis=1).argmax() - 10) <= 1


def test_impossible_schemes_are_refused() -> None:
    with pytest.raises(ValueError, match="past"):
        WindowScheme(past=0, hop=4, ahead=2)
