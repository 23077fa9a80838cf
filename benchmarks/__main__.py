"""Speed and memory on this machine, as a table. See scripts/bench."""

import subprocess
import sys
import tempfile
import time
import wave
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.machine import machine
from mdth.log.console import quiet_libraries
from training import command

MINUTES = 10
LONG_S = 60 * MINUTES
FPS = 30


def main() -> None:
    parser = command.parser("benchmarks", __doc__)
    parser.add_argument("portrait", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("--quick", action="store_true", help="leave the ten-minute speech out")
    given = parser.parse_args()
    row("machine", machine())
    with tempfile.TemporaryDirectory() as name, quiet_libraries():
        folder = Path(name)
        small = resized(given.portrait, folder / "512.png", 512)
        large = resized(given.portrait, folder / "1280.png", 1280)
        for picture in (small, large):
            speed(picture, given.speech, folder)
        stages(small, given.speech)
        stages(large, given.speech)
        first_frame("10 s", small, given.speech)
        memory("10 s", small, given.speech, folder)
        if not given.quick:
            long_speech = repeated(given.speech, folder / "long.wav", LONG_S)
            first_frame(f"{MINUTES} min", small, long_speech)
            memory(f"{MINUTES} min", small, long_speech, folder)
    row("mdth --help", f"{min(help_s() for _ in range(5)):.2f} s")
    whole = [seed_faceformer(quick=given.quick), seed_generator(quick=given.quick)]
    sys.exit(not all(whole))


def seed_faceformer(*, quick: bool) -> bool:
    """The seed's FaceFormer at full size against a plain re-computation, random weights."""
    runs = [["speed", "--seconds", "10"], ["steps"]]
    if not quick:
        # Every 20th plain step stands for its neighbours: all of them take 10 minutes.
        runs.insert(1, ["speed", "--seconds", "60", "--every", "20"])
    if gpus():
        runs = [["gpu"], *runs]
    return seed_rows("the seed's FaceFormer", "benchmarks.faceformer", runs)


def seed_generator(*, quick: bool) -> bool:
    """The seed's generator against the plain way, random weights: small on a CPU, full on a GPU."""
    runs = [["--rows", "plain", "fast", "--small", "--frames", "8"]]
    if not quick:
        runs.append(["--rows", "plain", "fast", "--frames", "1"])
    count = gpus()
    if count:
        runs = [["--rows", "limits", "plain", "fast", "mp4"]]
    if count > 1:
        devices = [f"cuda:{number}" for number in range(count)]
        frames = "1800" if quick else "18000"
        runs.append(["--rows", "devices", "--frames", frames, "--devices", *devices])
    return seed_rows("the seed's generator", "benchmarks.generator", runs)


def gpus() -> int:
    if find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count()


def seed_rows(name: str, module: str, runs: list[list[str]]) -> bool:
    """Show what each command says, of one that fails too, and run the next. Did all end well?"""
    if find_spec("torch") is None:
        row(name, "left out: torch is not installed (extra seed)")
        return True
    whole = True
    for run in runs:
        command = [sys.executable, "-m", module, *run]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        for line in ended.stderr.splitlines():
            row(name, line.strip())
        if ended.returncode:
            whole = False
            row(name, f"failed with status {ended.returncode}: {' '.join(run)}")
    return whole


def row(what: str, value: str) -> None:
    print(f"{what:34} {value}", flush=True)


def resized(portrait: Path, target: Path, side: int) -> Path:
    """The portrait as a square of `side`, its lower part cut off."""
    from PIL import Image

    with Image.open(portrait) as picture:
        height = round(picture.height * side / picture.width)
        picture.resize((side, height)).crop((0, 0, side, side)).save(target)
    return target


def repeated(speech: Path, target: Path, length_s: float) -> Path:
    with wave.open(str(speech)) as short, wave.open(str(target), "wb") as long:
        long.setparams(short.getparams())
        sound = short.readframes(short.getnframes())
        for _ in range(round(length_s * short.getframerate() / short.getnframes())):
            long.writeframes(sound)
    return target


def speed(picture: Path, speech: Path, folder: Path) -> None:
    """Frames per second of a whole video, networks loaded before."""
    import mdth
    from mdth.face.portrait import face_height_px

    avatar = mdth.prepare(picture)
    mdth.talk(avatar, speech, folder / "warm.mp4", preview=True)
    start, cpu = time.perf_counter(), time.process_time()
    made = mdth.talk(avatar, speech, folder / "speed.mp4", fps=FPS)
    rate = made["frames"] / (time.perf_counter() - start)
    cpu_ms = (time.process_time() - cpu) / made["frames"] * 1000
    row(
        f"{made['width']}x{made['height']}, face {face_height_px(avatar.portrait.mesh):.0f} px",
        f"{rate:.0f} frames/s, {rate / FPS:.1f} x real time, {cpu_ms:.0f} ms of CPU a frame",
    )


def driven(picture: Path, speech: Path) -> tuple[Any, list[Any], dict[str, float]]:
    """An avatar, its meshes for a speech, and the CPU seconds of what made these.

    The process's own, shared out as the clock has the stages.
    """
    from mdth.embedded.engine import Embedded
    from mdth.engine import Source
    from mdth.log.stages import each, job
    from mdth.media.audio import read_blocks
    from mdth.options import Options

    engine, options = Embedded(), Options.of(fps=FPS)
    avatar = engine.portray(Source(picture), options)
    drive = engine.drive(avatar, options)
    cpu, clock = time.process_time(), time.perf_counter()
    with job() as watch:
        driving = [
            m for block in each("read speech", read_blocks(speech)) for m in drive.feed(block)
        ]
        driving += drive.finish()
    share = (time.process_time() - cpu) / (time.perf_counter() - clock)
    names = ("read speech", "speech to mesh", "retarget")
    return avatar, driving, {name: share * watch.seconds[name] for name in names}


def stages(picture: Path, speech: Path) -> None:
    """CPU seconds of each stage for the whole speech, one after the other."""
    from mdth.media.writer import VideoWriter

    avatar, driving, seconds = driven(picture, speech)
    paint: dict[str, float] = defaultdict(float)
    renderer = timed_renderer(avatar.portrait, paint)
    height, width = avatar.portrait.image.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        writer = VideoWriter(
            Path(folder, "out.mp4"), width=width, height=height, fps=FPS, sound=speech
        )
        painted = [renderer.frame(mesh) for mesh in driving[:150]]
        start = time.process_time()
        with writer:
            for frame in painted:
                writer.write(frame)
        encode_s = (time.process_time() - start) * len(driving) / len(painted)
    share = len(driving) / len(painted)
    seconds |= {name: spent * share for name, spent in paint.items()} | {"encode": encode_s}
    total = len(driving) / FPS
    for name, spent in seconds.items():
        row(f"  {width} px, {name}", f"{spent:.2f} s for {total:.1f} s of speech")


def timed_renderer(portrait: Any, seconds: dict[str, float]) -> Any:
    """A renderer whose steps note the CPU seconds they take."""
    from mdth.embedded.render.renderer import Renderer

    renderer = Renderer(portrait)
    steps: tuple[tuple[str, Any, str], ...] = (
        ("warp: field", renderer._warp, "field"),
        ("warp: picture", renderer._warp, "apply"),
        ("eyes", renderer._eyes, "paint"),
        *((skin._skin.area.name.replace("_", " "), skin, "paint") for skin in renderer._skin),
        ("mouth", renderer._mouth, "paint"),
    )
    for name, part, method in steps:
        setattr(part, method, timed(getattr(part, method), name, seconds))
    return renderer


def timed(step: Callable[..., Any], name: str, seconds: dict[str, float]) -> Callable[..., Any]:
    def run(*given: Any) -> Any:
        start = time.process_time()
        try:
            return step(*given)
        finally:
            seconds[name] += time.process_time() - start

    return run


def first_frame(what: str, picture: Path, speech: Path) -> None:
    """Seconds from the call to the first frame, networks loaded before."""
    import mdth
    from mdth import engines
    from mdth.media.audio import read_blocks
    from mdth.options import Options
    from mdth.pipeline import frames

    avatar, options = mdth.prepare(picture), Options.of(fps=FPS)
    for _ in range(2):
        start = time.perf_counter()
        engine, blocks = engines.of(avatar, options), read_blocks(speech)
        with closing(frames(engine, avatar, blocks, options)) as made:
            next(made)
            spent = time.perf_counter() - start
    row(f"first frame, speech of {what}", f"{spent:.2f} s")


# The process's own high water mark: `getrusage` also counts its parent's at the time of the fork.
RUN_AND_TELL = """
import sys
from pathlib import Path
from mdth.cli import main
code = main(sys.argv[1:])
status = Path("/proc/self/status").read_text()
print(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""


def memory(what: str, picture: Path, speech: Path, folder: Path) -> None:
    """Peak memory and time of the command in a process of its own."""
    talk = ["talk", str(picture), str(speech), "-o", str(folder / "memory.mp4")]
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", RUN_AND_TELL, *talk], capture_output=True, text=True, check=True
    )
    spent = time.perf_counter() - start
    peak_mb = int(ended.stdout.split()[-1]) / 1024
    row(
        f"mdth talk, speech of {what}",
        f"{peak_mb:.0f} MB at most, {spent:.1f} s from start to end",
    )


def help_s() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mdth", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    command.run(main)
