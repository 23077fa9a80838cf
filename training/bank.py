"""The windows of some clips under the shipped scheme, encoded once to score many networks on.

python -m training.bank work/dataset/s1 work/bank/s1 --held-out
python -m training.bank work/dataset/others work/bank/others
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.speech.speech_encoder import SpeechEncoder
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ, WindowScheme, level
from training import command, models
from training.dataset import Faces

SCHEME = WindowScheme(past=22, hop=6.5, ahead=5)


@dataclass(frozen=True)
class Bank:
    """heard [C,W,T,368]: what is heard in the windows `first` to `first` + W - 1 of each clip."""

    heard: npt.NDArray[np.float16]
    first: int

    def save(self, file: Path) -> None:
        """Write one npz."""
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, heard=self.heard, first=np.int64(self.first))

    @classmethod
    def load(cls, file: Path) -> "Bank":
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls(arrays["heard"], int(arrays["first"]))


def encode_clip(sound: FloatArray, encoder: Path, scheme: WindowScheme = SCHEME) -> FloatArray:
    """What is heard [W,T,368] in the windows of a sound, from the one before time 0 on."""
    speech = SpeechEncoder(encoder)
    first = scheme.last_window(0.0) - 1
    last = scheme.last_window(len(sound) / SAMPLE_RATE_HZ)
    before = -scheme.start(first)
    padded = np.pad(sound.astype(np.float32), (before, scheme.samples))
    starts = [scheme.start(window) + before for window in range(first, last + 1)]
    heard = [speech.hear(level(padded[at : at + scheme.samples])) for at in starts]
    return np.stack(heard).astype(np.float16)


def make_bank(sounds: FloatArray, encoder: Path, *, workers: int) -> Bank:
    """The windows of sounds [C,N], int16 at 16 kHz."""
    scaled = [sound.astype(np.float32) / 32768 for sound in sounds]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(encode_clip, sound, encoder) for sound in scaled]
        done = [job.result() for job in jobs]
    return Bank(np.stack(done), SCHEME.last_window(0.0) - 1)


def at_times(coefficients: FloatArray, first: int, times_s: FloatArray) -> FloatArray:
    """Coefficients [C,V,K] at video times [V], from those of a bank's windows [C,W,T,K]."""
    found = []
    for time_s in times_s:
        window = SCHEME.last_window(float(time_s)) - first
        before, last = coefficients[:, window - 1], coefficients[:, window]
        moved = SCHEME.blend(float(time_s), before.swapaxes(0, 1), last.swapaxes(0, 1))
        found.append(moved)
    return np.stack(found, axis=1)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command.parser("training.bank", __doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("output", type=Path, help="npz to write")
    parser.add_argument("--encoder", type=Path, help="moonshine_tiny_en_encoder.ort")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--held-out", action="store_true", help="only the held-out clips")
    given = parser.parse_args(arguments)
    sounds = np.load(given.dataset / "sounds.npy")
    if given.held_out:
        sounds = sounds[Faces.load(given.dataset).held_out]
    encoder = given.encoder or models.encoder()
    make_bank(sounds, encoder, workers=given.workers).save(given.output)


if __name__ == "__main__":
    command.run(main)
