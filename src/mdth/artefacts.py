"""What the stages hand to each other: frozen, saved to a folder and loaded from one.

Only plain formats are written: npz and npy without pickles, PNG, and the user's own sound. Files
that were renamed since (see `mdth.manifest`) are loaded by a table: the name `save` gave -> path.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.errors import ArtefactError

FloatArray = npt.NDArray[np.floating]
Frame = npt.NDArray[np.uint8]
Files = Mapping[str, Path]

SPEECH_RATE_HZ = 16_000
# What reading a file that is missing, cut off or not ours can raise.
DAMAGE = (OSError, ValueError, KeyError, EOFError, BadZipFile)


def _listed(saved: Path | Files) -> Files:
    """The files of a folder by their names; a table is one already."""
    if not isinstance(saved, Path):
        return saved
    return {path.name: path for path in saved.iterdir()} if saved.is_dir() else {}


def _place(saved: Path | Files) -> Path:
    """The folder, to be named in an error."""
    return saved if isinstance(saved, Path) else next(iter(saved.values()), Path("?")).parent


@dataclass(frozen=True)
class Speech:
    """A spoken sound: what the model hears, and the file the video will carry.

    samples: float32 [N], mono, 16 kHz, full scale 1.0, at the original's level; may be a memory
    map.
    original: the file whose sound goes into the video, in its own rate and channels.
    """

    samples: FloatArray
    original: Path

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SPEECH_RATE_HZ

    def save(self, folder: Path) -> None:
        """Write `speech.npy` and `original.*` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "speech.npy", np.asarray(self.samples, np.float32))
        target = folder / f"original{self.original.suffix.lower()}"
        if self.original.resolve() != target.resolve():
            shutil.copyfile(self.original, target)

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote; the samples stay on disk. Raises ArtefactError."""
        try:
            files = _listed(saved)
            samples = np.load(files["speech.npy"], mmap_mode="r", allow_pickle=False)
        except DAMAGE as error:
            raise ArtefactError(
                f"{_place(saved)}: no usable speech.npy ({error}); preprocess again"
            ) from error
        originals = sorted(path for name, path in files.items() if name.startswith("original"))
        if not originals or samples.ndim != 1 or samples.dtype != np.float32:
            raise ArtefactError(f"{_place(saved)}: not a prepared speech; preprocess again")
        return cls(samples, originals[0])


@dataclass(frozen=True)
class Portrait:
    """A person's picture and the face in it.

    image: RGB uint8 [H,W,3], H and W even.
    mesh: float32 [478,3] px in the picture frame (see `mdth.face.geometry`).
    person: float32 [H,W] 0..1, how much of each pixel is the person; None or empty: not known.
    glasses: how sure it is that the person wears some, 0..1.
    """

    image: Frame
    mesh: FloatArray
    person: FloatArray | None = None
    glasses: float = 0.0

    def save(self, folder: Path) -> None:
        """Write `portrait.png`, `person.png` and `portrait.npz` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(self.image).save(folder / "portrait.png")
        person = np.zeros(self.image.shape[:2]) if self.person is None else self.person
        eight_bit = np.round(255 * person).astype(np.uint8)
        PillowImage.fromarray(eight_bit).save(folder / "person.png")
        mesh, glasses = self.mesh.astype(np.float32), np.float32(self.glasses)
        np.savez_compressed(folder / "portrait.npz", mesh=mesh, glasses=glasses)

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        try:
            files = _listed(saved)
            with PillowImage.open(files["portrait.png"]) as picture:
                image = np.asarray(picture.convert("RGB"))
            with PillowImage.open(files["person.png"]) as mask:
                person = np.asarray(mask.convert("L"), np.float32) / 255
            with np.load(files["portrait.npz"], allow_pickle=False) as arrays:
                mesh, glasses = arrays["mesh"], float(arrays["glasses"])
        except DAMAGE as error:
            raise ArtefactError(f"{_place(saved)}: not a prepared portrait ({error})") from error
        if mesh.shape != (478, 3):
            raise ArtefactError(f"{_place(saved)}: the mesh is {mesh.shape}, not (478, 3)")
        if person.shape != image.shape[:2]:
            raise ArtefactError(f"{_place(saved)}: person.png and portrait.png differ in size")
        return cls(image, mesh, person, glasses)


@dataclass(frozen=True)
class Motion:
    """What a clip's head, eyes and brows do: one entry per frame, found or not.

    fps: the clip's own rate. found: bool [T]. rotation: [T,3,3], head in the picture frame.
    translation: [T,3], head position in eye distances, relative to the clip's mean.
    upper: [T,U,3], offsets of `topology.UPPER_FACE` from the clip's mean, face frame, eye
    distances.
    Frames without a face repeat the nearest found values.
    """

    fps: float
    found: npt.NDArray[np.bool_]
    rotation: FloatArray
    translation: FloatArray
    upper: FloatArray

    def save(self, folder: Path) -> None:
        """Write `motion.npz` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "motion.npz",
            fps=np.float64(self.fps),
            found=self.found,
            rotation=self.rotation.astype(np.float32),
            translation=self.translation.astype(np.float32),
            upper=self.upper.astype(np.float32),
        )

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        try:
            with np.load(_listed(saved)["motion.npz"], allow_pickle=False) as arrays:
                return cls(
                    float(arrays["fps"]),
                    arrays["found"],
                    arrays["rotation"],
                    arrays["translation"],
                    arrays["upper"],
                )
        except DAMAGE as error:
            raise ArtefactError(f"{_place(saved)}: not a prepared motion ({error})") from error


@dataclass(frozen=True)
class MeshSequence:
    """A moving face: offsets [T,478,3] from the neutral face, face frame, eye distances; fps."""

    offsets: FloatArray
    fps: float

    def save(self, folder: Path) -> None:
        """Write `mesh.npz` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            folder / "mesh.npz", offsets=self.offsets.astype(np.float32), fps=np.float64(self.fps)
        )

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        try:
            with np.load(_listed(saved)["mesh.npz"], allow_pickle=False) as arrays:
                return cls(arrays["offsets"], float(arrays["fps"]))
        except DAMAGE as error:
            raise ArtefactError(f"{_place(saved)}: not a mesh sequence ({error})") from error
