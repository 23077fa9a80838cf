"""The story: files -> avatar -> session -> file. The only place that starts threads."""

import itertools
import logging
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, Unpack

from mdth import engines, record
from mdth.artefacts import FloatArray, Frame, Portrait
from mdth.engine import PREPARE, Avatar, Engine, Progress, Session, Source
from mdth.errors import InputError, MissingInput, ours
from mdth.files.output import check_output, recorded
from mdth.log.stages import Stopwatch, each, job, spent, tell
from mdth.media.audio import probe_sound, read_blocks
from mdth.media.film_writer import FilmWriter
from mdth.media.image import is_picture
from mdth.media.meant import is_clip, is_path, meant
from mdth.media.speech import limited
from mdth.media.writer import RawWriter, VideoWriter
from mdth.options import KEEP_CLIP, Choices, Options
from mdth.speak.voice import spoken

log = logging.getLogger("mdth")

Record = dict[str, Any]
Sink = VideoWriter | RawWriter | FilmWriter
# Drawing is most of the work, and one thread of it would leave the second core idle.
PAINTERS = 2


@ours
def prepare(
    portrait: Path | str | None = None,
    *,
    video: Path | str | None = None,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Avatar:
    """What speaks, ready for any number of `talk`s, `dub`s and sessions of the same engine.

    portrait: a picture with a face; without, the best frame of `video`, whose head, eyes and brows
    move the avatar. keep="clip": `video` itself will speak; also where a clip stands in the
    portrait's place. Raises InputError, CheckpointError, MissingDependency.
    """
    if portrait is not None and video is None and is_clip(Path(portrait)):
        portrait, video, choices = None, portrait, {**choices, "keep": KEEP_CLIP}
    engine = engines.choose(options := Options.of(**choices))
    return engine.prepare(_source(portrait, video, options), options, progress=progress)


@ours
def open_session(avatar: Avatar, **choices: Unpack[Choices]) -> Session:
    """An avatar that speaks as it is fed: see `mdth.engine.Session`.

    The frames are those of `talk`, bit for bit, whatever the sizes of the blocks. Two sessions may
    run in two threads. Raises InputError, CheckpointError, MissingDependency.
    """
    options = Options.of(**choices)
    return engines.of(avatar, options).open(avatar, options)


@ours
def talk(
    portrait: Avatar | Portrait | Path | str | None,
    speech: Path | str | None,
    output: Path | str | BinaryIO,
    *,
    video: Path | str | None = None,
    text: str | None = None,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Record:
    """Write the talking video `out.mp4` and beside it `out.mdth.json`, its record, given back too.

    At least one face and one sound among portrait, speech and video: without a portrait the clip's
    best frame is used, without a speech its sound; where it is given, its head, eyes and brows move
    the portrait. text: English, said in place of a speech by the choice `voice`. An avatar, or the
    folder of a saved one, has its motion already. An open binary file as `output` gets raw rgb24
    frames instead, and no record. choices: see `mdth.options`. Raises MdthError, and leaves nothing
    half-written.
    """
    options = Options.of(**choices)
    if isinstance(portrait, Path | str) and engines.is_saved(Path(portrait)):
        portrait = engines.load(Path(portrait))
    given = {"portrait": portrait, "speech": speech, "video": video}
    files = {name: Path(it) for name, it in given.items() if is_path(it, name)}
    if text is not None and speech is not None:
        raise InputError("a speech and a text: give one of them")
    sound = files.get("speech") or files.get("video")
    if isinstance(output, Path | str):
        output = check_output(Path(output), (".mp4",), files.values())
    elif not hasattr(output, "write"):
        raise InputError(f"output {output!r}: give the path of a file, or an open one")
    if portrait is None and video is None:
        raise MissingInput("no face: give a portrait, or a clip of the person (video)")
    if sound is None and text is None:
        raise MissingInput("no sound: give a speech, a text, or a clip that has sound (video)")
    keep = recorded(output) if isinstance(output, Path) else nullcontext(lambda _: None)
    with job() as watch, keep as write, spoken(text, options, sound) as sound:
        with spent("prepare"), meant(files):
            probe_sound(sound)  # what is wrong with it is told before anything is prepared
            engine, avatar, before = _avatar(portrait, files, options, progress)
        made = film(
            *(engine, avatar, sound, output, options),
            before=before,
            watch=watch,
            progress=progress,
        )
        told = {} if text is None else {"text": text, **options.flat(("speech",))}
        write(made := {**made, **told, "inputs": record.inputs(given)})
    return made


@ours
def dub(
    clip: Avatar | Path | str,
    speech: Path | str | None,
    output: Path | str | BinaryIO,
    *,
    text: str | None = None,
    progress: Progress | None = None,
    **choices: Unpack[Choices],
) -> Record:
    """Write `output` (mp4): the clip as it is, but with a mouth that says `speech`; as `talk`.

    clip: of a person, or what `prepare` made of one (keep="clip"), which is followed once for many
    speeches; also the folder it was saved in. Frames that show no face from the front stay as they
    are. A picture talks instead. Raises MdthError.
    """
    if speech is None and text is None:
        raise MissingInput("nothing to say: give a speech or a text")
    options: Choices = {**choices, "keep": "clip"}
    if not isinstance(clip, Path | str) or engines.is_saved(Path(clip)):
        return talk(clip, speech, output, text=text, progress=progress, **options)
    if is_picture(Path(clip)):
        log.warning("%s: a picture, not a clip: it talks, with a head that moves", clip)
        return talk(clip, speech, output, text=text, progress=progress, **choices)
    return talk(None, speech, output, video=clip, text=text, progress=progress, **options)


def _avatar(
    portrait: Avatar | Portrait | Path | str | None,
    files: dict[str, Path],
    options: Options,
    progress: Progress | None,
) -> tuple[Engine, Avatar, tuple[str, ...]]:
    """And the stages that were gone through for it."""
    if portrait is not None and not isinstance(portrait, Portrait | Path | str):
        return engines.of(portrait, options), portrait, ()
    engine = engines.choose(options)
    picture = portrait if isinstance(portrait, Portrait) else files.get("portrait")
    source = _source(picture, files.get("video"), options)
    return engine, engine.prepare(source, options, progress=progress), (PREPARE,)


def film(
    engine: Engine,
    avatar: Avatar,
    sound: Path,
    target: Path | BinaryIO,
    options: Options,
    *,
    before: tuple[str, ...] = (),
    watch: Stopwatch,
    progress: Progress | None,
) -> Record:
    """Let an avatar say a file's sound into `target`; gives what the record says about it.

    before: the stages that the record tells of besides.
    """
    more: Record = {}
    sink: Sink
    dubber = engines.dubber(engine, avatar)
    if dubber and isinstance(target, Path):
        done, sink, shape = _dub(dubber, avatar, sound, target, options, progress)
        more["streams"] = {"kept": sink.kept, "changed": sink.changed}
    else:
        done, sink, shape = _draw(engine, avatar, sound, target, options, progress)
    # All stages of a film ran side by side: they are told at its end.
    for name in ("load", "read speech", "speech to mesh", "retarget", "paint", "render", "paste"):
        if name in watch.seconds:
            tell("render" if name == "paint" else name, seconds=watch.seconds[name])
    tell("encode", seconds=sink.seconds, moved=sink.bytes_written)
    log.info("%d frames in %.1f s", done, watch.seconds["total"])
    made = record.of_result(
        *(engine, options),
        frames=done,
        width=shape[1],
        height=shape[0],
        seconds=watch.seconds,
        stages=(*before, *engines.stages_of(avatar)),
    )
    return {**made, **more}


def _draw(
    engine: Engine,
    avatar: Avatar,
    sound: Path,
    target: Path | BinaryIO,
    options: Options,
    progress: Progress | None,
) -> tuple[int, Sink, tuple[int, ...]]:
    """How many frames were written, by whom, and their shape."""
    said_s, limit_s = probe_sound(sound).duration_s, options.limit_s
    fps = options.motion.fps
    total = max(1, round(min(said_s, limit_s or said_s) * fps)) if said_s else None
    with closing(frames(engine, avatar, _blocks(sound, options), options)) as shown:
        # Whatever is wrong with the inputs shows before the first frame: nothing is opened yet.
        first = next(shown)
        with _sink(target, first, sound, options) as sink:
            for done, frame in enumerate(itertools.chain([first], shown), start=1):
                with spent("wait for encoder"):
                    sink.write(frame)
                if progress:
                    progress(done, total)
    return done, sink, first.shape


def _dub(
    dubber: engines.Dubber,
    avatar: Avatar,
    sound: Path,
    target: Path,
    options: Options,
    progress: Progress | None,
) -> tuple[int, FilmWriter, tuple[int, ...]]:
    """The same for a clip, whose frames are written as they were but for the mouth."""
    length_s, video = options.limit_s or probe_sound(sound).duration_s, options.video
    with (
        ThreadPoolExecutor(PAINTERS, "mdth-paint") as pool,
        closing(dubber.dub(avatar, options, length_s=length_s, pool=pool)) as dubbing,
        FilmWriter(
            target,
            like=dubbing.film,
            sound=sound,
            crf=video.crf,
            preset=video.preset,
            metadata=record.SYNTHETIC,
        ) as sink,
    ):
        done = dubbing.write(_blocks(sound, options), sink, progress)
    return done, sink, (dubbing.film.height, dubbing.film.width, 3)


def frames(
    engine: Engine, avatar: Avatar, blocks: Iterable[FloatArray], options: Options
) -> Generator[Frame, None, None]:
    """The frames of a sound in blocks, RGB uint8 [H,W,3], in order, drawn by PAINTERS threads.

    Raises SpeechTooShort, UnreadableMedia, CheckpointError, MissingDependency.
    """
    with (
        ThreadPoolExecutor(PAINTERS, "mdth-paint") as pool,
        closing(engine.open(avatar, options, pool=pool)) as session,
    ):
        for block in blocks:
            yield from session.feed(block)
        yield from session.finish()


def _blocks(sound: Path, options: Options) -> Iterator[FloatArray]:
    return each("read speech", limited(read_blocks(sound), options.limit_s))


def _sink(
    target: Path | BinaryIO, first: Frame, sound: Path, options: Options
) -> VideoWriter | RawWriter:
    height, width = first.shape[:2]
    fps, video = options.motion.fps, options.video
    if not isinstance(target, Path):
        log.warning("raw frames: rgb24, %dx%d, %d frames/s", width, height, fps)
        return RawWriter(target)
    return VideoWriter(
        target, width=width, height=height, fps=fps, sound=sound, preset=video.preset,
        crf=18 if video.crf is None else video.crf, metadata=record.SYNTHETIC,
    )  # fmt: skip


def _source(
    portrait: Portrait | Path | str | None, video: Path | str | None, options: Options
) -> Source:
    picture = Path(portrait) if isinstance(portrait, str) else portrait
    return Source(picture, Path(video) if video else None, options.portrait.keep == KEEP_CLIP)
