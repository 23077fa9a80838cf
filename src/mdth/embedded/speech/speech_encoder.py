"""Windows of speech -> what the decoder hears: frozen Moonshine features and a small log-mel."""

from functools import cache
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import (
    CENTRE_SAMPLES,
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    TAIL_SAMPLES,
)
from mdth.errors import CheckpointError
from mdth.files import networks

FEATURES = 288
MEL_BANDS = 40
MEL_WINDOW = 400
MEL_FFT = 512
MEL_FLOOR = 1e-5
# Two spectra for each feature frame, 12 ms apart: lips close and burst open within one frame.
MEL_CENTRES = (CENTRE_SAMPLES - FRAME_SAMPLES // 4, CENTRE_SAMPLES + FRAME_SAMPLES // 4)
INPUTS = FEATURES + len(MEL_CENTRES) * MEL_BANDS


class SpeechEncoder:
    """The encoder of Moonshine tiny English (Useful Sensors, MIT), frozen."""

    def __init__(self, model: Path, *, threads: int = 1) -> None:
        """Load `moonshine_tiny_en_encoder.ort`. Raises CheckpointError."""
        from onnxruntime.capi import onnxruntime_pybind11_state as errors

        failures = (errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph)
        try:
            self._session = networks.session(model.read_bytes(), threads=threads)
        except (*failures, errors.InvalidArgument, OSError) as error:
            raise CheckpointError(
                f"{model}: not a speech encoder ({error}); run: mdth assets fetch"
            ) from error

    def features(self, window: FloatArray) -> FloatArray:
        """Features float32 [T,288] of a levelled window [T * 384 + 512] at 16 kHz.

        Frame j of a window is centred at its sample 384 j + 448.
        """
        sound = np.ascontiguousarray(window, np.float32)[None]
        mask = np.ones(sound.shape, np.int64)
        (features,) = self._session.run(None, {"input_values": sound, "attention_mask": mask})
        return np.asarray(features[0])

    def hear(self, window: FloatArray) -> FloatArray:
        """Features and log-mel side by side, float32 [T, 288 + 80], of a levelled window."""
        return np.concatenate([self.features(window), log_mel(window)], axis=1)


@cache
def _mel_filters() -> FloatArray:
    """Triangular filters [257, 40] from 60 Hz to 7.6 kHz, equally spaced in mel."""
    low, high = (2595 * np.log10(1 + f / 700) for f in (60.0, 7600.0))
    corners = 700 * (10 ** (np.linspace(low, high, MEL_BANDS + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(MEL_FFT, 1 / SAMPLE_RATE_HZ)[:, None]
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    filters = np.clip(np.minimum(rising, falling), 0, None)
    return np.asarray(filters / np.maximum(filters.sum(axis=0), 1e-9), np.float32)


def log_mel(window: FloatArray) -> FloatArray:
    """Log energies float32 [T, 2 * 40] of a levelled window, two spectra around each centre."""
    frames = (len(window) - TAIL_SAMPLES) // FRAME_SAMPLES
    first = np.array(MEL_CENTRES) - MEL_WINDOW // 2
    begins = first + FRAME_SAMPLES * np.arange(frames)[:, None]
    pieces = window[begins[..., None] + np.arange(MEL_WINDOW)] * np.hanning(MEL_WINDOW)
    spectrum = np.fft.rfft(pieces, n=MEL_FFT)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) / MEL_WINDOW
    mel = np.log10(power @ _mel_filters() + MEL_FLOOR)
    return mel.reshape(frames, -1).astype(np.float32)
