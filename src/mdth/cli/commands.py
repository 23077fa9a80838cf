"""One call for each command. Nothing heavy is imported before a command runs."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mdth.errors import InputError
from mdth.log.console import Progress, printable
from mdth.options import TABLE

if TYPE_CHECKING:
    from mdth.twins.plan import Step
    from mdth.twins.tasks import Result

STDOUT = "-"


def talk(parsed: argparse.Namespace, progress: Progress) -> None:
    """Files -> talking video."""
    from mdth import pipeline
    from mdth.files.write import replacing
    from mdth.media.image import is_picture

    portrait, speech = parsed.portrait, parsed.speech
    if portrait and not speech and not is_picture(portrait):
        portrait, speech = None, portrait

    def make(output: Path | BinaryIO) -> None:
        more = {"video": parsed.video, "progress": progress, **_choices(parsed)}
        pipeline.talk(portrait, speech, output, **more)

    if parsed.output == STDOUT:
        if sys.stdout.isatty():
            raise InputError("raw frames are not for a terminal; send them on: mdth talk ... | ...")
        make(sys.stdout.buffer)
        return
    target = Path(parsed.output)
    if not parsed.raw:
        make(target)
        print(target)
    elif target.exists() and not target.is_file():
        with target.open("wb") as pipe:
            make(pipe)
    else:
        with replacing(target) as part, part.open("wb") as file:
            make(file)


def dub(parsed: argparse.Namespace, progress: Progress) -> None:
    """A clip and a speech -> the clip says it."""
    from mdth import pipeline

    pipeline.dub(parsed.clip, parsed.speech, parsed.output, progress=progress, **_choices(parsed))
    print(parsed.output)


def prepare(parsed: argparse.Namespace, progress: Progress) -> None:
    """A picture or a clip -> an avatar for many speeches."""
    from mdth import engines, pipeline

    more = {"video": parsed.video, "progress": progress, **_choices(parsed)}
    engines.save(pipeline.prepare(parsed.source, **more), parsed.output)
    print(parsed.output)


def mesh(parsed: argparse.Namespace, progress: Progress) -> None:
    """A speech -> a moving face for other programs."""
    from mdth import pipeline

    pipeline.export_mesh(parsed.speech, parsed.output, portrait=parsed.portrait, **_choices(parsed))
    print(parsed.output)


def task(parsed: argparse.Namespace, progress: Progress) -> None:
    """Do a twin's task and print where the result is, or only what would be done."""
    from mdth.twins import tasks

    do: Callable[..., Result]
    foresee: Callable[..., tuple[list[Step], bool]]
    if parsed.task == "preprocess":
        do, foresee = tasks.preprocess, tasks.foresee_preprocess
    else:
        do, foresee = tasks.inference, tasks.foresee_inference
    chosen = {"force": parsed.force, **_choices(parsed)}
    if not parsed.dry_run:
        print(do(parsed.twin_id, progress=progress, **chosen).path)
        return
    steps, nothing_to_do = foresee(parsed.twin_id, **chosen)
    for step in steps:
        print(printable(str(step)))
    print("nothing to do: all of it is there" if nothing_to_do else "nothing was changed")


def tidy(parsed: argparse.Namespace, process: int) -> None:
    """Delete what a process that a signal ended left half-made."""
    from mdth.files.write import drop_parts

    if twin_id := getattr(parsed, "twin_id", None):
        from mdth.twins.twin import Twin

        with Twin.named(twin_id).alone():
            return
    if output := getattr(parsed, "output", None):
        drop_parts(Path(output).parent, process)


def sample(parsed: argparse.Namespace, progress: Progress) -> None:
    """Sample input -> the store's raw folder."""
    from mdth.twins import sample

    for name in sample.put(parsed.twin_id, progress=progress):
        print(name)


def assets(parsed: argparse.Namespace, progress: Progress) -> None:
    """Outside files: fetch, verify, list."""
    from mdth.files import assets

    if parsed.action == "fetch":
        assets.fetch()
    if parsed.action in ("fetch", "verify"):
        assets.verify()
    for entry in assets.entries():
        print(f"{entry.name}  {entry.size}  {entry.sha256}  {entry.licence}")


def closed_loop(parsed: argparse.Namespace, progress: Progress) -> None:
    """A table of what trackers see in the videos made."""
    from mdth import closed_loop

    print(closed_loop.HEADER, flush=True)
    for portrait in parsed.portraits:
        print(closed_loop.measure(portrait, parsed.speech), flush=True)


def doctor(parsed: argparse.Namespace, progress: Progress) -> None:
    """What is here and what is missing."""
    from mdth import doctor

    for line in doctor.report():
        print(line)


def version(parsed: argparse.Namespace, progress: Progress) -> None:
    """Our version and its libraries'."""
    from mdth import record

    for name, number in record.versions().items():
        print(f"{name} {number}")


def _choices(parsed: argparse.Namespace) -> dict[str, Any]:
    """The options given on the command line, by the names of the table."""
    given = vars(parsed)
    return {name: given[name] for name in TABLE if name in given}
