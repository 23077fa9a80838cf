"""What every set of spoken meshes gives to training: clips, their sound, their meshes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import InputError

if TYPE_CHECKING:
    from mdth.faceformer.config import Config

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Clip:
    """One spoken sentence. split: one of SPLITS."""

    name: str
    subject: str
    split: str


class Corpus(Protocol):
    """A set of clips; sound and meshes are read when asked for.

    config: sizes of the network for it; `config.names` are the subjects it trains on, in order.
    templates: [V,3] of each subject, its neutral face, in the meshes' unit.
    """

    config: "Config"
    clips: list[Clip]
    templates: dict[str, FloatArray]

    def sound(self, clip: Clip) -> FloatArray:
        """Sound float32 [N], mono, 16 kHz."""
        ...

    def vertices(self, clip: Clip) -> FloatArray:
        """Meshes float32 [T,V,3] at `config.fps`."""
        ...


def of_split(corpus: Corpus, split: str) -> list[Clip]:
    """The clips of a split, in the corpus's order. Raises InputError: there are none."""
    chosen = [clip for clip in corpus.clips if clip.split == split]
    if not chosen:
        raise InputError(f"no clip of the split {split!r} among {len(corpus.clips)} clips")
    return chosen


def offsets(corpus: Corpus, clip: Clip) -> FloatArray:
    """How far the meshes are from the subject's template, float32 [T,V,3]."""
    moved: FloatArray = corpus.vertices(clip) - corpus.templates[clip.subject].astype(np.float32)
    return moved


def mean_offsets(corpus: Corpus, clips: list[Clip]) -> FloatArray:
    """The mean offset [V,3] of all frames of some clips: what the mean face is off the template."""
    total = np.zeros((corpus.config.vertices, 3))
    frames = 0
    for moved in (offsets(corpus, clip) for clip in clips):
        total += moved.sum(axis=0, dtype=np.float64)
        frames += len(moved)
    mean: FloatArray = (total / max(1, frames)).astype(np.float32)
    return mean


def normalised(sound: FloatArray) -> FloatArray:
    """A sound [N] of zero mean and unit variance, as wav2vec2 hears it."""
    centred = sound - sound.mean(dtype=np.float64)
    level: FloatArray = (centred / np.sqrt(np.square(centred).mean() + 1e-7)).astype(np.float32)
    return level
