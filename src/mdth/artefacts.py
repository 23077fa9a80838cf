"""What the stages hand to each other: frozen, saved to a folder and loaded from one.

Only plain formats are written: npz and npy without pickles, PNG, and the user's own sound. Files
that were renamed since (see `mdth.storage.manifest`) are loaded by a table: the name `save` gave ->
its path.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.errors import ArtefactError
from mdth.files.arrays import DAMAGE, Wanted, read_npz, write_npz
from mdth.files.reading import BoundedFile

FloatArray = npt.NDArray[np.floating]
Frame = npt.NDArray[np.uint8]
Files = Mapping[str, Path]

SPEECH_RATE_HZ = 16_000
SHORTEST_S = 0.3
_PLAIN_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")
LARGEST_PICTURE_PX = 4096
UPPER_POINTS = 126  # of `topology.UPPER_FACE`
LOWEST_FPS, HIGHEST_FPS = 1, 240
# Eye distances: no head moves further from where a clip has it on average.
FURTHEST_HEAD = 100.0
_FPS = Wanted((), least=LOWEST_FPS, most=HIGHEST_FPS)
_MOTION = {
    "fps": _FPS,
    "found": Wanted((None,), kinds="b"),
    "rotation": Wanted((None, 3, 3)),
    "translation": Wanted((None, 3), most=FURTHEST_HEAD),
    "upper": Wanted((None, UPPER_POINTS, 3), most=FURTHEST_HEAD),
}
# A face may reach out of its picture, by this many times the picture's size.
FURTHEST = 4.0
SMALLEST_SPREAD_PX = 0.1


def original_name(path: Path) -> str:
    """What the user's own sound is called among prepared data: its suffix stays if it is plain."""
    suffix = path.suffix.lower()
    return f"original{suffix}" if _PLAIN_SUFFIX.fullmatch(suffix) else "original"


@contextmanager
def loading(saved: Path | Files, what: str) -> Iterator[Files]:
    """The files of a folder by their names; a table is one already.

    What is missing or damaged becomes an ArtefactError that says `what`.
    """
    folder = saved if isinstance(saved, Path) else next(iter(saved.values()), Path("?")).parent
    try:
        yield {p.name: p for p in saved.iterdir()} if isinstance(saved, Path) else saved
    except PermissionError as error:
        raise ArtefactError(f"{error.filename}: {error.strerror}; let it be read") from error
    except DAMAGE as error:
        raise ArtefactError(f"{folder}: {what} ({error}); preprocess again") from error


def read_png(path: Path, mode: str) -> Frame:
    """A png's pixels as "RGB" [H,W,3] or "L" [H,W]. Raises OSError, ValueError, SyntaxError."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's of a picture too large is our error
        try:
            with BoundedFile(path) as file, PillowImage.open(file, formats=("PNG",)) as picture:
                if not 1 <= max(picture.size) <= LARGEST_PICTURE_PX:
                    raise ValueError(f"a picture of {picture.size} px")
                return np.asarray(picture.convert(mode))
        except (PillowImage.DecompressionBombError, Warning) as error:
            raise ValueError(str(error)) from error


def _shows_face(image: Frame, mesh: FloatArray) -> bool:
    """Whether the face's middle lies in the picture, and its points do not lie on one line."""
    middle = mesh[:, :2].mean(axis=0)
    inside = (middle >= 0).all() and (middle <= image.shape[1::-1]).all()
    spread = np.linalg.svd(mesh[:, :2] - middle, compute_uv=False) / len(mesh) ** 0.5
    return bool(inside and spread.min() > SMALLEST_SPREAD_PX)


def _check_rotations(rotation: FloatArray) -> None:
    """Raise ValueError unless all of [T,3,3] turn and do nothing else."""
    squared = rotation @ rotation.transpose(0, 2, 1)
    if not (np.abs(squared - np.eye(3)) < 0.01).all() or (np.linalg.det(rotation) < 0).any():
        raise ValueError("rotations that are none")


@dataclass(frozen=True)
class Portrait:
    """A person's picture and the face in it.

    image: RGB uint8 [H,W,3], H and W even.
    mesh: float32 [478,3] px in the picture frame (see `mdth.face.geometry`).
    person: float32 [H,W] 0..1, how much of each pixel is the person; None or empty: not known.
    glasses, covered: how sure it is that the person wears some, and that something is before the
    mouth, 0..1.
    """

    image: Frame
    mesh: FloatArray
    person: FloatArray | None = None
    glasses: float = 0.0
    covered: float = 0.0

    def save(self, folder: Path) -> None:
        """Write `portrait.png`, `person.png` and `portrait.npz` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        PillowImage.fromarray(self.image).save(folder / "portrait.png")
        person = np.zeros(self.image.shape[:2]) if self.person is None else self.person
        eight_bit = np.round(255 * person).astype(np.uint8)
        PillowImage.fromarray(eight_bit).save(folder / "person.png")
        sure = {"glasses": np.float32(self.glasses), "covered": np.float32(self.covered)}
        write_npz(folder / "portrait.npz", {"mesh": self.mesh}, **sure)

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        with loading(saved, "not a prepared portrait") as files:
            image = read_png(files["portrait.png"], "RGB")
            person = read_png(files["person.png"], "L").astype(np.float32) / 255
            far = Wanted((478, 3), most=FURTHEST * max(image.shape))
            sure = dict.fromkeys(("glasses", "covered"), Wanted((), most=1))
            arrays = read_npz(files["portrait.npz"], {"mesh": far, **sure})
            if person.shape != image.shape[:2]:
                raise ValueError("person.png and portrait.png differ in size")
            if image.shape[0] % 2 or image.shape[1] % 2 or not _shows_face(image, arrays["mesh"]):
                raise ValueError("no picture with a face")
            return cls(image, arrays["mesh"], person, *(float(arrays[name]) for name in sure))


@dataclass(frozen=True)
class Motion:
    """What a clip's head, eyes and brows do: one entry per frame, found or not.

    fps: the clip's own rate. found: bool [T]. rotation: [T,3,3], head in the picture frame.
    translation: [T,3], head position in eye distances, relative to the clip's mean.
    upper: [T,U,3], offsets of `topology.UPPER_FACE` from the clip's mean, face frame, eye
    distances.
    Frames without a face lie between the found ones around them.
    """

    fps: float
    found: npt.NDArray[np.bool_]
    rotation: FloatArray
    translation: FloatArray
    upper: FloatArray

    def save(self, folder: Path) -> None:
        """Write `motion.npz` into `folder`."""
        tracks = {name: getattr(self, name) for name in _MOTION if name != "fps"}
        write_npz(folder / "motion.npz", tracks, fps=np.float64(self.fps))

    @classmethod
    def load(cls, saved: Path | Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        with loading(saved, "not a prepared motion") as files:
            arrays = read_npz(files["motion.npz"], _MOTION)
            _check_rotations(arrays["rotation"])
            return cls(float(arrays.pop("fps")), **arrays)


@dataclass(frozen=True)
class MeshSequence:
    """A moving face: offsets [T,478,3] from the neutral face, face frame, eye distances; fps."""

    offsets: FloatArray
    fps: float
