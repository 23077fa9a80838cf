"""A clip of a person that says other things, followed once, for any number of speeches."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from mdth.artefacts import FURTHEST, Files, Portrait, loading
from mdth.embedded.clip.mouths import Mouths, choose, cut_out, cut_size
from mdth.embedded.render.light import Light, measure_light
from mdth.engine import IMAGE, VIDEO, Progress
from mdth.errors import NoFaceFound
from mdth.face import geometry, topology
from mdth.face.find import reported
from mdth.face.follow import Followed, Why, follow
from mdth.face.portrait import portrait_score
from mdth.files.arrays import Wanted, map_numbers, read_npz, write_npz
from mdth.log.stages import stage
from mdth.media.film import Film, open_film
from mdth.options import PortraitOptions

CLIP, MESH, PERSON, MOUTHS = "clip", "mesh.npy", "person.npz", "mouths.npz"
SAVED = [f"{VIDEO}/{name}" for name in (CLIP, MESH, PERSON, MOUTHS)]
SAVED += [f"{IMAGE}/{name}" for name in ("person.png", "portrait.npz", "portrait.png")]
# For the portrait so many frames are looked at.
LOOKED_AT = 200


@dataclass(frozen=True)
class ClipAvatar:
    """clip: its file, which has to stay. person: who speaks in it. portrait: its best frame.

    mouths: what it shows behind the lips, None where they never part.
    """

    portrait: Portrait
    clip: Path
    person: Followed
    mouths: Mouths | None
    engine: ClassVar[str] = "embedded"
    keeps_clip: ClassVar[bool] = True

    def save(self, folder: Path) -> None:
        """Write `image` and `video` below `folder`, the clip itself among it."""
        self.portrait.save(folder / IMAGE)
        video, person = folder / VIDEO, self.person
        people = np.array(person.people)
        write_npz(video / PERSON, {"shot": person.shot, "why": person.why, "people": people})
        np.save(video / MESH, np.asarray(person.mesh, np.float32).reshape(-1))
        shutil.copyfile(self.clip, video / CLIP)
        if self.mouths:
            self.mouths.save(video / MOUTHS)

    def light(self) -> Light:
        """Colours of the portrait, and of the teeth that the clip shows."""
        light = measure_light(self.portrait.image, self.portrait.mesh)
        return replace(light, tooth=self.mouths.tooth(light)) if self.mouths else light

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
            mesh = map_numbers(video[MESH]).reshape(len(arrays["shot"]), 478, 3)
            why, shot = arrays["why"].astype(np.uint8), arrays["shot"].astype(np.int32)
            if (np.diff(shot) < 0).any() or not (why == Why.USABLE).any():
                raise ValueError("shots that do not rise, or no face")
            most = FURTHEST * 8192
            for start in range(0, len(mesh), 1000):
                part = mesh[start : start + 1000][why[start : start + 1000] == Why.USABLE]
                if not (np.abs(part) < most).all():
                    raise ValueError("a mesh that is none")
            person = Followed(mesh, shot, why, int(arrays["people"]))
            mouths = Mouths.load(video[MOUTHS]) if MOUTHS in video else None
            return cls(portrait, video[CLIP], person, mouths)


@stage("follow the face")
def prepare_clip(
    clip: Path, options: PortraitOptions, progress: Progress | None = None
) -> ClipAvatar:
    """Follow the person of a clip. Raises UnreadableMedia, NoFaceFound."""
    film = open_film(clip)
    person = follow(
        reported((frame.rgb for frame in film.frames()), film, progress),
        fps=float(film.fps),
        face=options.face,
        point=options.point_px,
    )
    usable = np.flatnonzero(person.why == Why.USABLE)
    if not len(usable):
        raise NoFaceFound(
            f"{clip}: no frame shows a face that can be dubbed; use a clip of one from the front, "
            "with nothing before the mouth"
        )
    return _kept(film, person, usable)


def _kept(film: Film, person: Followed, usable: topology.IndexArray) -> ClipAvatar:
    """With what is kept of the pixels: the portrait, and mouths."""
    looked_at = usable[:: max(1, len(usable) // LOOKED_AT)]
    best = int(looked_at[np.argmax([portrait_score(person.mesh[n]) for n in looked_at])])
    chosen = choose(person.mesh, usable)
    size = cut_size(float(np.median(geometry.head_pose(person.mesh[looked_at]).scale)))
    rows = []
    for number, frame in film.at({best, *chosen.tolist()}):
        mesh = np.asarray(person.mesh[number], np.float32)
        if number == best:
            height, width = (length & ~1 for length in frame.rgb.shape[:2])
            portrait = Portrait(np.ascontiguousarray(frame.rgb[:height, :width]), mesh)
        if number in chosen:
            rows.append(cut_out(frame.rgb, mesh, size))
    return ClipAvatar(portrait, film.path, person, Mouths.of(rows) if rows else None)
