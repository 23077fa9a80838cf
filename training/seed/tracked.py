"""Our own clips as a set for FaceFormer: 478-vertex faces that `training.tracks` found.

Made of a folder of `training.dataset` (names, sound, the neutral face, which clips are held out)
and the tracked faces themselves. Unit: eye distances; face frame, head pose removed. 25 frames a
second, two features of the sound a frame, like BIWI.
"""

import dataclasses
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import MissingInput
from mdth.face import topology
from mdth.faceformer.config import BIWI, Config
from training.dataset import Faces
from training.seed.corpus import Clip

SUBJECT = "speaker"
TRACKED = dataclasses.replace(
    BIWI, dataset="tracked", width=64, vertices=topology.VERTEX_COUNT, subjects=1, names=(SUBJECT,)
)


class Tracked:
    """One speaker's clips; the held-out ones are val (every second) and test."""

    config: Config = TRACKED

    def __init__(self, dataset: Path, tracks: Path) -> None:
        """Raises MissingInput: no such folders."""
        if not (dataset / "faces.npz").is_file():
            raise MissingInput(f"{dataset}: no faces.npz; make it with training.dataset")
        faces = Faces.load(dataset)
        self._sounds = np.load(dataset / "sounds.npy", mmap_mode="r")
        self._tracks = tracks
        self._place = {str(name): place for place, name in enumerate(faces.names)}
        missing = [name for name in self._place if not (tracks / f"{name}.npy").is_file()]
        if missing:
            raise MissingInput(f"{tracks}: no faces of {len(missing)} clips ({missing[0]}, ...)")
        self.templates: dict[str, FloatArray] = {SUBJECT: faces.neutral}
        splits = ["train"] * len(self._place)
        for count, place in enumerate(np.flatnonzero(faces.held_out)):
            splits[place] = ("val", "test")[count % 2]
        self.clips = [Clip(name, SUBJECT, splits[place]) for name, place in self._place.items()]

    def sound(self, clip: Clip) -> FloatArray:
        """Sound float32 [N], mono, 16 kHz."""
        return np.asarray(self._sounds[self._place[clip.name]], np.float32) / np.float32(32768)

    def vertices(self, clip: Clip) -> FloatArray:
        """Faces float32 [T,478,3], eye distances."""
        return np.asarray(np.load(self._tracks / f"{clip.name}.npy", allow_pickle=False))
