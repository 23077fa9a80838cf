"""The renderer's score: clips rendered again from their own first frame.

    python -m training.reenact data/grid/others --json out/reenact.json

The first frame of each clip is the portrait, the clip's own tracked meshes drive it, and each frame
is compared with the real one: PSNR and SSIM in the face and in the whole picture, and how far the
face is from the real one for dlib's recognition network (Euclidean distance, and cosine distance).
For reference the same for the first frame held still, and the identity of two real frames half a
clip apart. LPIPS is not measured: its backbones ship in no package.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mdth.artefacts import FloatArray, Frame
from mdth.embedded.render.renderer import Renderer
from mdth.errors import NoFaceFound
from mdth.face import topology
from mdth.face.portrait import prepare_portrait
from training import command
from training import image_metrics as metrics
from training.identity import Recogniser
from training.tracks import Shot, tracked

log = logging.getLogger("mdth")
Figures = dict[str, list[float]]

# Identity is looked at every so many frames.
IDENTITY_EVERY = 10


def face_mask(mesh: FloatArray, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """1 inside the face outline of a mesh [478,3] px, on (width, height)."""
    mask = np.zeros((size[1], size[0]), np.float32)
    cv2.fillPoly(mask, [np.round(mesh[topology.FACE_OVAL, :2]).astype(np.int32)], 1.0)
    return mask


class Score:
    """Figures of one clip."""

    def __init__(self, recogniser: Recogniser | None) -> None:
        self.values: Figures = defaultdict(list)
        self._recogniser = recogniser

    def add(self, way: str, frame: Frame, real: Frame, mesh: FloatArray) -> None:
        """Compare a frame with the real one, whose mesh is given."""
        shown, true = frame.astype(float), real.astype(float)
        size = (real.shape[1], real.shape[0])
        for part, mask in (("face", face_mask(mesh, size)), ("whole", np.ones(real.shape[:2]))):
            self.values[f"psnr {part} {way}"].append(metrics.psnr(shown, true, mask))
            self.values[f"ssim {part} {way}"].append(metrics.ssim(shown, true, mask))

    def identify(self, way: str, one: Shot, two: Shot) -> None:
        """Compare who is seen in two pictures with meshes."""
        if self._recogniser is None:
            return
        a, b = (self._recogniser.vector(*seen) for seen in (one, two))
        self.values[f"euclidean {way}"].append(float(np.linalg.norm(a - b)))
        cosine = 1 - float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b))
        self.values[f"cosine {way}"].append(cosine)

    def means(self) -> dict[str, float]:
        """The clip's figures."""
        return {name: float(np.mean(values)) for name, values in self.values.items()}


def reenact(frames: Sequence[Shot], recogniser: Recogniser | None) -> dict[str, float]:
    """Render a clip's frames again from its first, and compare."""
    first, resting = frames[0]
    portrait = prepare_portrait(first)
    # The clip's own track, so that the first frame is at rest.
    renderer = Renderer(replace(portrait, mesh=resting.astype(np.float32)))
    score = Score(recogniser)
    for number, (real, mesh) in enumerate(frames[1:], start=1):
        rendered = renderer.frame(mesh)
        score.add("rendered", rendered, real, mesh)
        score.add("still", first, real, mesh)
        if number % IDENTITY_EVERY == 0:
            score.identify("rendered", (rendered, mesh), (real, mesh))
            score.identify("still", (first, resting), (real, mesh))
            other = frames[(number + len(frames) // 2) % len(frames)]
            score.identify("real", other, (real, mesh))
    return score.means()


def main(arguments: list[str] | None = None) -> None:
    parser = command.parser("training.reenact", __doc__)
    parser.add_argument("clips", type=Path, nargs="+", help="clips, or folders of them")
    parser.add_argument("--every", type=int, default=1, help="of each folder every so many-th clip")
    parser.add_argument("--last", type=int, help="of each folder only so many clips at its end")
    parser.add_argument("--frames", type=int, help="only so many of each clip")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    recogniser = Recogniser.found()
    clips: list[Path] = []
    for path in args.clips:
        files = [path] if path.is_file() else command.files_in(path, "*.mp4")
        clips += files[-(args.last or 0) :: args.every]
    done = []
    for clip in clips:
        frames = tracked(clip, args.frames)
        if len(frames) > IDENTITY_EVERY:
            done.append(reenact(frames, recogniser))
            log.info("%s %s", clip.name, {k: round(v, 3) for k, v in done[-1].items()})
    if not done:
        raise NoFaceFound(f"no clip shows a face in more than {IDENTITY_EVERY} frames; give others")
    whole = {name: round(float(np.mean([clip[name] for clip in done])), 4) for name in done[0]}
    for name, value in whole.items():
        log.info("%-24s %8.4f", name, value)
    log.info("%d clips", len(done))
    if args.json:
        args.json.write_text(json.dumps({**whole, "clips": len(done)}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    command.run(main)
