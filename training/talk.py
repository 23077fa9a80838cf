"""Clips of many people -> one file a clip: their meshes, found in each picture by itself.

    python -m training.talk data/talk/clips work/talk
    python -m training.talk data/grid/s1 work/grid --count 400

Every picture is searched anew: to follow a face from frame to frame delays the lips by 16 ms.
Written: `NAME.npz` with mesh float32 [T,478,3] px, frames without a face
on straight lines between their neighbours, found bool [T], and fps. Run again, it goes on.
"""

import csv
import logging
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray
from mdth.face import geometry
from mdth.face.track import filled
from mdth.face.tracker import FaceTracker
from mdth.files.write import replacing
from training import command
from training.tracks import CLIP_SUFFIXES, read_pictures

log = logging.getLogger("mdth")

# The part of a clip's frames in which a face must be found.
MIN_FOUND = 14 / 15


@dataclass(frozen=True)
class Talk:
    """One clip: mesh float32 [T,478,3] px, found bool [T], frames a second."""

    mesh: FloatArray
    found: npt.NDArray[np.bool_]
    fps: float

    @property
    def pose(self) -> geometry.Pose:
        """The head's poses."""
        return geometry.head_pose(self.mesh)

    def faces(self) -> FloatArray:
        """Faces float32 [T,478,3]: face frame, in the clip's median eye distance."""
        faces = geometry.to_face(self.mesh, self.pose)
        return np.asarray(faces / np.median(geometry.eye_distance(faces)), np.float32)


def rows(folder: Path, *uses: str) -> list[dict[str, str]]:
    """The lines of a folder's `clips.tsv` of these uses, all without any."""
    with (folder / "clips.tsv").open(encoding="utf-8") as table:
        lines = csv.DictReader(table, delimiter="\t")
        return [row for row in lines if not uses or row["use"] in uses]


def load(file: Path) -> Talk:
    """Read what this command wrote."""
    with np.load(file, allow_pickle=False) as arrays:
        return Talk(arrays["mesh"], arrays["found"], float(arrays["fps"]))


def track_pictures(clip: Path) -> Talk | None:
    """The largest face of each picture of a clip, or None where too few have one."""
    fps, pictures = read_pictures(clip)
    meshes: list[FloatArray | None] = []
    with FaceTracker() as tracker:
        for picture in pictures:
            faces = tracker.faces(picture)
            meshes.append(max(faces, key=lambda face: float(np.ptp(face[:, 1])), default=None))
    known = [mesh for mesh in meshes if mesh is not None]
    found = np.array([mesh is not None for mesh in meshes])
    if not known or found.mean() < MIN_FOUND:
        return None
    return Talk(filled(np.stack(known), found).astype(np.float32), found, fps)


def _to_file(clip: Path, target: Path) -> bool:
    talk = track_pictures(clip)
    if talk is None:
        return False
    with replacing(target) as part:
        np.savez(part, mesh=talk.mesh, found=talk.found, fps=talk.fps)
    return True


def track_all(clips: list[Path], output: Path, *, workers: int) -> Iterator[str]:
    """Track the clips that are not done yet; the names of those without a face."""
    output.mkdir(parents=True, exist_ok=True)
    targets = {clip: output / f"{clip.stem}.npz" for clip in clips}
    with ProcessPoolExecutor(workers) as pool:
        jobs = {
            clip.stem: pool.submit(_to_file, clip, target)
            for clip, target in targets.items()
            if not target.exists()
        }
        yield from (name for name, job in jobs.items() if not job.result())


def main() -> None:
    parser = command.parser("training.talk", __doc__)
    parser.add_argument("clips", type=Path, help="folder of video files")
    parser.add_argument("output", type=Path)
    parser.add_argument("--count", type=int, help="only so many, evenly over the names")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    files = command.files_in(given.clips, "*")
    clips = [clip for clip in files if clip.suffix.lower() in CLIP_SUFFIXES]
    if given.count:
        chosen = np.linspace(0, len(clips) - 1, min(given.count, len(clips))).round().astype(int)
        clips = [clips[i] for i in chosen]
    without = list(track_all(clips, given.output, workers=given.workers))
    log.info("%d clips, no face in: %s", len(clips), " ".join(without) or "none")


if __name__ == "__main__":
    command.run(main)
