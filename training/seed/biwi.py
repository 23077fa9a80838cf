"""BIWI, the 3-D audiovisual corpus of affective communication (Fanelli et al., IEEE TMM 2010).

Read in the form that FaceFormer's authors and others convert it to: `vertices_npy/F2_e01.npy`
[T,V*3], 25 meshes a second, `templates.pkl` (each subject's neutral face) and `wav/F2_e01.wav`.
"""

import dataclasses
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import ArtefactError, CheckpointError, MissingInput
from mdth.faceformer.config import BIWI
from mdth.files import pickle as model_pickle
from mdth.media.audio import read_blocks
from training.seed.corpus import Clip

TRAINING = ("F2", "F3", "F4", "M3", "M4", "M5")
NEW = ("F1", "F5", "F6", "F7", "F8", "M1", "M2", "M6")
"""Subjects that FaceFormer never trains on: its test set B."""
FIRST_VALIDATION, FIRST_TEST = 33, 37
"""Of the training subjects sentences 1 to 32 train, 33 to 36 validate, 37 to 40 are test set A."""


class Biwi:
    """The converted folder; emotional takes (`e01` to `e40`), as FaceFormer uses them."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingInput: a part is not there; ArtefactError: parts that do not fit."""
        self.folder = folder
        path = folder / "templates.pkl"
        if not path.is_file() or not (folder / "vertices_npy").is_dir():
            raise MissingInput(f"{folder}: no vertices_npy and templates.pkl; put BIWI's there")
        try:
            self.templates: dict[str, FloatArray] = {
                name: np.asarray(template, np.float32).reshape(-1, 3)
                for name, template in model_pickle.load(path).items()
            }
        except (CheckpointError, AttributeError, TypeError, ValueError) as error:
            raise ArtefactError(f"{path}: no templates by subject ({error})") from error
        shapes = {template.shape for template in self.templates.values()}
        if len(shapes) != 1:
            raise ArtefactError(f"{folder}: templates of different sizes, {sorted(shapes)}")
        (vertices, _), *_ = shapes
        self.clips = self._found()
        names = tuple(n for n in TRAINING if any(c.subject == n for c in self.clips))
        self.config = dataclasses.replace(BIWI, vertices=vertices, subjects=len(names), names=names)

    def sound(self, clip: Clip) -> FloatArray:
        """Sound float32 [N], mono, 16 kHz. Raises UnreadableMedia."""
        return np.concatenate(list(read_blocks(self._wav(clip.name))))

    def vertices(self, clip: Clip) -> FloatArray:
        """Meshes float32 [T,V,3] at 25 frames a second. Raises ArtefactError."""
        count, path = self.config.vertices, self.folder / "vertices_npy" / f"{clip.name}.npy"
        try:
            rows = np.load(path, allow_pickle=False)
            meshes: FloatArray = rows.astype(np.float32).reshape(-1, count, 3)
        except (OSError, ValueError, EOFError) as error:
            raise ArtefactError(f"{path}: no meshes of {count} vertices ({error})") from error
        return meshes

    def _found(self) -> list[Clip]:
        names = sorted(path.stem for path in (self.folder / "vertices_npy").glob("*.npy"))
        clips = [
            Clip(name, subject, split)
            for name in names
            if (subject := name.partition("_")[0]) in self.templates
            and (split := split_of(subject, name)) is not None
        ]
        if not clips:
            raise MissingInput(
                f"{self.folder}: no take with meshes, a template and a known subject"
            )
        without = [clip.name for clip in clips if not self._wav(clip.name).is_file()]
        if without:
            raise MissingInput(
                f"{self.folder}/wav: no sound for {len(without)} takes ({', '.join(without[:3])})"
            )
        return clips

    def _wav(self, name: str) -> Path:
        return self.folder / "wav" / f"{name}.wav"


def split_of(subject: str, name: str) -> str | None:
    """The published split of a take, None for one that is in none."""
    number = int(name[-2:]) if name[-2:].isdigit() else 0
    if subject in TRAINING and number:
        if number < FIRST_VALIDATION:
            return "train"
        return "val" if number < FIRST_TEST else "test"
    return "test" if subject in NEW and number >= FIRST_TEST else None
