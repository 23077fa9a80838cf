"""Does the written video do what it was told? It is tracked again and compared with its driving.

Run on portraits of your own: `python -m benchmarks.closed_loop a.jpg b.jpg --speech speech.wav`.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple, Unpack

import numpy as np

from mdth import pipeline
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray
from mdth.embedded.engine import Embedded
from mdth.engine import Source
from mdth.face import geometry, track
from mdth.face.tracker import FaceTracker
from mdth.media.audio import read_blocks
from mdth.media.video import read_frames
from mdth.options import Choices, Options
from mdth.speak.voice import write
from training import command

DELAY_S = 0.5
MOST_LAG = 30
HEADER = f"{'portrait':28} opening r  lag  pose deg  moving deg  delayed by"


class Result(NamedTuple):
    """What the closed loop shows for one portrait.

    opening: correlation of tracked and driven lip opening at lag 0. lag: frames at which it is
    largest, positive when the video is late. pose_deg: mean angle between tracked and driven head.
    moving_deg: the same without the part that never changes, which is the tracker's: it reads a
    smile that was shut as another pitch, by up to 4 degrees, in a still picture too. delay_s: how
    much later the mouth moves when the sound starts 0.5 s later.
    """

    name: str
    opening: float
    lag: int
    pose_deg: float
    moving_deg: float
    delay_s: float

    def __str__(self) -> str:
        return (
            f"{self.name[:28]:28} {self.opening:9.3f} {self.lag:4d} {self.pose_deg:9.2f} "
            f"{self.moving_deg:11.2f} {self.delay_s:9.2f} s"
        )


def measure(portrait: Path, speech: Path, **choices: Unpack[Choices]) -> Result:
    """Film the portrait, track the mp4 and compare. Raises MdthError."""
    options = Options.of(**{**choices, "engine": "embedded"})
    with tempfile.TemporaryDirectory() as folder:
        video, late_video = Path(folder, "video.mp4"), Path(folder, "late.mp4")
        late_speech = delayed(speech, Path(folder, "late.wav"))
        engine = Embedded()
        avatar = engine.portray(Source(portrait), options)
        pipeline.talk(avatar, speech, video, **choices)
        pipeline.talk(avatar, late_speech, late_video, **choices)
        drive = engine.drive(avatar, options)
        meshes = [mesh for block in read_blocks(speech) for mesh in drive.feed(block)]
        driven = np.stack([*meshes, *drive.finish()])
        tracked, found = tracked_meshes(video)
        late, _ = tracked_meshes(late_video)
    pairs = [geometry.head_pose(meshes[found]) for meshes in (tracked, driven)]
    seen, told = pairs[0].rotation, pairs[1].rotation
    lag, _ = best_lag(opening(tracked), opening(driven))
    late_by, _ = best_lag(opening(late)[: len(tracked)], opening(tracked))
    return Result(
        name=portrait.name,
        opening=correlation(opening(tracked)[found], opening(driven)[found]),
        lag=lag,
        pose_deg=float(angles_deg(seen, told).mean()),
        moving_deg=float(angles_deg(seen, constant_turn(seen, told) @ told).mean()),
        delay_s=late_by / options.motion.fps,
    )


def tracked_meshes(video: Path) -> tuple[FloatArray, FloatArray]:
    """Meshes [T,478,3] px of each frame on its own, and which are found [T]; others repeat.

    Each frame is tracked without memory: the tracker's smoothing would shift the mouth in time.
    """
    meshes: list[FloatArray] = []
    found: list[bool] = []
    with FaceTracker() as tracker:
        for frame in read_frames(video):
            faces = tracker.faces(frame)
            found.append(bool(faces))
            if faces or meshes:
                meshes.append(faces[0] if faces else meshes[-1])
    missing = len(found) - len(meshes)
    return np.stack([meshes[0]] * missing + meshes), np.array(found)


def opening(meshes: FloatArray) -> FloatArray:
    """Lip opening [T] of meshes [T,478,3] px, in eye distances."""
    return geometry.lip_opening(geometry.to_face(meshes, geometry.head_pose(meshes)))


def correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson's correlation of two tracks [T]; 0 where one of them does not move."""
    if a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(late: FloatArray, early: FloatArray) -> tuple[int, float]:
    """How many frames `late` [T] comes after `early` [T], and the correlation there."""
    count = min(len(late), len(early))
    scores = {}
    for lag in range(-min(MOST_LAG, count // 2), min(MOST_LAG, count // 2) + 1):
        start, stop = max(0, lag), min(count, count + lag)
        scores[lag] = correlation(late[start:stop], early[start - lag : stop - lag])
    lag = max(scores, key=lambda key: scores[key])
    return lag, scores[lag]


def angles_deg(a: FloatArray, b: FloatArray) -> FloatArray:
    """Angle [T] between rotations [T,3,3]."""
    trace = np.einsum("tij,tij->t", a, b)
    return np.asarray(np.rad2deg(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def constant_turn(a: FloatArray, b: FloatArray) -> FloatArray:
    """The one rotation [3,3] that brings rotations `b` [T,3,3] closest to `a` [T,3,3]."""
    return track.nearest_rotations(np.einsum("tij,tkj->ik", a, b))


def delayed(speech: Path, target: Path) -> Path:
    """The speech as 16 kHz mono wav with DELAY_S of silence in front."""
    silence = np.zeros(round(DELAY_S * SPEECH_RATE_HZ))
    write(target, [silence, *read_blocks(speech)], rate_hz=SPEECH_RATE_HZ)
    return target


def main() -> None:
    parser = command.parser("benchmarks.closed_loop", __doc__)
    parser.add_argument("portraits", nargs="+", type=Path)
    parser.add_argument("--speech", type=Path, required=True)
    parsed = parser.parse_args()
    print(HEADER)
    for portrait in parsed.portraits:
        print(measure(portrait, parsed.speech))


if __name__ == "__main__":
    command.run(main)
