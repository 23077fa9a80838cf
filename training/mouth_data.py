"""Pictures of mouths for the mouth network, tracked once and packed small.

    python -m training.mouth_data data work/mouth --tracks work/tracks

From every second clip of `grid/s1` three frames (lips nearest, furthest apart, one between); of
`stills/london` and `stills/generated` every picture in which exactly one face is found. The last
tenth of the clips, ten London people and twelve generated portraits are kept out for measuring.
Written: `pictures.bin` (JPEG files end to end) and `pictures.npz` (offsets, meshes, person, set).
"""

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from mdth.artefacts import Frame
from mdth.face import geometry
from mdth.face.tracker import FaceTracker
from training import command, models
from training.mouth_bank import MESH_STEPS
from training.tracks import read_pictures

log = logging.getLogger("mdth")

# Room around the mesh, and the longest side kept, px.
MARGIN = 0.15
LONGEST_PX = 480
JPEG_QUALITY = 94
# One man's clips: half of them are plenty, and the pack stays small enough to be sent to a GPU.
EVERY_CLIP = 2
LONDON_TEST_PEOPLE = 10
GENERATED_TEST = 12


class Sample(NamedTuple):
    """A face cut out of a picture: RGB uint8 [H,W,3], mesh [478,3] px, who it is, which set."""

    picture: Frame
    mesh: npt.NDArray[np.float32]
    person: str
    part: str


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


def clip_frames(clips: list[Path], tracks: Path, tracker: FaceTracker) -> Iterator[Sample]:
    """Three frames of every second clip with a track, picked by how far its lips are apart."""
    tested = len(clips) // 10
    for number, clip in enumerate(clips):
        track = tracks / f"{clip.stem}.npy"
        if number % EVERY_CLIP or not track.is_file():
            continue
        order = np.argsort(geometry.lip_opening(np.load(track)))
        picks = {int(order[0]), int(order[-1]), int(order[len(order) * (3 + number % 5) // 8])}
        part = "s1_test" if number >= len(clips) - tested else "s1"
        _, pictures = read_pictures(clip)
        for index, picture in enumerate(pictures):
            if index in picks:
                faces = tracker.faces(picture)
                if faces:
                    yield Sample(*cut(picture, faces[0]), f"s1/{clip.stem}", part)


def stills(folder: Path, tracker: FaceTracker) -> Iterator[Sample]:
    """London's people (neutral and smiling) and the generated portraits."""
    london = command.files_in(folder / "london", "*.jpg")
    people = sorted({path.stem.rsplit("_", 1)[0] for path in london})
    kept_out = set(people[:: len(people) // LONDON_TEST_PEOPLE][:LONDON_TEST_PEOPLE])
    generated = command.files_in(folder / "generated", "*.jpg")
    tested = set(generated[:: len(generated) // GENERATED_TEST][:GENERATED_TEST])
    for path in london + generated:
        with PillowImage.open(path) as file:
            picture = np.asarray(file.convert("RGB"))
        faces = tracker.faces(picture)
        if len(faces) != 1:
            log.warning("%s: %d faces, left out", path.name, len(faces))
            continue
        name = path.stem.rsplit("_", 1)[0] if path in london else path.stem
        part = "london" if path in london else "generated"
        if name in kept_out or path in tested:
            part += "_test"
        yield Sample(*cut(picture, faces[0]), f"{path.parent.name}/{name}", part)


def pack(samples: Iterator[Sample], folder: Path) -> int:
    """Write the samples; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    offsets, meshes, people, parts = [0], [], [], []
    with (folder / "pictures.bin").open("wb") as blob:
        for sample in samples:
            buffer = io.BytesIO()
            PillowImage.fromarray(sample.picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
            offsets.append(offsets[-1] + blob.write(buffer.getvalue()))
            meshes.append(sample.mesh.astype(np.float32))
            people.append(sample.person)
            parts.append(sample.part)
    np.savez_compressed(
        folder / "pictures.npz",
        offsets=np.array(offsets, np.int64),
        meshes=np.round(np.array(meshes) * MESH_STEPS).astype(np.int16),
        person=np.array(people),
        part=np.array(parts),
    )
    return len(meshes)


def main() -> None:
    """Pack the pictures of a data folder."""
    parser = command.parser("training.mouth_data", __doc__)
    parser.add_argument("data", type=Path, help="folder with grid/s1 and stills")
    parser.add_argument("out", type=Path)
    parser.add_argument("--tracks", type=Path, required=True, help="made by training.tracks")
    args = parser.parse_args()
    clips = command.files_in(args.data / "grid/s1", "*.mp4")
    with FaceTracker(models.tracker()) as tracker:

        def samples() -> Iterator[Sample]:
            yield from stills(args.data / "stills", tracker)
            yield from clip_frames(clips, args.tracks / "s1", tracker)

        log.info("%d pictures in %s", pack(samples(), args.out), args.out)


if __name__ == "__main__":
    command.run(main)
