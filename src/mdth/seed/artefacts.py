"""What the seed's engine prepares: a face in a picture, a face over a clip; saved and loaded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import Files, FloatArray, Frame, Portrait, loading, read_png
from mdth.engine import IMAGE, VIDEO
from mdth.files.arrays import Wanted, read_npz, write_npz

FPS = 30.0
PICTURE, STILL, CLIP = "seed.png", "seed_still.npz", "seed_clip.npz"


@dataclass(frozen=True)
class Faces:
    """Faces of T frames as the fitted model sees them.

    landmarks: [T,68,3] mm, model space (x to the person's left, y up, z forwards); points 3 and 4
    are the irises, the viewer's left and right. modelview: [T,4,4]. screen: [T,4,4], viewport @
    projection, camera space -> px. rotation: [T,3,3] (x right, y up, z to the viewer) and
    translation: [T,3] (half crops), the head's, by the head-pose network.
    """

    landmarks: FloatArray
    modelview: FloatArray
    screen: FloatArray
    rotation: FloatArray
    translation: FloatArray

    @property
    def origin_px(self) -> FloatArray:
        """[T,2] px of the crop, where the model's origin lies."""
        return np.asarray((self.screen @ self.modelview)[:, :2, 3])

    @property
    def scale(self) -> FloatArray:
        """[T] px for one mm."""
        return np.asarray(np.abs(self.screen[:, 0, 0]))

    def __len__(self) -> int:
        return len(self.landmarks)


def joined(parts: Sequence[Faces]) -> Faces:
    """Faces one after the other."""
    return Faces(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _FACES}
    )


@dataclass(frozen=True)
class SeedStill:
    """The source: picture RGB uint8 [256,256,3], its one face, the crop's matrix [2,3]."""

    picture: Frame
    faces: Faces
    crop: FloatArray

    def save(self, folder: Path) -> None:
        """Write `seed.png` and `seed_still.npz` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(self.picture).save(folder / PICTURE)
        write_npz(folder / STILL, vars(self.faces), crop=self.crop)

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        with loading(saved, "no still of the seed's engine") as files:
            pixels = read_png(files[PICTURE], "RGB")
            arrays = read_npz(files[STILL], {**_FACES, "crop": Wanted((2, 3))})
            return cls(pixels, _faces(arrays), arrays["crop"])


@dataclass(frozen=True)
class SeedClip:
    """The motion: one entry for each frame at 30 a second, found bool [T] or filled in between."""

    faces: Faces
    found: npt.NDArray[np.bool_]

    def save(self, folder: Path) -> None:
        """Write `seed_clip.npz` into `folder`."""
        write_npz(folder / CLIP, vars(self.faces), found=self.found)

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        with loading(saved, "no clip of the seed's engine") as files:
            arrays = read_npz(files[CLIP], {**_FACES, "found": Wanted((None,), kinds="b")})
            return cls(_faces(arrays), arrays["found"])


@dataclass(frozen=True)
class SeedAvatar:
    """The portrait, what the networks see of it, and the clip that moves it, if any."""

    portrait: Portrait
    still: SeedStill
    clip: SeedClip | None = None
    engine: ClassVar[str] = "seed"

    def save(self, folder: Path) -> None:
        """Write `image` and `video` below `folder`."""
        self.portrait.save(folder / IMAGE)
        self.still.save(folder / IMAGE)
        if self.clip:
            self.clip.save(folder / VIDEO)


_FACES = {
    "landmarks": Wanted((None, 68, 3)),
    "modelview": Wanted((None, 4, 4)),
    "screen": Wanted((None, 4, 4)),
    "rotation": Wanted((None, 3, 3)),
    "translation": Wanted((None, 3)),
}


def _faces(arrays: Mapping[str, npt.NDArray[Any]]) -> Faces:
    return Faces(**{name: arrays[name] for name in _FACES})
