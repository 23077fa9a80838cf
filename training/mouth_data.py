"""Pictures of mouths for the mouth network, packed small.

    python -m training.mouth_data data work/mouth --talk work/talk --grid work/grid

Of the clips of `talk` that may be trained on and of `grid/s1`, with the tracks of `training.talk`:
the frames with the lips nearest, and moments spread evenly over how far they are apart, each of two
frames that follow each other. Of `stills/london`, `stills/generated`, `talk/flux` and
`talk/congress` every picture in which exactly one face is found. The last tenth of the GRID clips,
ten London people and twelve generated portraits are kept out for measuring. Written: `pictures.bin`
(WebP files end to end) and `pictures.npz` (offsets, meshes, person, set, and whether a picture is
the frame after the one before it).
"""

import io
import logging
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import Frame
from mdth.face import geometry
from mdth.face.tracker import FaceTracker
from training import command
from training.mouth_bank import MESH_STEPS, lids_apart
from training.talk import Talk, load, rows
from training.tracks import read_pictures

log = logging.getLogger("mdth")

# Room around the mesh, and the longest side kept, px.
MARGIN = 0.15
LONGEST_PX = 480
WEBP_QUALITY = 90
# Moments of a clip. Of one man's clips half are plenty: the pack has to be sent to a GPU.
TALK_MOMENTS, GRID_MOMENTS, EVERY_CLIP = 12, 1, 2
# The sets of blinks.
BLINKING = {"talk": "blink", "s1": "s1_blink", "s1_test": "s1_blink_test"}
# Lips nearer than this, eye distances, make no moment.
MIN_GAP = 0.03
# A blink shuts the eyes below this share of how far the clip's eyes are usually open; shown are its
# deepest frame, those so many frames before, and of each clip at most so many blinks.
BLINK, BEFORE, BLINKS, GRID_BLINKS = 0.4, (8, 2, 1), 8, 1
LONDON_TEST_PEOPLE = 10
GENERATED_TEST = 12


class Sample(NamedTuple):
    """A face cut out of a picture: RGB uint8 [H,W,3], mesh [478,3] px, who it is, which set.

    person: collection/identity, and for clips /clip. follows: it is the frame after the one before.
    """

    picture: Frame
    mesh: npt.NDArray[np.float32]
    person: str
    part: str
    follows: bool = False


def cut(picture: Frame, mesh: npt.NDArray[np.float32]) -> tuple[Frame, npt.NDArray[np.float32]]:
    """The face with some room around it, at most LONGEST_PX, even sides; mesh moved along."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    room = MARGIN * (high - low).max()
    x0, y0 = np.maximum(np.floor(low - room), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(high + room), picture.shape[1::-1]).astype(int)
    part = PillowImage.fromarray(picture[y0:y1, x0:x1])
    shrink = min(1.0, LONGEST_PX / max(part.size))
    size = (max(2, int(part.width * shrink) // 2 * 2), max(2, int(part.height * shrink) // 2 * 2))
    ratio = np.array([size[0] / part.width, size[1] / part.height, size[0] / part.width])
    moved = (mesh - np.array([x0, y0, 0])) * ratio
    return np.asarray(part.resize(size, PillowImage.Resampling.LANCZOS)), moved.astype(np.float32)


def picked(talk: Talk, moments: int) -> dict[int, bool]:
    """Frames of a clip to keep, and whether each follows the one before it.

    Of each half the one with the lips nearest, then `moments` pairs.
    """
    gap = geometry.lip_opening(talk.mesh) / geometry.eye_distance(talk.mesh)
    half = len(gap) // 2
    frames = {int(gap[:half].argmin()): False, half + int(gap[half:].argmin()): False}
    open_now = np.flatnonzero((np.minimum(gap[:-1], gap[1:]) > MIN_GAP) & talk.found[1:])
    order = open_now[np.argsort(gap[open_now])]
    places = ((np.arange(moments) + 0.7) / moments * len(order)).astype(int)
    for first in sorted(order[places[: len(order)]].tolist()):
        if not {first, first + 1} & frames.keys():
            frames |= {first: False, first + 1: True}
    return frames


def blinks(talk: Talk, most: int) -> set[int]:
    """Frames of a clip that show the eyes open, closing and shut."""
    apart = lids_apart(talk.mesh)
    share = apart / np.percentile(apart, 90)
    shut = np.flatnonzero(np.diff((share < BLINK).astype(int), prepend=0, append=0))
    deepest = [a + int(share[a:b].argmin()) for a, b in zip(shut[::2], shut[1::2], strict=True)]
    frames = {f - back for f in deepest[:most] for back in (0, *BEFORE)}
    return {f for f in frames if 0 <= f < len(share) and talk.found[f]}


def clip_frames(
    clip: Path, track: Path, person: str, part: str, most: tuple[int, int]
) -> Iterator[Sample]:
    """What `picked` says of a clip, in order, then what `blinks` does; most: of both."""
    talk = load(track)
    frames = picked(talk, most[0])
    shut = blinks(talk, most[1])
    blinking = []
    for index, picture in enumerate(read_pictures(clip)[1]):
        seen = cut(picture, talk.mesh[index]) if index in frames or index in shut else None
        if seen and index in frames:
            yield Sample(*seen, person, part, frames[index])
        if seen and index in shut:
            blinking.append(Sample(*seen, person, BLINKING[part]))
    yield from blinking


def talk_clips(folder: Path, use: str) -> Iterator[tuple[Path, str]]:
    """The clips of `talk` for one use (its README), and who is in each."""
    return ((folder / "clips" / row["file"], row["identity"]) for row in rows(folder, use))


def talk_frames(folder: Path, tracks: Path) -> Iterator[Sample]:
    """The clips of `talk` that may be trained on."""
    for clip, who in talk_clips(folder, "train"):
        track = tracks / f"{clip.stem}.npz"
        yield from clip_frames(
            clip, track, f"talk/{who}/{clip.stem}", "talk", (TALK_MOMENTS, BLINKS)
        )


def grid_frames(clips: list[Path], tracks: Path) -> Iterator[Sample]:
    """Every second tracked clip of one man."""
    tested = set(clips[-(len(clips) // 10) :])
    for clip in [c for c in clips if (tracks / f"{c.stem}.npz").is_file()][::EVERY_CLIP]:
        part = "s1_test" if clip in tested else "s1"
        track = tracks / f"{clip.stem}.npz"
        yield from clip_frames(
            clip, track, f"grid/s1/{clip.stem}", part, (GRID_MOMENTS, GRID_BLINKS)
        )


def stills(data: Path, tracker: FaceTracker) -> Iterator[Sample]:
    """London's people (neutral and smiling), the portraits made by AI, and members of congress."""
    folders = ("stills/london", "stills/generated", "talk/flux", "talk/congress")
    files = {name.rsplit("/")[1]: command.files_in(data / name, "*.jpg") for name in folders}
    people = sorted({path.stem.rsplit("_", 1)[0] for path in files["london"]})
    tested = {
        *people[:: len(people) // LONDON_TEST_PEOPLE][:LONDON_TEST_PEOPLE],
        *(path.stem for path in _spread(files["generated"], GENERATED_TEST)),
    }
    for part, paths in files.items():
        for path in paths:
            with PillowImage.open(path) as file:
                picture = np.asarray(file.convert("RGB"))
            faces = tracker.faces(picture)
            if len(faces) != 1:
                log.warning("%s: %d faces, left out", path.name, len(faces))
                continue
            name = path.stem.rsplit("_", 1)[0] if part == "london" else path.stem
            kept_out = "_test" if name in tested else ""
            yield Sample(*cut(picture, faces[0]), f"{part}/{name}", part + kept_out)


def _spread(paths: list[Path], count: int) -> list[Path]:
    return paths[:: len(paths) // count][:count]


def pack(samples: Iterator[Sample], folder: Path) -> int:
    """Write the samples; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets, meshes, people, parts, follows = [0], [], [], [], []
    with (folder / "pictures.bin").open("wb") as blob:
        for sample in samples:
            buffer = io.BytesIO()
            PillowImage.fromarray(sample.picture).save(buffer, "WEBP", quality=WEBP_QUALITY)
            offsets.append(offsets[-1] + blob.write(buffer.getvalue()))
            meshes.append(sample.mesh.astype(np.float32))
            people.append(sample.person)
            parts.append(sample.part)
            follows.append(sample.follows)
    np.savez_compressed(
        folder / "pictures.npz",
        offsets=np.array(offsets, np.int64),
        meshes=np.round(np.array(meshes) * MESH_STEPS).astype(np.int16),
        person=np.array(people),
        part=np.array(parts),
        follows=np.array(follows),
    )
    return len(meshes)


def main() -> None:
    """Pack the pictures of a data folder."""
    parser = command.parser("training.mouth_data", __doc__)
    parser.add_argument("data", type=Path, help="folder with grid/s1, stills and talk")
    parser.add_argument("out", type=Path)
    parser.add_argument("--talk", type=Path, required=True, help="made by training.talk")
    parser.add_argument("--grid", type=Path, required=True, help="made by training.talk of grid/s1")
    args = parser.parse_args()
    clips = command.files_in(args.data / "grid/s1", "*.mp4")
    with FaceTracker() as tracker:
        samples = chain(
            stills(args.data, tracker),
            talk_frames(args.data / "talk", args.talk),
            grid_frames(clips, args.grid),
        )
        log.info("%d pictures in %s", pack(samples, args.out), args.out)


if __name__ == "__main__":
    command.run(main)
