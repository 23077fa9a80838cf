"""Tracked faces and sound of one person's clips -> a set to train FaceFormer on.

    python -m training.dataset CLIPS work/tracks/s1 work/dataset/s1

Written: `sounds.npy`, int16 [C,N] at 16 kHz; `faces.npz`, names and the person's neutral face. The
last tenth of the clips by name is held out. How a face is split into components is here too.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.embedded.speech.windows import SAMPLE_RATE_HZ
from mdth.errors import MissingInput
from mdth.face import geometry, topology
from mdth.media.container import open_media
from training import command

log = logging.getLogger("mdth")

COMPONENTS = 32
FPS = 25.0
LIP_WEIGHT = 3.0
# Lips no further apart (eye distances) count as shut.
SHUT_GAP = 0.015
# Words of GRID that begin with shut lips, and the letter that ends with them.
CLOSED_STARTS = {"bin", "blue", "by", "place", "please", "b", "p"}
CLOSED_ENDS = {"m"}


@dataclass(frozen=True)
class Faces:
    """A set's clips: names [C]; neutral [478,3], the person's neutral face; held_out bool [C]."""

    names: npt.NDArray[np.str_]
    neutral: FloatArray
    held_out: npt.NDArray[np.bool_]

    def save(self, folder: Path) -> None:
        """Write `faces.npz`."""
        np.savez_compressed(folder / "faces.npz", **vars(self))

    @classmethod
    def load(cls, folder: Path) -> "Faces":
        """Read what `save` wrote."""
        with np.load(folder / "faces.npz", allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})


def read_sound(clip: Path) -> npt.NDArray[np.int16]:
    """The sound of a clip, int16 [N] at 16 kHz mono, sample 0 at the time of picture 0."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
    blocks: list[av.AudioFrame] = []
    with open_media(clip) as container:
        for frame in container.decode(audio=0):
            blocks += resampler.resample(frame)
    blocks += resampler.resample(None)
    return np.concatenate([block.to_ndarray()[0] for block in blocks]).astype(np.int16)


def speech_weight(faces: FloatArray) -> FloatArray:
    """How far each vertex [478] follows speech: 0 at and above the eyes, 1 from the nose down."""
    height = faces[:, 1]
    part = np.clip((height - 0.12) / 0.2, 0, 1)
    weight: FloatArray = part * part * (3 - 2 * part)
    weight[topology.UPPER_FACE] = 0
    return weight


def loudness_db(sound: npt.NDArray[np.int16], frames: int) -> FloatArray:
    """Loudness [T] around each video frame, dB of full scale, over 40 ms."""
    reach = round(SAMPLE_RATE_HZ * 0.02)
    padded = np.pad(sound.astype(np.float64) / 32768, reach)
    sums = np.concatenate([[0.0], np.cumsum(padded**2)])
    at = np.minimum(np.round(np.arange(frames) / FPS * SAMPLE_RATE_HZ).astype(int), len(sound) - 1)
    power = (sums[at + 2 * reach] - sums[at]) / (2 * reach)
    loud: FloatArray = 10 * np.log10(power + 1e-9)
    return loud


def neutral_face(faces: FloatArray, gaps: FloatArray, loudness: FloatArray) -> FloatArray:
    """The mean [478,3] of the quiet frames with shut lips among faces [T,478,3] of one person.

    A person who never rests with shut lips in what is there gets the mean of the smallest gaps.
    """
    quiet = loudness <= np.quantile(loudness, 0.35)
    shut = gaps <= min(float(np.quantile(gaps[quiet], 0.5)), SHUT_GAP)
    chosen = quiet & shut
    if chosen.sum() < 3:
        chosen = gaps <= np.quantile(gaps, 0.1)
    neutral: FloatArray = faces[chosen].mean(axis=0)
    return neutral


def principal_components(offsets: FloatArray, weight: FloatArray) -> FloatArray:
    """Basis [K,478,3] of offsets [T,478,3], orthonormal after weighting the vertices."""
    rows = (offsets * weight[:, None]).reshape(len(offsets), -1)
    _, axes = np.linalg.eigh(rows.T.astype(np.float64) @ rows.astype(np.float64))
    keep = axes.T[: -COMPONENTS - 1 : -1].reshape(COMPONENTS, -1, 3)
    basis: FloatArray = keep / np.maximum(weight, 1e-9)[:, None]
    return np.where(weight[:, None] > 0, basis, 0)


def component_weight() -> FloatArray:
    """Vertex weights [478] of the space in which the components are orthonormal: lips first."""
    weight = np.ones(topology.VERTEX_COUNT)
    weight[np.concatenate([topology.LIPS_INNER, topology.LIPS_OUTER])] = LIP_WEIGHT
    return weight


def project(offsets: FloatArray, basis: FloatArray) -> FloatArray:
    """Coefficients [T,K] of offsets [T,478,3]."""
    weight = component_weight()
    dual = basis * (weight**2)[:, None]
    found: FloatArray = np.einsum("tvi,kvi->tk", offsets, dual)
    return found


def read_clips(
    clips: Path, tracks: Path
) -> tuple[list[str], npt.NDArray[np.float32], npt.NDArray[np.int16]]:
    """Names, faces [N,T,478,3] and sounds [N,samples] of the tracked clips of the usual length.

    Longer ones are cut to the median number of frames, shorter ones left out.
    """
    sources = {clip.stem: clip for clip in sorted(clips.iterdir()) if clip.is_file()}
    files = [f for f in command.files_in(tracks, "*.npy") if f.stem in sources]
    if not files:
        raise MissingInput(f"{tracks}: no track of any clip in {clips}; run training.tracks")
    all_faces = [np.load(f) for f in files]
    frames = int(np.median([len(f) for f in all_faces]))
    kept = [i for i, f in enumerate(all_faces) if len(f) >= frames]
    names = [files[i].stem for i in kept]
    sounds = np.zeros((len(names), round(frames / FPS * SAMPLE_RATE_HZ)), np.int16)
    for row, name in zip(sounds, names, strict=True):
        sound = read_sound(sources[name])[: len(row)]
        row[: len(sound)] = sound
    return names, np.stack([all_faces[i][:frames] for i in kept]), sounds


def build(clips: Path, tracks: Path, output: Path) -> None:
    """Write the training set of a folder of one person's clips and their tracks."""
    names, faces, sounds = read_clips(clips, tracks)
    output.mkdir(parents=True, exist_ok=True)
    np.save(output / "sounds.npy", sounds)
    loudness = np.concatenate([loudness_db(sound, faces.shape[1]) for sound in sounds])
    flat = faces.reshape(-1, topology.VERTEX_COUNT, 3)
    neutral = neutral_face(flat, geometry.lip_opening(flat), loudness)
    held_out = np.arange(len(names)) >= len(names) - len(names) // 10
    Faces(np.array(names), neutral.astype(np.float32), held_out).save(output)
    log.info("%d clips of %d frames, %d held out", len(names), faces.shape[1], held_out.sum())


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = command.parser("training.dataset", __doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("tracks", type=Path)
    parser.add_argument("output", type=Path)
    given = parser.parse_args(arguments)
    build(given.clips, given.tracks, given.output)


if __name__ == "__main__":
    command.run(main)
