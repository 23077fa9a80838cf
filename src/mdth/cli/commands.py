"""One call for each command. Nothing heavy is imported before a command runs."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mdth.errors import InputError
from mdth.log.console import Progress, printable
from mdth.options import TABLE

if TYPE_CHECKING:
    from mdth.twins.tasks import Result

STDOUT = "-"


def _named_after(*inputs: Path | None) -> Path:
    """Where a video goes without a name for it. Raises InputError for a file that is not ours."""
    from mdth.files.output import is_ours

    target = Path(("_".join(path.stem for path in inputs if path) or "film") + ".mp4")
    if target.exists() and not is_ours(target):
        raise InputError(f"{target}: is there and not ours; give the video another name with -o")
    return target


def talk(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """Files -> talking video."""
    if parsed.server:
        yield from _served(parsed, progress)
        return
    from mdth import pipeline
    from mdth.files.write import replacing
    from mdth.media.image import is_picture

    portrait, speech = parsed.portrait, parsed.speech
    if portrait and not speech and parsed.text is None and not is_picture(portrait):
        portrait, speech = None, portrait

    def make(output: Path | BinaryIO) -> None:
        more = {"video": parsed.video, "text": parsed.text, **_choices(parsed)}
        more["progress"] = progress
        pipeline.talk(portrait, speech, output, **more)

    if parsed.output == STDOUT:
        if sys.stdout is None or sys.stdout.isatty():
            raise InputError("raw frames are not for a terminal; send them on: mdth talk ... | ...")
        make(sys.stdout.buffer)
        return
    target = Path(parsed.output) if parsed.output else _named_after(portrait, speech, parsed.video)
    if not parsed.raw:
        make(target)
        yield str(target)
    elif target.exists() and not target.is_file():
        with target.open("wb") as pipe:
            make(pipe)
    else:
        with replacing(target) as part, part.open("wb") as file:
            make(file)


def _served(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """The same, made by a server."""
    from mdth.client import Client

    if parsed.video or parsed.raw or parsed.output == STDOUT or not parsed.portrait:
        raise InputError("a server takes a portrait and a speech or text, and gives an mp4")
    target = Path(parsed.output) if parsed.output else _named_after(parsed.portrait, parsed.speech)
    made = {name: value for name, value in _choices(parsed).items() if value != TABLE[name].default}
    with Client(parsed.server, key=parsed.key or os.environ.get("MDTH_API_KEY")) as client:
        more = {"text": parsed.text, "progress": partial(progress, unit="%"), **made}
        client.talk(parsed.portrait, parsed.speech, target, **more)
    yield str(target)


def dub(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """A clip and a speech -> the clip says it."""
    from mdth import pipeline

    more = {"text": parsed.text, "progress": progress, **_choices(parsed)}
    pipeline.dub(parsed.clip, parsed.speech, parsed.output, **more)
    yield str(parsed.output)


def prepare(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """A picture or a clip -> an avatar for many speeches."""
    from mdth import engines, pipeline

    more = {"video": parsed.video, "progress": progress, **_choices(parsed)}
    engines.save(pipeline.prepare(parsed.source, **more), parsed.output)
    yield str(parsed.output)


def mesh(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """A speech -> a moving face for other programs."""
    from mdth.spoken_mesh import export_mesh

    export_mesh(parsed.speech, parsed.output, portrait=parsed.portrait, **_choices(parsed))
    yield str(parsed.output)


def task(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """Do a twin's task and print where the result is, or only what would be done."""
    from mdth.twins import tasks

    do: Callable[..., Result] = getattr(tasks, parsed.task)
    chosen = {"force": parsed.force, **_choices(parsed)}
    if not parsed.dry_run:
        yield str(do(parsed.twin_id, progress=progress, **chosen).path)
        return
    steps, nothing_to_do = tasks.foresee(parsed.task, parsed.twin_id, **chosen)
    for step in steps:
        yield printable(str(step))
    yield "nothing to do: all of it is there" if nothing_to_do else "nothing was changed"


def tidy(parsed: argparse.Namespace, process: int) -> None:
    """Delete what a process that a signal ended left half-made."""
    from mdth.files.write import drop_parts

    if twin_id := getattr(parsed, "twin_id", None):
        from mdth.twins.twin import Twin

        with Twin.named(twin_id).alone():
            return
    drop_parts(Path(getattr(parsed, "output", None) or "film").parent, process)


def sample(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """Sample input -> the store's raw folder."""
    from mdth.twins import sample

    yield from sample.put(parsed.twin_id, progress=progress)


def assets(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """Outside files: fetch, verify, list."""
    from mdth.files import assets

    names = assets.of_extra(parsed.extra)
    if parsed.action == "fetch":
        assets.fetch(names)
    if parsed.action in ("fetch", "verify"):
        assets.verify(names)
    for entry in assets.named(names):
        yield f"{entry.name}  {entry.size}  {entry.sha256}  {entry.licence}  {entry.file}"


def voices(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """The voices, or a text or a sample said by one of them."""
    from mdth.files.output import check_output
    from mdth.files.write import replacing
    from mdth.speak import voice

    if parsed.voice and parsed.output:
        speaker, target = voice.Voice(parsed.voice, speed=parsed.voice_speed), parsed.output
        said = speaker.say(voice.SAMPLE if parsed.text is None else parsed.text)
        with replacing(check_output(target, (".wav",), ())) as part:
            voice.write(part, (sentence.sound for sentence in said))
        yield str(target)
    elif parsed.voice or parsed.output:
        raise InputError("give a voice and a file: mdth voices af_heart -o sample.wav")
    else:
        for name, whose in voice.voices().items():
            yield f"{name}  {whose}"


def compare(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """A table of how far two videos are apart."""
    from mdth import compare

    yield from compare.report(parsed.old, parsed.new)


def doctor(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """What is here and what is missing."""
    from mdth import doctor

    yield from doctor.warm() if parsed.warm else doctor.report()


def version(parsed: argparse.Namespace, progress: Progress) -> Iterator[str]:
    """Our version and its libraries'."""
    from mdth import record

    for name, number in record.versions().items():
        yield f"{name} {number}"


def _choices(parsed: argparse.Namespace) -> dict[str, Any]:
    """The options given on the command line, by the names of the table."""
    given = vars(parsed)
    return {name: given[name] for name in TABLE if name in given}
