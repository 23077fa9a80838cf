"""VOCASET as published (Cudeiro et al., CVPR 2019): four files, 60 frames a second, 12 subjects.

`data_verts.npy` [N,V,3] m, all frames of all sentences; `subj_seq_to_idx.pkl`, for each subject,
sentence and frame its row there; `raw_audio_fixed.pkl`, for each subject and sentence the sound and
its rate (22 kHz); `templates.pkl`, each subject's neutral face. FaceFormer takes every second frame
and sound at 16 kHz. The pickles are read by `mdth.files.pickle`.
"""

import dataclasses
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.errors import ArtefactError, CheckpointError, MissingInput
from mdth.faceformer.config import VOCASET
from mdth.files import pickle as model_pickle
from training.seed.corpus import Clip

RECORDED_FPS = 60
TRAINING = VOCASET.names
VALIDATION = ("FaceTalk_170811_03275_TA", "FaceTalk_170908_03277_TA")
TEST = ("FaceTalk_170809_00138_TA", "FaceTalk_170731_00024_TA")
# Of the subjects never trained on, FaceFormer predicts the second half of the 40 sentences.
FIRST_HELD_OUT = 21
FILES = {
    "meshes": "data_verts.npy",
    "rows": "subj_seq_to_idx.pkl",
    "sounds": "raw_audio_fixed.pkl",
    "templates": "templates.pkl",
}


class Vocaset:
    """The published folder; meshes stay on disk until they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises MissingInput: a file is not there; ArtefactError: not the published content."""
        paths = {name: folder / file for name, file in FILES.items()}
        missing = [path.name for path in paths.values() if not path.is_file()]
        if missing:
            raise MissingInput(f"{folder}: no {', '.join(missing)}; give VOCASET's training data")
        self.folder = folder
        self._meshes = _memory_map(paths["meshes"])
        self._rows = _tables(paths["rows"])
        self._sounds = _tables(paths["sounds"])
        self.templates: dict[str, FloatArray] = {
            name: np.asarray(template, np.float32)
            for name, template in _tables(paths["templates"]).items()
        }
        self._check_templates(paths["templates"])
        present = tuple(name for name in TRAINING if name in self._rows)
        vertices, names = self._meshes.shape[1], present
        self.config = dataclasses.replace(
            VOCASET, vertices=vertices, subjects=len(names), names=names
        )
        self.clips = [
            Clip(f"{subject}_{sentence}", subject, split)
            for split, subjects in (("train", TRAINING), ("val", VALIDATION), ("test", TEST))
            for subject in subjects
            for sentence in sorted(self._rows.get(subject, {}))
            if self._has(subject, sentence)
            and (split == "train" or int(sentence[-2:]) >= FIRST_HELD_OUT)
        ]

    def sound(self, clip: Clip) -> FloatArray:
        """Sound float32 [N], mono, 16 kHz. Raises ArtefactError."""
        entry = self._sounds[clip.subject][self._sentence(clip)]
        try:
            samples, rate_hz = np.asarray(entry["audio"]), round(float(entry["sample_rate"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ArtefactError(
                f"{clip.name}: no sound with a rate in {FILES['sounds']}"
            ) from error
        return at_speech_rate(samples, rate_hz)

    def vertices(self, clip: Clip) -> FloatArray:
        """Meshes float32 [T,V,3] m at 30 frames a second. Raises ArtefactError."""
        rows = self._rows[clip.subject][self._sentence(clip)]
        order = np.array([rows[frame] for frame in sorted(rows)], np.int64)
        kept = order[:: RECORDED_FPS // VOCASET.fps]
        if len(kept) and (kept.min() < 0 or kept.max() >= len(self._meshes)):
            raise ArtefactError(
                f"{clip.name}: rows up to {kept.max()} of {FILES['meshes']}, which has "
                f"{len(self._meshes)}"
            )
        return np.asarray(self._meshes[kept], np.float32)

    def _has(self, subject: str, sentence: str) -> bool:
        """Frames, sound and template are there; VOCASET lacks the sound of a few sentences."""
        return bool(
            self._rows[subject][sentence]
            and sentence in self._sounds.get(subject, {})
            and subject in self.templates
        )

    def _sentence(self, clip: Clip) -> str:
        return clip.name.removeprefix(f"{clip.subject}_")

    def _check_templates(self, path: Path) -> None:
        vertices = self._meshes.shape[1]
        for name, template in self.templates.items():
            if template.shape != (vertices, 3):
                raise ArtefactError(
                    f"{path}: template {name} of shape {template.shape}, but meshes of "
                    f"{vertices} vertices"
                )


def at_speech_rate(samples: npt.NDArray[Any], rate_hz: int) -> FloatArray:
    """A sound [N] or [N,channels], integer or float, as float32 [N] mono at 16 kHz."""
    from scipy.signal import resample_poly

    scale = np.iinfo(samples.dtype).max + 1 if samples.dtype.kind == "i" else 1
    mono = samples.astype(np.float64) / scale
    if mono.ndim == 2:
        mono = mono.mean(axis=int(np.argmin(mono.shape)))
    step = Fraction(SPEECH_RATE_HZ, rate_hz)
    resampled: FloatArray = resample_poly(mono, step.numerator, step.denominator)
    return resampled.astype(np.float32)


def _memory_map(path: Path) -> npt.NDArray[Any]:
    try:
        meshes: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ArtefactError(f"{path}: cannot be read ({error}); fetch it again") from error
    if meshes.ndim != 3 or meshes.shape[2] != 3 or meshes.dtype.kind != "f":
        raise ArtefactError(f"{path}: {meshes.dtype} {meshes.shape}, not meshes [N,V,3]")
    return meshes


def _tables(path: Path) -> dict[str, Any]:
    try:
        found = model_pickle.load(path)
    except CheckpointError as error:
        raise ArtefactError(str(error)) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ArtefactError(f"{path}: not a table by subject; is it VOCASET's?")
    return found
