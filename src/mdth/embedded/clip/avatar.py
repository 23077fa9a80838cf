"""A clip of a person that says other things, followed once, for any number of speeches."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from mdth.artefacts import FURTHEST, Files, Frame, Portrait, loading
from mdth.engine import IMAGE, VIDEO, Progress
from mdth.errors import NoFaceFound
from mdth.face.find import TRACKER
from mdth.face.follow import Followed, Why, follow
from mdth.face.portrait import portrait_score
from mdth.files import assets
from mdth.files.arrays import Wanted, map_samples, read_npz, write_npz
from mdth.log.stages import stage
from mdth.media.film import Film, open_film
from mdth.options import PortraitOptions

CLIP, MESH, PERSON = "clip", "mesh.npy", "person.npz"
SAVED = [f"{VIDEO}/{name}" for name in (CLIP, MESH, PERSON)]
SAVED += [f"{IMAGE}/{name}" for name in ("person.png", "portrait.npz", "portrait.png")]
# For the portrait so many frames are looked at.
LOOKED_AT = 200


@dataclass(frozen=True)
class ClipAvatar:
    """clip: its file, which has to stay. person: who speaks in it. portrait: its best frame."""

    portrait: Portrait
    clip: Path
    person: Followed
    engine: ClassVar[str] = "embedded"

    def save(self, folder: Path) -> None:
        """Write `image` and `video` below `folder`, the clip itself among it."""
        self.portrait.save(folder / IMAGE)
        video, person = folder / VIDEO, self.person
        people = np.array(person.people)
        write_npz(video / PERSON, {"shot": person.shot, "why": person.why, "people": people})
        np.save(video / MESH, np.asarray(person.mesh, np.float32).reshape(-1))
        shutil.copyfile(self.clip, video / CLIP)

    @staticmethod
    def is_in(video: Files) -> bool:
        """Whether the files of a folder `video` are such a one's."""
        return PERSON in video

    @classmethod
    def load(cls, files: Mapping[str, Files]) -> Self:
        """What `save` wrote; meshes stay on disk. Raises ArtefactError."""
        portrait = Portrait.load(files[IMAGE])
        with loading(files[VIDEO], "not a prepared clip") as video:
            wanted = {name: Wanted((None,), kinds="iu") for name in ("shot", "why")}
            arrays = read_npz(video[PERSON], {**wanted, "people": Wanted((), kinds="i")})
            mesh = map_samples(video[MESH]).reshape(len(arrays["shot"]), 478, 3)
            why, shot = arrays["why"].astype(np.uint8), arrays["shot"].astype(np.int32)
            if (np.diff(shot) < 0).any() or not (why == Why.USABLE).any():
                raise ValueError("shots that do not rise, or no face")
            most = FURTHEST * 8192
            for start in range(0, len(mesh), 1000):
                part = mesh[start : start + 1000][why[start : start + 1000] == Why.USABLE]
                if not (np.abs(part) < most).all():
                    raise ValueError("a mesh that is none")
            return cls(portrait, video[CLIP], Followed(mesh, shot, why, int(arrays["people"])))


@stage("follow the face")
def prepare_clip(
    clip: Path, options: PortraitOptions, progress: Progress | None = None
) -> ClipAvatar:
    """Follow the person of a clip. Raises UnreadableMedia, NoFaceFound."""
    film = open_film(clip)
    total = round(film.duration_s * film.fps) if film.duration_s else None
    frames = _told(film, total, progress)
    person = follow(frames, assets.path(TRACKER), fps=float(film.fps), face=options.face)
    return ClipAvatar(_portrait(film, person), clip, person)


def _told(film: Film, total: int | None, progress: Progress | None) -> Iterator[Frame]:
    for done, frame in enumerate(film.frames(), start=1):
        yield frame.rgb
        if progress:
            progress(done, total)


def _portrait(film: Film, person: Followed) -> Portrait:
    """The frame whose face is most frontal, eyes open and mouth shut."""
    usable = np.flatnonzero(person.why == Why.USABLE)
    if not len(usable):
        raise NoFaceFound(
            f"{film.path}: no frame shows a face that can be dubbed; use a clip of one from the "
            "front, with nothing before the mouth"
        )
    looked_at = usable[:: max(1, len(usable) // LOOKED_AT)]
    best = max(looked_at, key=lambda number: portrait_score(person.mesh[number]))
    frame = next(frame.rgb for number, frame in enumerate(film.frames()) if number == best)
    even = np.ascontiguousarray(frame[: frame.shape[0] & ~1, : frame.shape[1] & ~1])
    return Portrait(even, np.asarray(person.mesh[best], np.float32))
