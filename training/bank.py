"""What is heard in the clips that are measured on, encoded once to score many networks.

python -m training.bank work/people.npz work/bank.npz
"""

import logging
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.speech.speech_encoder import SpeechEncoder
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ, LiveScheme, WindowScheme, level
from training import command, models
from training.measures import predicted
from training.people import Clip, People
from training.score import Scores, score

if TYPE_CHECKING:
    from training.network import LipDecoder

log = logging.getLogger("mdth")

SCHEME, LIVE = WindowScheme(past=22, hop=6.5, ahead=5), LiveScheme(frames=32, ahead=6)
MEASURED = ("choose", "last", "others", "held")
"""Uses of clips that are measured on."""
# A moment is quiet this far below the loud ones, and inside speech in pauses shorter than this.
QUIET_DB, PAUSE_S = 25.0, 1.5


class Bank:
    """heard: for each clip what is heard [W,T,368] in its windows, from the one before time 0."""

    def __init__(self, heard: dict[str, npt.NDArray[np.float16]]) -> None:
        self.heard = heard

    def save(self, file: Path) -> None:
        """Write one npz."""
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **self.heard)  # type: ignore[arg-type]

    @classmethod
    def load(cls, file: Path) -> "Bank":
        """Read what `save` wrote."""
        with np.load(file, allow_pickle=False) as arrays:
            return cls({name: arrays[name] for name in arrays.files})


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


def make_bank(clips: list[Clip], encoder: Path, *, workers: int) -> Bank:
    """The windows of some clips."""
    with ProcessPoolExecutor(workers) as pool:
        jobs = {
            clip.name: pool.submit(encode_clip, clip.sound.astype(np.float32) / 32768, encoder)
            for clip in clips
        }
        return Bank({name: job.result() for name, job in jobs.items()})


def at_times(coefficients: FloatArray, times_s: FloatArray) -> FloatArray:
    """Coefficients [V,K] at video times [V], from those of windows [W,T,K]."""
    first = SCHEME.last_window(0.0) - 1
    found = []
    for time_s in times_s:
        window = min(SCHEME.last_window(float(time_s)) - first, len(coefficients) - 1)
        found.append(SCHEME.blend(float(time_s), coefficients[window - 1], coefficients[window]))
    return np.stack(found)


def decoded(network: "LipDecoder", heard: npt.NDArray[np.float16]) -> FloatArray:
    """Coefficients [W,T,K] of what is heard in windows [W,T,368]."""
    import torch

    with torch.inference_mode():
        rows = network(torch.from_numpy(heard.astype(np.float32)).to(network.scale.device))
        return np.asarray(rows.cpu().numpy())


def quiet_inside(clip: Clip, at_least_s: float = 0.0) -> npt.NDArray[np.bool_]:
    """Which frames [T] lie in short pauses of a speech, none shorter than `at_least_s`."""
    at = np.round(np.arange(len(clip.measures)) / clip.fps * SAMPLE_RATE_HZ).astype(int)
    reach = round(0.02 * SAMPLE_RATE_HZ)
    power = np.cumsum(np.pad(clip.sound.astype(np.float64) ** 2, (reach + 1, 2 * reach)))
    last = len(power) - 1
    around = power[np.minimum(at + 2 * reach, last)] - power[np.minimum(at, last)]
    loud = 10 * np.log10(around + 1e-3)
    quiet = loud < np.quantile(loud, 0.95) - QUIET_DB
    edges = np.flatnonzero(np.diff(np.pad(quiet.astype(int), 1)))
    inside = np.zeros(len(quiet), bool)
    for begin, end in edges.reshape(-1, 2):
        inner = 0 < begin and end < len(quiet)
        inside[begin:end] = inner and at_least_s * clip.fps <= end - begin < PAUSE_S * clip.fps
    return inside


def score_bank(network: "LipDecoder", bank: Bank, people: People) -> dict[str, Scores]:
    """Scores of a decoder for each kind of clip."""
    found = {}
    for use in MEASURED:
        clips = [clip for clip in people.of(use) if clip.name in bank.heard]
        pairs = []
        for clip in clips:
            times = np.arange(len(clip.measures)) / clip.fps
            coefficients = at_times(decoded(network, bank.heard[clip.name]), times)
            made = predicted(coefficients, people.basis, clip.neutral)
            pairs.append((made, clip.measures, clip.fps))
        if pairs:
            found[use] = score(pairs)
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.bank", __doc__)
    parser.add_argument("people", type=Path)
    parser.add_argument("output", type=Path, help="npz to write")
    parser.add_argument("--encoder", type=Path, help="moonshine_tiny_en_encoder.ort")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args(arguments)
    clips = People.load(given.people).of(*MEASURED)
    encoder = given.encoder or models.encoder()
    make_bank(clips, encoder, workers=given.workers).save(given.output)


if __name__ == "__main__":
    command.run(main)
