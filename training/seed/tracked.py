"""Our own clips as a set for FaceFormer: 478-vertex faces that `training.talk` found.

Unit: eye distances; face frame, head pose removed. 25 frames a second, two features of the sound a
frame, like BIWI.
"""

import dataclasses
from functools import cache
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import MissingInput
from mdth.face import topology
from mdth.faceformer.config import BIWI, Config
from training import command, talk
from training.dataset import read_sound
from training.people import neutral_of
from training.seed.corpus import Clip

SUBJECT = "speaker"
TRACKED = dataclasses.replace(
    BIWI, dataset="tracked", width=64, vertices=topology.VERTEX_COUNT, subjects=1, names=(SUBJECT,)
)


class Tracked:
    """One speaker's clips; of the last tenth by name every second is val, the others test."""

    config: Config = TRACKED

    def __init__(self, clips: Path, tracks: Path) -> None:
        """Raises MissingInput: no such folders, or no track of any clip."""
        files = {clip.stem: clip for clip in command.files_in(clips, "*")}
        self._tracks, self._read = tracks, cache(read_sound)
        names = [file.stem for file in command.files_in(tracks, "*.npz") if file.stem in files]
        if not names:
            raise MissingInput(f"{tracks}: no track of any clip in {clips}; run training.talk")
        self._files = {name: files[name] for name in names}
        faces = np.concatenate([self._faces(name) for name in names])
        self.templates: dict[str, FloatArray] = {SUBJECT: neutral_of(faces)}
        first = len(names) - len(names) // 10
        kept_out = [("val", "test")[count % 2] for count in range(len(names) - first)]
        splits = zip(names, ["train"] * first + kept_out, strict=True)
        self.clips = [Clip(name, SUBJECT, split) for name, split in splits]

    def _faces(self, name: str) -> FloatArray:
        return talk.load(self._tracks / f"{name}.npz").faces()

    def sound(self, clip: Clip) -> FloatArray:
        """Sound float32 [N], mono, 16 kHz."""
        return np.asarray(self._read(self._files[clip.name]), np.float32) / np.float32(32768)

    def vertices(self, clip: Clip) -> FloatArray:
        """Faces float32 [T,478,3], eye distances."""
        return self._faces(clip.name)
