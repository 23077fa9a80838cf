"""What can be written on the command line."""

import argparse
from collections.abc import Callable
from dataclasses import Field
from pathlib import Path
from typing import Any

from mdth.cli import batch, commands
from mdth.log.console import LOG_KINDS, TEXT, Progress
from mdth.options import GROUPS, TABLE, TYPES

Command = Callable[[argparse.Namespace, Progress], None]
NOW = "(default: %(default)s)"
EXIT_CODES = (
    "Exit codes: 0 done; 1 an error, in one line on stderr; 2 wrong usage; 130 stopped by Ctrl-C; "
    "143 stopped by SIGTERM. After 130 and 143 nothing half-made is left."
)


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments; the parsed namespace has the call as `command`."""
    root = argparse.ArgumentParser(
        prog="mdth",
        description="A portrait and a speech become a talking video, on a CPU.",
        epilog=EXIT_CODES,
    )
    table = root.add_subparsers(metavar="COMMAND", required=True)

    _add_videos(table)
    _add_twins(table)
    _add_upkeep(table)
    return root


def _add_videos(table: Any) -> None:
    """The commands on files."""
    talk = _command(table, "talk", commands.talk, "files -> talking video")
    talk.add_argument("portrait", nargs="?", type=Path, help="a picture with a face")
    talk.add_argument("speech", nargs="?", type=Path, help="any sound, or a video with sound")
    talk.add_argument("-o", "--output", required=True, help="out.mp4; - for raw frames to stdout")
    talk.add_argument("--video", type=Path, metavar="CLIP", help="gives head, eyes and brows")
    talk.add_argument("--raw", action="store_true", help="write raw rgb24 frames, no mp4")
    _add(talk, "portrait", "motion", "video", "engine")

    mesh = _command(table, "mesh", commands.mesh, "speech -> a moving face for other programs")
    mesh.add_argument("speech", type=Path, help="any sound, or a video with sound")
    mesh.add_argument(
        *("-o", "--output"),
        type=Path,
        required=True,
        help="anim.glb, .usda or .npz; .csv for ARKit weights as Live Link Face writes them",
    )
    mesh.add_argument("--portrait", type=Path, metavar="PICTURE", help="whose face it is")
    _add(mesh, "fps", "engine_mesh", "mouth")


def _add_twins(table: Any) -> None:
    """The commands on twins."""
    preprocess = _command(
        table, "preprocess", commands.preprocess, "a twin's raw files -> prepared"
    )
    _add_twin(preprocess)
    _add(preprocess, "portrait", "engine")
    inference = _command(table, "inference", commands.inference, "a prepared twin -> talking video")
    _add_twin(inference)
    _add(inference, "motion", "video", "engine")
    many = _command(table, "batch", batch.batch, "a task for many twins -> a table of results")
    alone = {"preprocess": preprocess, "inference": inference}
    many.set_defaults(
        options_of={name: vars(one.parse_args(["any"])) for name, one in alone.items()}
    )
    _add_batch_options(many)
    _add(many, "portrait", "motion", "video", "engine")
    sample = _command(
        table, "sample", commands.sample, "put sample input into the store's raw folder"
    )
    sample.add_argument("twin_id", metavar="TWIN")


def _add_upkeep(table: Any) -> None:
    """The commands on the program itself."""
    assets = _command(table, "assets", commands.assets, "outside files: fetch, verify, list")
    assets.add_argument("action", choices=["fetch", "verify", "list"])
    loop = _command(
        table, "closed-loop", commands.closed_loop, "track written videos again; a table"
    )
    loop.add_argument("portraits", nargs="+", type=Path, metavar="PORTRAIT")
    loop.add_argument("--speech", type=Path, required=True)
    _command(table, "doctor", commands.doctor, "what is here, what is missing, per engine")
    _command(table, "version", commands.version, "this version and its libraries'")


def _command(commands: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    parser.add_argument(
        "--log", choices=LOG_KINDS, default=TEXT, help=f"json: an object a line on stderr {NOW}"
    )
    parser.set_defaults(command=command)
    return parser


def _add_twin(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("twin_id", metavar="TWIN")
    parser.add_argument("--force", action="store_true", help="repeat what is done already")
    parser.add_argument(
        "--dry-run", action="store_true", help="list what would be read and written, change nothing"
    )


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--twins",
        required=True,
        metavar="FILE|PREFIX",
        help="an id a line (- for stdin), else what the ids in the store's raw/ begin with, '' all",
    )
    parser.add_argument("--task", required=True, choices=batch.TASKS)
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="processes, 0.4 GB each (default: 1; on a cluster one per GPU, else per CPU)",
    )
    parser.add_argument(
        "--cluster",
        metavar="WHERE",
        help="Ray's: local starts one here, auto finds the running one, or its address",
    )
    parser.add_argument("--force", action="store_true", help="repeat what is finished too")
    parser.add_argument(
        "--retries",
        type=count,
        default=2,
        metavar="N",
        help=f"of a twin, when the store fails or its worker dies {NOW}",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=7200,
        metavar="S",
        help=f"a twin that takes longer fails; 0 for no limit {NOW}",
    )
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="the table as .csv or .jsonl, row by row"
    )


def _add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options of the one table, by name or by group."""
    for group in names:
        for entry in GROUPS[group][1] if group in GROUPS else [TABLE[group]]:
            _add_option(parser, entry)


def _add_option(parser: argparse.ArgumentParser, entry: Field[Any]) -> None:
    about, kind = entry.metadata, TYPES[entry.name]
    words = f"{about['only']}'s engine: {about['words']}" if about["only"] else about["words"]
    flags = [f"--{name.replace('_', '-')}" for name in (entry.name, about["alias"]) if name]
    if kind is bool:
        parser.add_argument(*flags, dest=entry.name, action="store_true", help=words)
        return
    choices: dict[str, Any] = {"choices": about["among"]} if about["among"] else {}
    if not about["among"] or about["unit"]:
        choices["metavar"] = about["unit"] or entry.name.upper()
    shown = "" if entry.default is None else f" {NOW}"
    parser.add_argument(
        *flags,
        dest=entry.name,
        type=READERS.get(entry.name, kind),
        default=entry.default,
        help=words + shown,
        **choices,
    )


def count(text: str) -> int:
    """A number of things, 0 or more. Raises ValueError."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def positive(text: str) -> int:
    """A number of things, 1 or more. Raises ValueError."""
    number = count(text)
    if number == 0:
        raise ValueError
    return number


def seconds(text: str) -> float:
    """A time, 0 or more. Raises ValueError."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise ValueError
    return number


# How many there are cannot be negative, whatever is done with them: wrong usage.
READERS: dict[str, Callable[[str], Any]] = {"n_gpus": count}
