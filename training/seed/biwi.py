"""BIWI, the 3-D audiovisual corpus of affective communication (Fanelli et al., IEEE TMM 2010).

Two forms are read. As published, unpacked: `faces/F2/e01/*.vl` (a mesh for each frame, 25 a
second), `rigid_scans/F2.obj` (each subject's template). As FaceFormer's authors and others
convert it: `vertices_npy/F2_e01.npy` [T,V*3] and `templates.pkl`. In both the sound lies in
`wav/F2_e01.wav` (made from the published videos, as by
`ffmpeg -i F2_e01.flv wav/F2_e01.wav`).

A `.vl` file holds the vertices as little-endian float32 x, y, z, after a count of 4 bytes (an
integer or a float32) or without one: which of them is seen from its size, and the count must agree
with the template. The published meshes are tens of units wide; a network trained on them as they
are does not learn, so meshes of the first form are centred and scaled by their subject's template
(`Biwi.scales`). Meshes of the second form are taken as they are.
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
    """The folder in either form; emotional takes (`e01` to `e40`), as FaceFormer uses them.

    scales: what each subject's meshes were divided by, in the published unit; 1 in the second form.
    """

    def __init__(self, folder: Path) -> None:
        """Raises MissingInput: a part is not there; ArtefactError: parts that do not fit."""
        self.folder = folder
        self._converted = (folder / "vertices_npy").is_dir()
        self.templates = self._templates()
        shapes = {template.shape for template in self.templates.values()}
        if len(shapes) != 1:
            raise ArtefactError(f"{folder}: templates of different sizes, {sorted(shapes)}")
        (vertices, _), *_ = shapes
        self._centres = dict.fromkeys(self.templates, np.zeros(3, np.float32))
        self.scales = dict.fromkeys(self.templates, 1.0)
        if not self._converted:
            self._normalise()
        self.clips = self._found()
        names = tuple(n for n in TRAINING if any(c.subject == n for c in self.clips))
        self.config = dataclasses.replace(BIWI, vertices=vertices, subjects=len(names), names=names)

    def sound(self, clip: Clip) -> FloatArray:
        """Sound float32 [N], mono, 16 kHz. Raises UnreadableMedia."""
        return np.concatenate(list(read_blocks(self._wav(clip.name))))

    def vertices(self, clip: Clip) -> FloatArray:
        """Meshes float32 [T,V,3] at 25 frames a second. Raises ArtefactError."""
        count = self.config.vertices
        if self._converted:
            path = self.folder / "vertices_npy" / f"{clip.name}.npy"
            try:
                rows = np.load(path, allow_pickle=False)
                meshes: FloatArray = rows.astype(np.float32).reshape(-1, count, 3)
            except (OSError, ValueError, EOFError) as error:
                raise ArtefactError(f"{path}: no meshes of {count} vertices ({error})") from error
            return meshes
        frames = [read_vl(path, count) for path in sorted(self._folder(clip).glob("*.vl"))]
        centre, scale = self._centres[clip.subject], self.scales[clip.subject]
        return ((np.stack(frames) - centre) / scale).astype(np.float32)

    def _templates(self) -> dict[str, FloatArray]:
        if self._converted:
            path = self.folder / "templates.pkl"
            try:
                found = model_pickle.load(path)
                return {name: _rows(template) for name, template in found.items()}
            except (CheckpointError, AttributeError, TypeError, ValueError) as error:
                raise ArtefactError(f"{path}: no templates by subject ({error})") from error
        paths = sorted((self.folder / "rigid_scans").glob("*.obj"))
        if not paths:
            raise MissingInput(
                f"{self.folder}: neither vertices_npy and templates.pkl nor faces and "
                "rigid_scans/*.obj; unpack BIWI there"
            )
        return {path.stem: read_obj(path) for path in paths}

    def _normalise(self) -> None:
        for name, template in self.templates.items():
            self._centres[name] = template.mean(axis=0)
            self.scales[name] = float(np.ptp(template, axis=0).max())
            self.templates[name] = (template - self._centres[name]) / self.scales[name]

    def _found(self) -> list[Clip]:
        if self._converted:
            names = sorted(path.stem for path in (self.folder / "vertices_npy").glob("*.npy"))
        else:
            takes = sorted((self.folder / "faces").glob("*/e[0-9][0-9]"))
            names = [f"{take.parent.name}_{take.name}" for take in takes if any(take.glob("*.vl"))]
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

    def _folder(self, clip: Clip) -> Path:
        return self.folder / "faces" / clip.subject / clip.name.partition("_")[2]

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


def read_vl(path: Path, vertices: int) -> FloatArray:
    """The vertices float32 [V,3] of a `.vl` file. Raises ArtefactError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"{path}: cannot be read ({error.strerror or error})") from error
    head = len(content) - 12 * vertices
    if head == 4:
        count = {float(np.frombuffer(content, kind, 1)[0]) for kind in ("<i4", "<f4")}
        if vertices not in count:
            raise ArtefactError(f"{path}: begins with none of {vertices} as a count")
    elif head != 0:
        raise ArtefactError(
            f"{path}: {len(content)} bytes, not {vertices} vertices as the template has"
        )
    found: FloatArray = np.frombuffer(content, "<f4", offset=head).reshape(vertices, 3)
    return found


def read_obj(path: Path) -> FloatArray:
    """The vertices float32 [V,3] of a `.obj` file. Raises ArtefactError."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
        rows = [line.split()[1:4] for line in lines if line.startswith(("v ", "v\t"))]
        found = np.array(rows, np.float32)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"{path}: no mesh ({error})") from error
    if found.ndim != 2 or found.shape[1] != 3:
        raise ArtefactError(f"{path}: no vertices in it")
    return found


def _rows(template: object) -> FloatArray:
    return np.asarray(template, np.float32).reshape(-1, 3)
