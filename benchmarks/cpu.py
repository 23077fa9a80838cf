"""One frame on the CPU, stage by stage: what it takes, and the least it could.

python -m benchmarks.cpu [PORTRAIT] [SPEECH] measures how fast one core copies and multiplies, and
prints of each stage CPU ms, multiply-adds and bytes a frame, and the ms that they take at least.
Bytes are what has to be read and written once; a network's are its weights, and all counts are
those of a frame in which the stage does something.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

import mdth
from benchmarks.__main__ import FPS, driven, resized, timed, timed_renderer
from benchmarks.machine import machine
from mdth.embedded.render.conditions import CHANNELS, SIZES
from mdth.embedded.render.skin import LIDS, LOWER, Area
from mdth.files.networks import WEIGHTS
from mdth.media import tracks
from training import command

EXAMPLES = Path(mdth.__file__).parent / "examples"
FRAMES = 60
COPIED, MULTIPLIED = 64 << 20, 1536


def rate(work: Callable[[], Any], amount: float) -> float:
    """How much of an amount is done in a CPU second: the best of five."""
    spent = []
    for _ in range(5):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return amount / min(spent)


def limits() -> tuple[float, float]:
    """Multiply-adds and bytes (read and written) a second of one core."""
    one, other = np.ones((2, COPIED), np.uint8)
    square = np.ones((MULTIPLIED, MULTIPLIED), np.float32)
    return (
        rate(lambda: square @ square, MULTIPLIED**3),
        rate(lambda: np.copyto(one, other), 2 * COPIED),
    )


def counted(network: Path, given: dict[str, Any]) -> tuple[float, float]:
    """Multiply-adds of the convolutions, as onnxruntime's profile has the shapes, and bytes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.intra_op_num_threads = True, 1
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/network"
        session = onnxruntime.InferenceSession(network, options, ["CPUExecutionProvider"])
        session.run(None, given)
        events = json.loads(Path(session.end_profiling()).read_text())
    done = 0
    for event in events:
        shapes = event.get("args", {})
        if "Conv" in shapes.get("op_name", "") and shapes["output_type_shape"]:
            ((size,), (taps,)) = (
                shape.values()
                for shape in (shapes["output_type_shape"][0], shapes["input_type_shape"][1])
            )
            done += int(np.prod(size) * np.prod(taps[1:]))
    return float(done), float(network.stat().st_size)


def of_area(area: Area) -> tuple[float, float]:
    width, height = area.size
    planes = np.zeros((1, 5, height, width), np.float32)
    ways = np.zeros((1, area.ways), np.float32)
    return counted(WEIGHTS / f"{area.name}.onnx", {"planes": planes, "ways": ways})


def of_stages(side: int, face: tuple[int, int], large: bool) -> dict[str, tuple[float, float]]:
    """Multiply-adds and bytes a frame of each stage.

    A pixel's place is 2 numbers of 4 bytes. It is sampled in 4 channels at 4 points, in the face
    twice; the place is read, the portrait (4 bytes) and the background (3) too, 3 are written.
    """
    pixels, of_face = side**2, face[0] * face[1]
    width, height = SIZES[int(large)]
    planes = np.zeros((1, CHANNELS, height, width), np.float32)
    return {
        "warp: field": (4 * 2 * pixels, 8 * pixels),
        "warp: picture": (16 * (pixels + of_face), 18 * pixels),
        "lids": tuple(2 * np.array(of_area(LIDS[0]))),
        "lower face": of_area(LOWER),
        "mouth": counted(WEIGHTS / "mouth.onnx", {"conditions": planes}),
        "colours": (3 * 1.5 * pixels, 4.5 * pixels),
        "encoder": (0, 1.5 * pixels),
    }


def row(name: str, spent_ms: float, work: tuple[float, ...], most: tuple[float, float]) -> None:
    least = [1e3 * amount / of for amount, of in zip(work, most, strict=True) if amount]
    counted = [f"{amount / 1e6:.1f}" if amount else "" for amount in work]
    bound = f"{max(least):.2f}" if least else ""
    print(f"{name:15} {spent_ms:7.2f} {counted[0]:>8} {counted[1]:>7} {bound:>9}", flush=True)


def measured(picture: Path, speech: Path, most: tuple[float, float]) -> None:
    avatar, meshes, seconds = driven(picture, speech)
    driving = meshes[:: max(1, len(meshes) // FRAMES)][:FRAMES]
    share = len(driving) / len(meshes)
    spent: dict[str, float] = defaultdict(float)
    spent |= {name: s * share for name, s in seconds.items()}
    renderer = timed_renderer(avatar.portrait, spent)
    frames = [renderer.frame(mesh) for mesh in driving]
    height, width = avatar.portrait.image.shape[:2]
    with av.open("/dev/null", "w", format="null") as out:
        options = {"crf": "18", "preset": "veryfast"}
        track = tracks.PictureTrack(out, (width, height), Fraction(FPS), options)
        convert = timed(tracks.to_yuv420p, "colours", spent)
        start = time.process_time()
        for frame in frames:
            track.add(frame)
        track.finish()
        spent["encoder"] = time.process_time() - start
    for frame in frames:
        convert(frame)
    spent["encoder"] -= spent["colours"]
    face = np.ptp(avatar.portrait.mesh[:, :2], axis=0).astype(int).tolist()
    work = of_stages(width, face, width > 800)
    print(f"\n{f'{width} px':15} {'CPU ms':>7} {'M mul':>8} {'MB':>7} {'at least':>9}")
    for name, seconds_ in spent.items():
        row(name, 1e3 * seconds_ / len(frames), work.get(name, (0, 0)), most)
    print(f"{'in all':15} {1e3 * sum(spent.values()) / len(frames):7.2f}")


def parsed() -> argparse.Namespace:
    parser = command.parser("benchmarks.cpu", __doc__)
    parser.add_argument("portrait", nargs="?", type=Path, default=EXAMPLES / "grace_hopper.jpg")
    parser.add_argument("speech", nargs="?", type=Path, default=EXAMPLES / "speech.wav")
    return parser.parse_args()


def main() -> None:
    given, most = parsed(), limits()
    print(machine())
    print(f"one core: {most[0] / 1e9:.1f} G multiply-adds/s, {most[1] / 1e9:.1f} GB/s copied")
    with tempfile.TemporaryDirectory() as folder:
        for side in (512, 1280):
            picture = resized(given.portrait, Path(folder, f"{side}.png"), side)
            measured(picture, given.speech, most)


if __name__ == "__main__":
    command.run(main)
