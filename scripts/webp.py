"""A looping WebP of a few seconds of a video, which begins where the loop closes best.

python scripts/webp.py out/demo.mp4 docs/demo.webp --crop 80 20 440 400
"""

import argparse
from pathlib import Path

import av
import numpy as np
from PIL import Image

Picture = Image.Image


def pictures(video: Path, fps: float, crop: tuple[int, int, int, int] | None) -> list[Picture]:
    """The video's frames at `fps`, or what is within left, top, right, bottom of them."""
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        step = round(float(stream.average_rate or fps) / fps)
        kept = [f.to_image() for k, f in enumerate(container.decode(stream)) if k % step == 0]
        return [picture.crop(crop) for picture in kept]


def best_start(frames: list[Picture], count: int) -> int:
    """Where the frame after the last one is most like the first, of all loops of `count` frames."""
    small = np.stack([np.asarray(frame.reduce(4), float) for frame in frames])
    if len(small) <= count:
        return 0
    return int(np.square(small[count:] - small[:-count]).mean((1, 2, 3)).argmin())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--crop", type=int, nargs=4, metavar="PX", help="left top right bottom")
    parser.add_argument("--fps", type=float, default=15)
    parser.add_argument("--quality", type=int, default=75)
    given = parser.parse_args()
    frames = pictures(given.video, given.fps, given.crop)
    count = round(given.seconds * given.fps)
    start = best_start(frames, count)
    first, *rest = frames[start : start + count]
    # Whole milliseconds that do not drift: 67, 66, 67, ... at 15 frames a second.
    ends_ms = [round(1000 * k / given.fps) for k in range(len(rest) + 2)]
    first.save(
        given.output,
        save_all=True,
        append_images=rest,
        duration=np.diff(ends_ms).tolist(),
        loop=0,
        quality=given.quality,
        method=6,
    )
    size = given.output.stat().st_size // 1000
    print(f"{given.output}: {len(rest) + 1} frames from {start / given.fps:.2f} s, {size} kB")


if __name__ == "__main__":
    main()
