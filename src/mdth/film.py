"""A scene -> its frames -> a file, made while the speech is still being read, in threads."""

import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mdth import record
from mdth.artefacts import SPEECH_RATE_HZ, FloatArray, Frame, Motion, Portrait
from mdth.config import config
from mdth.errors import SpeechTooShort
from mdth.faceformer.files import biwi_files, flame_files
from mdth.files import assets
from mdth.flow import Clock, ahead, side_by_side
from mdth.log.stages import tell
from mdth.media.speech import SHORTEST_S
from mdth.media.video import RawWriter, VideoWriter
from mdth.options import SEED, Options

if TYPE_CHECKING:
    from mdth.embedded.render.renderer import Renderer
    from mdth.embedded.speech.flame import FlameFace
    from mdth.embedded.speech.speech_to_mesh import SpeechToMesh
    from mdth.motion.head import HeadState
    from mdth.seed.engine import SeedScene

log = logging.getLogger("mdth")

# Called with the number of frames made, and of all frames where that is known.
Progress = Callable[[int, int | None], None]
Record = dict[str, Any]

ENCODER = "moonshine_tiny_en_encoder.ort"
TRACKER = "face_landmarker.task"
SEGMENTER = "selfie_segmentation.tflite"
# Enough to bridge the speech encoder's bursts (one window gives many meshes), small in memory.
MESHES_AHEAD = 64
FRAMES_AHEAD = 4
# Painting is most of the work, and one thread of it would leave the second core idle.
PAINTERS = 2


@dataclass(frozen=True)
class Scene:
    """What a video is made from.

    blocks: the speech, float32 [n] each, mono, 16 kHz. sound: the file whose sound the video
    carries. duration_s: of the speech, where the file says it. motion: None where it is generated.
    seed: what the seed's engine films, None for our own. n_gpus: over how many the seed's spreads.
    """

    portrait: Portrait
    blocks: Iterable[FloatArray]
    sound: Path
    duration_s: float | None
    motion: Motion | None
    seed: "SeedScene | None" = None
    n_gpus: int = 1

    def frame_count(self, options: Options) -> int | None:
        """About how many frames there will be, None where the file does not say."""
        if self.duration_s is None:
            return None
        return max(1, round(min(self.duration_s, options.limit_s or self.duration_s) * options.fps))


def shoot(
    scene: Scene,
    target: Path | BinaryIO,
    options: Options,
    *,
    clock: Clock,
    progress: Progress | None,
) -> Record:
    """Film the scene into `target`; gives what the record says about it. Raises MdthError."""
    total = scene.frame_count(options)
    with closing(_engine_frames(scene, options, clock)) as film:
        # Whatever is wrong with the inputs shows before the first frame: nothing is opened yet.
        first = next(film)
        with _sink(target, first, scene, options) as sink:
            for done, frame in enumerate(itertools.chain([first], film), start=1):
                with clock.stage("wait for encoder"):
                    sink.write(frame)
                if progress:
                    progress(done, total)
    _tell_stages(clock.seconds, sink)
    log.info("%d frames in %.1f s", done, clock.seconds["total"])
    return record.of_film(
        options, frames=done, shape=first.shape, clock=clock, more_models=engine_files(options)
    )


def _tell_stages(seconds: dict[str, float], sink: VideoWriter | RawWriter) -> None:
    """A line for each stage of a film, which all ran side by side."""
    for name in ("load", "read speech", "speech to mesh", "retarget", "paint", "render", "paste"):
        if name in seconds:
            tell("render" if name == "paint" else name, seconds=seconds[name])
    tell("encode", seconds=sink.seconds, moved=sink.bytes_written)


def _engine_frames(scene: Scene, options: Options, clock: Clock) -> Generator[Frame, None, None]:
    if scene.seed is None:
        return frames(scene, options, clock)
    from mdth.seed import engine as seed_engine

    return seed_engine.frames(scene, scene.seed, options, clock=clock)


def _sink(
    target: Path | BinaryIO, first: Frame, scene: Scene, options: Options
) -> VideoWriter | RawWriter:
    height, width = first.shape[:2]
    if not isinstance(target, Path):
        log.warning("raw frames: rgb24, %dx%d, %d frames/s", width, height, options.fps)
        return RawWriter(target)
    return VideoWriter(
        target,
        width=width,
        height=height,
        fps=options.fps,
        sound=scene.sound,
        crf=options.crf,
        preset=options.preset,
        metadata=record.SYNTHETIC,
    )


def frames(scene: Scene, options: Options, clock: Clock) -> Generator[Frame, None, None]:
    """The video's frames, RGB uint8 [H,W,3], in order.

    One thread reads the speech and makes the meshes, PAINTERS paint; the caller's own encodes.
    Raises SpeechTooShort, UnreadableMedia, CheckpointError.
    """
    import cv2

    with closing(ahead(driving_meshes(scene, options, clock), depth=MESHES_AHEAD)) as driving:
        with clock.stage("load"):
            renderer = _take_renderer(scene.portrait)

        def paint(mesh: FloatArray) -> Frame:
            with clock.stage("paint"):
                return renderer.frame(mesh)

        meshes = clock.each("wait for meshes", driving)
        # The painters fill the cores; OpenCV's own threads would only stand in their way.
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield from side_by_side(paint, meshes, workers=PAINTERS, depth=FRAMES_AHEAD)
        finally:
            cv2.setNumThreads(threads)
            _idle[:] = [renderer]


# The renderer of the last portrait, while nobody uses it: making one of a large portrait takes
# seconds, and a portrait may have many speeches.
_idle: "list[Renderer]" = []


def _take_renderer(portrait: Portrait) -> "Renderer":
    from mdth.embedded.render.renderer import Renderer

    try:
        renderer = _idle.pop()
    except IndexError:
        return Renderer(portrait)
    return renderer if renderer.portrait is portrait else Renderer(portrait)


def driving_meshes(scene: Scene, options: Options, clock: Clock) -> Iterator[FloatArray]:
    """The meshes [478,3] px that the frames follow."""
    from mdth.embedded.motion.drive import Driver

    with clock.stage("load"):
        speech_to_mesh = take_engine(options)
        driver = Driver(scene.portrait, amplitude=options.mouth)
    blocks = clock.each("read speech", usable(scene.blocks, options.limit_s))
    for_mesh, for_energy = doubled(blocks, wanted=not (options.still or scene.motion))
    offsets = clock.each("speech to mesh", speech_to_mesh.stream(for_mesh, options.fps))
    heads = _heads(scene.motion, for_energy, options)
    yield from clock.each("retarget", map(driver.mesh, offsets, heads))


def engine_files(options: Options) -> list[Path]:
    """The files a chosen engine reads besides our own networks: they too make the result."""
    if options.engine == SEED:
        from mdth.seed.files import seed_files

        return seed_files().for_frames()
    return _mesh_files(options.engine_mesh, (config().home / assets.FOLDER).parent)


def _mesh_files(engine: str, common: Path) -> list[Path]:
    if engine == "flame":
        return flame_files(common)
    return biwi_files(common) if engine == "biwi" else []


def take_engine(options: Options) -> "SpeechToMesh | FlameFace":
    """What turns the speech into offsets of the face, loaded once: it keeps nothing of a speech.

    Raises CheckpointError, MissingDependency.
    """
    common = (config().home / assets.FOLDER).parent
    files = _mesh_files(options.engine_mesh, common)
    if files:
        return _seed_speech(options.engine_mesh, common, tuple(map(_state, files)))
    return _speech_to_mesh(assets.path(ENCODER))


@lru_cache(maxsize=1)
def _speech_to_mesh(encoder: Path) -> "SpeechToMesh":
    from mdth.embedded.speech.speech_to_mesh import SpeechToMesh

    return SpeechToMesh(encoder)


@lru_cache(maxsize=1)
def _seed_speech(
    engine: str, common: Path, state: tuple[tuple[int, int] | None, ...]
) -> "FlameFace":
    """Of the files in this state: another checkpoint in the same place is another engine."""
    from mdth.embedded.speech import flame

    return flame.load(engine, common)


def _state(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _heads(
    motion: Motion | None, blocks: Iterable[FloatArray], options: Options
) -> "Iterator[HeadState]":
    from mdth.embedded.motion import clip
    from mdth.motion import head

    if options.still:
        return head.still()
    if motion is None:
        return generated_heads(blocks, options)
    fps, amount, blink_rate = options.fps, options.motion, options.blink
    return clip.from_clip(motion, fps=fps, amount=amount, blink_rate=blink_rate)


def doubled(
    blocks: Iterator[FloatArray], *, wanted: bool
) -> tuple[Iterator[FloatArray], Iterator[FloatArray]]:
    """The blocks twice, or once and none: what nobody takes would be kept to the end."""
    if not wanted:
        return blocks, iter(())
    once, again = itertools.tee(blocks)
    return once, again


def generated_heads(blocks: Iterable[FloatArray], options: Options) -> "Iterator[HeadState]":
    """Natural small motion for a speech in blocks, for ever."""
    from mdth.motion import energy, head

    fps, amount, blink_rate = options.fps, options.motion, options.blink
    levels = itertools.chain(energy.loudness(blocks, fps=fps), itertools.repeat(energy.FLOOR_DB))
    return head.generated(levels, fps=fps, seed=options.seed, amount=amount, blink_rate=blink_rate)


def usable(blocks: Iterable[FloatArray], limit_s: float | None) -> Iterator[FloatArray]:
    """The blocks up to a limit. Raises SpeechTooShort before anything is made of under 0.3 s."""
    left = None if limit_s is None else round(limit_s * SPEECH_RATE_HZ)
    held: list[FloatArray] = []
    heard = 0
    for block in blocks:
        used = block if left is None else block[: left - heard]
        heard += len(used)
        held.append(used)
        if heard >= SHORTEST_S * SPEECH_RATE_HZ:
            yield from held
            held.clear()
        if heard == left:
            return
    if heard < SHORTEST_S * SPEECH_RATE_HZ:
        raise SpeechTooShort(
            f"the speech lasts {heard / SPEECH_RATE_HZ:.2f} s; at least {SHORTEST_S} s are needed"
        )
