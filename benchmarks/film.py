"""Clips written again without a change, and followed: what encoding and tracking cost.

python -m benchmarks.film CLIP ... prints a row a clip: x264's quality that was chosen, PSNR of the
frames against the clip's, size of the pictures against the clip's, and what following the face
takes a frame, of all processors together and on the clock.
"""

import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks.machine import machine
from mdth.face.follow import follow
from mdth.media.film import Film, open_film
from mdth.media.film_writer import FilmWriter
from mdth.media.planes import source_crf
from training import command


def written_again(film: Film, folder: Path) -> tuple[float, float]:
    """PSNR in dB, and the size of the pictures relative to the clip's."""
    out = folder / "again.mp4"
    with FilmWriter(out, like=film, sound=None) as writer:
        for frame in film.frames():
            writer.write(frame, None)
    errors = [
        np.square(old.rgb.astype(np.float32) - new.rgb).mean()
        for old, new in zip(film.frames(), open_film(out).frames(), strict=True)
    ]
    return 10 * np.log10(255**2 / np.mean(errors)), picture_bytes(out) / picture_bytes(film.path)


def picture_bytes(path: Path) -> int:
    """What the coded pictures of a file take."""
    with av.open(str(path)) as file:
        return sum(packet.size for packet in file.demux(video=0))


def main() -> None:
    parser = command.parser("benchmarks.film", __doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parsed = parser.parse_args()
    print(machine())
    print("clip, size, crf, PSNR dB, size ratio, follow cpu ms, wall ms, people, frames left")
    for path in parsed.clips:
        film = open_film(path)
        with tempfile.TemporaryDirectory() as folder:
            psnr, ratio = written_again(film, Path(folder))
        cpu, wall = time.process_time(), time.perf_counter()
        frames = (frame.rgb for frame in film.frames())
        person = follow(frames, fps=float(film.fps))
        count = len(person.why)
        cpu, wall = (1e3 * (now - then) / count for now, then in (
            (time.process_time(), cpu), (time.perf_counter(), wall)))  # fmt: skip
        print(
            f"{path.name}, {film.width}x{film.height}, "
            f"{source_crf(path)}, {psnr:.1f}, {ratio:.2f}, "
            f"{cpu:.1f}, {wall:.1f}, {person.people}, {(person.why > 0).sum()} of {count}"
        )


if __name__ == "__main__":
    command.run(main)
