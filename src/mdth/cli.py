"""Arguments -> one call -> exit code: 0 done, 1 an MdthError, 2 usage, 130 Ctrl-C.

The only place that prints. Nothing heavy is imported before a command runs: --help is instant.
"""

import argparse
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from mdth.console import Progress, quiet_libraries, start_logging
from mdth.errors import InputError, MdthError
from mdth.options import MESH_ENGINES, PRESETS, Options

log = logging.getLogger("mdth")

Command = Callable[[argparse.Namespace, Progress], None]
STDOUT = "-"
NOW = "(default: %(default)s)"


def main(arguments: Sequence[str] | None = None) -> int:
    """`mdth ...`: run one command and return the exit code."""
    parsed = _parser().parse_args(arguments)
    return _run(parsed)


def guarantee(arguments: Sequence[str] | None = None) -> int:
    """`run_guarantee.py ...`: the seed's four flags."""
    parser = argparse.ArgumentParser(prog="run_guarantee.py", description="Run a task of a model.")
    parser.add_argument("--model", required=True, choices=["TH"], help="Talking Head")
    parser.add_argument("--task", required=True, choices=["preprocess", "inference"])
    parser.add_argument("--twin-id", required=True, metavar="TWIN")
    parser.add_argument("--n-gpus", type=_count, default=1, metavar="N")
    parsed = parser.parse_args(arguments)
    return _run(
        _parser().parse_args([parsed.task, f"--n-gpus={parsed.n_gpus}", "-v", "--", parsed.twin_id])
    )


def _run(parsed: argparse.Namespace) -> int:
    """Run the command; every way it can end becomes an exit code and at most one line."""
    with quiet_libraries() as stderr:
        handler = start_logging(stderr, verbose=parsed.verbose)
        before = signal.signal(signal.SIGTERM, _stop)
        progress = Progress(stderr)
        code, last_words = 0, ""
        try:
            parsed.command(parsed, progress)
        except MdthError as error:
            code, last_words = 1, f"error: {' '.join(str(error).split())}"
        except OSError as error:
            code, last_words = 1, f"error: {_in_words(error)}"
        except KeyboardInterrupt:
            code, last_words = 130, "stopped"
        finally:
            progress.clear()
            signal.signal(signal.SIGTERM, before)
            log.removeHandler(handler)
        if last_words:
            print(f"mdth: {last_words}", file=stderr)
    return code


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _in_words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{where}the disk is full; free some space and run again"
    if isinstance(error, BrokenPipeError):
        return "the reader of the raw frames closed the pipe"
    return f"{where}{error.strerror or error}"


def _talk(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import pipeline, scene

    portrait, speech = parsed.portrait, parsed.speech
    if portrait and not speech and not scene.is_picture(portrait):
        portrait, speech = None, portrait

    def make(output: Path | BinaryIO) -> None:
        pipeline.talk(
            portrait, speech, output, video=parsed.video, progress=progress, **_choices(parsed)
        )

    if parsed.output == STDOUT:
        if sys.stdout.isatty():
            raise InputError("raw frames are not for a terminal; send them on: mdth talk ... | ...")
        make(sys.stdout.buffer)
    elif parsed.raw:
        with _raw_file(Path(parsed.output)) as file:
            make(file)
    else:
        make(Path(parsed.output))
        print(parsed.output)


@contextlib.contextmanager
def _raw_file(path: Path) -> Iterator[BinaryIO]:
    """A pipe that is there, or a file that gets its name when it is complete."""
    if path.exists() and not path.is_file():
        with path.open("wb") as pipe:
            yield pipe
        return
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _mesh(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import spoken_mesh

    options = Options(**_choices(parsed))
    spoken_mesh.write(parsed.speech, parsed.output, portrait=parsed.portrait, options=options)
    print(parsed.output)


def _preprocess(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import pipeline

    print(
        pipeline.preprocess(
            parsed.twin_id, n_gpus=parsed.n_gpus, progress=progress, **_choices(parsed)
        )
    )


def _inference(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import pipeline

    print(
        pipeline.inference(
            parsed.twin_id, n_gpus=parsed.n_gpus, progress=progress, **_choices(parsed)
        )
    )


def _sample(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import sample

    for name in sample.put(parsed.twin_id, progress=progress):
        print(name)


def _assets(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import assets

    if parsed.action == "fetch":
        assets.fetch()
    if parsed.action in ("fetch", "verify"):
        assets.verify()
    for entry in assets.entries():
        print(f"{entry.name}  {entry.size}  {entry.sha256}  {entry.licence}")


def _closed_loop(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import closed_loop

    print(closed_loop.HEADER, flush=True)
    for portrait in parsed.portraits:
        print(closed_loop.measure(portrait, parsed.speech), flush=True)


def _version(parsed: argparse.Namespace, progress: Progress) -> None:
    from mdth import record

    for name, number in record.versions().items():
        print(f"{name} {number}")


def _choices(parsed: argparse.Namespace) -> dict[str, Any]:
    """The options given on the command line, by the names `Options` has."""
    given = vars(parsed)
    return {field.name: given[field.name] for field in fields(Options) if field.name in given}


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mdth", description="A portrait and a speech become a talking video, on a CPU."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    talk = _command(commands, "talk", _talk, "files -> talking video")
    talk.add_argument("portrait", nargs="?", type=Path, help="a picture with a face")
    talk.add_argument("speech", nargs="?", type=Path, help="any sound, or a video with sound")
    talk.add_argument("-o", "--output", required=True, help="out.mp4; - for raw frames to stdout")
    talk.add_argument("--video", type=Path, metavar="CLIP", help="gives head, eyes and brows")
    talk.add_argument("--raw", action="store_true", help="write raw rgb24 frames, no mp4")
    _add_portrait_options(talk)
    _add_film_options(talk)

    mesh = _command(commands, "mesh", _mesh, "speech -> a moving face for other programs")
    mesh.add_argument("speech", type=Path, help="any sound, or a video with sound")
    mesh.add_argument(
        *("-o", "--output"),
        type=Path,
        required=True,
        help="anim.glb, .usda or .npz; .csv for ARKit weights as Live Link Face writes them",
    )
    mesh.add_argument("--portrait", type=Path, metavar="PICTURE", help="whose face it is")
    _add_speech_options(mesh)

    preprocess = _command(commands, "preprocess", _preprocess, "a twin's raw files -> prepared")
    _add_twin(preprocess)
    _add_portrait_options(preprocess)
    inference = _command(commands, "inference", _inference, "a prepared twin -> talking video")
    _add_twin(inference)
    _add_film_options(inference)
    sample = _command(commands, "sample", _sample, "put sample input into the store's raw folder")
    sample.add_argument("twin_id", metavar="TWIN")

    assets = _command(commands, "assets", _assets, "outside files: fetch, verify, list")
    assets.add_argument("action", choices=["fetch", "verify", "list"])
    loop = _command(commands, "closed-loop", _closed_loop, "track written videos again; a table")
    loop.add_argument("portraits", nargs="+", type=Path, metavar="PORTRAIT")
    loop.add_argument("--speech", type=Path, required=True)
    _command(commands, "version", _version, "this version and its libraries'")
    return parser


def _command(commands: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    parser.set_defaults(command=command)
    return parser


def _add_twin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("twin_id", metavar="TWIN")
    parser.add_argument(
        "--n-gpus", type=_count, default=1, metavar="N", help="workers; 0 and 1 run anywhere"
    )


def _add_portrait_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--face", type=int, metavar="N", help="which face, 1 is the leftmost")
    parser.add_argument(
        "--max-size", type=int, default=Options.max_size, metavar="PX", help=f"longest side {NOW}"
    )


def _add_speech_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fps", type=int, default=Options.fps, help=f"frames a second {NOW}")
    parser.add_argument(
        "--engine-mesh",
        choices=MESH_ENGINES,
        default=Options.engine_mesh,
        help=f"what moves the mouth; flame needs the seed's checkpoints {NOW}",
    )
    _add_amount(parser, "mouth", "how much the lips move")


def _add_amount(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    parser.add_argument(
        f"--{name}",
        type=float,
        default=getattr(Options, name),
        metavar="X",
        help=f"{what}: 0 not .. 2 twice as usual, now %(default)s",
    )


def _add_film_options(parser: argparse.ArgumentParser) -> None:
    _add_speech_options(parser)
    parser.add_argument(
        "--seed", type=int, default=Options.seed, help=f"of the generated motion {NOW}"
    )
    parser.add_argument("--still", action="store_true", help="no head motion and no blinks")
    _add_amount(parser, "motion", "how much the head moves")
    _add_amount(parser, "blink", "how often the eyes blink")
    parser.add_argument(
        "--crf", type=int, default=Options.crf, help=f"quality, 0 lossless to 51 {NOW}"
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default=Options.preset,
        metavar="PRESET",
        help=f"x264's effort, {PRESETS[0]} to {PRESETS[-1]} {NOW}",
    )
    parser.add_argument("--preview", action="store_true", help="only the first second")
