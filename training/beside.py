"""Eight frames of a real clip, 100 ms apart, above ours: its first frame speaking its sound.

    python -m training.beside data/talk/clips/sadtalker_01.mp4 data/grid/others/*.mp4 beside.png

Each clip gives four rows: its frames, ours, and the mouths of both at full size. To look at, not to
publish: clips for measuring are in nobody's pictures.
"""

import logging
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

import mdth
from mdth.artefacts import FloatArray, Frame
from mdth.embedded.session import EmbeddedAvatar
from mdth.face.tracker import FaceTracker
from training import command, models
from training.dataset import read_sound
from training.tracks import read_pictures

log = logging.getLogger("mdth")

FRAMES, STEP_S, BEGIN_S = 8, 0.1, 1.5
HEIGHT = 200
# Half of what is shown around the mouth, in widths of the face.
MOUTH = 0.3


def ours(first: Frame, clip: Path, fps: float) -> list[Frame]:
    """A picture speaking a clip's sound."""
    avatar = EmbeddedAvatar(models.portrait(first))
    sound = read_sound(clip).astype(np.float32) / 32768
    with closing(mdth.open_session(avatar, fps=round(fps))) as session:
        return [*session.feed(sound), *session.finish()]


def row(frames: list[Frame]) -> Frame:
    """Frames side by side, HEIGHT high."""
    small = [
        np.asarray(PillowImage.fromarray(f).resize((f.shape[1] * HEIGHT // f.shape[0], HEIGHT)))
        for f in frames
    ]
    return np.concatenate(small, axis=1)


def mouth(
    frame: Frame, tracker: FaceTracker, before: FloatArray | None
) -> tuple[Frame, FloatArray]:
    """The part of a frame around the mouth, and the face [478,3] px in it."""
    faces = tracker.faces(frame)
    face: FloatArray | None = faces[0] if faces else before
    if face is None:
        return frame, np.zeros((478, 3))
    reach = MOUTH * float(np.ptp(face[:, 0]))
    x, y = face[[61, 291, 0, 17], :2].mean(axis=0)
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    return frame[y0 : int(y + reach), x0 : int(x + reach)], face


def rows(clip: Path, tracker: FaceTracker) -> list[Frame]:
    """The four rows of a clip."""
    fps, pictures = read_pictures(clip)
    real = list(pictures)
    made = ours(real[0], clip, fps)
    last = min(len(real), len(made)) - 1
    at = [min(last, round((BEGIN_S + k * STEP_S) * fps)) for k in range(FRAMES)]
    shown = [[frames[k] for k in at] for frames in (real, made)]
    mouths: list[list[Frame]] = []
    for frames in shown:
        face, cut = None, []
        for frame in frames:
            part, face = mouth(frame, tracker, face)
            cut.append(part)
        mouths.append(cut)
    return [row(frames) for frames in (*shown, *mouths)]


def main() -> None:
    """Command line."""
    parser = command.parser("training.beside", __doc__)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("output", type=Path, help="png to write")
    given = parser.parse_args()
    with FaceTracker(models.tracker()) as tracker:
        every = [line for clip in given.clips for line in rows(clip, tracker)]
    width = max(line.shape[1] for line in every)
    padded = [np.pad(line, ((0, 4), (0, width - line.shape[1]), (0, 0))) for line in every]
    PillowImage.fromarray(np.concatenate(padded)).save(given.output)
    log.info("%s", given.output)


if __name__ == "__main__":
    command.run(main)
