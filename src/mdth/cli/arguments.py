"""What can be written on the command line."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any, NoReturn

from mdth import __version__
from mdth.cli import batch, commands, live, serve
from mdth.log.console import LOG_KINDS, TEXT, Progress
from mdth.options import GROUPS, LIVE_MESH, TABLE, TYPES

Command = Callable[[argparse.Namespace, Progress], Iterable[str]]
NOW = "(default: %(default)s)"
EXIT_CODES = (
    "Exit codes: 0 done; 1 an error, in one line on stderr; 2 wrong usage; 130 stopped by Ctrl-C; "
    "143 stopped by SIGTERM, 129 by a closed terminal. Whichever it is, nothing half-made is left."
)

WITH_SOUND = (
    "Raw frames have no sound; a line on stderr says their size. With sound: "
    "mdth talk A.jpg B.wav -o - | ffmpeg -f rawvideo -pix_fmt rgb24 -s 512x600 -r 30 -i - -i B.wav "
    "out.mkv"
)


class _Parser(argparse.ArgumentParser):
    """Says which command or option may have been meant; takes files wherever they stand."""

    names: Mapping[str, argparse.ArgumentParser] = {}

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """A file behind options, too: argparse takes only those that stand together."""
        parsed, left = super().parse_known_args(args, namespace)
        plain = left[:1] == ["--"]  # nothing behind it is an option
        left = left[plain:]
        for action in self._get_positional_actions():
            file = left and (plain or not left[0].startswith("-"))
            if file and getattr(parsed, action.dest, 0) is None:
                setattr(parsed, action.dest, self._get_values(action, [left.pop(0)]))
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        known = [*self.names, *self._option_string_actions]
        for command in set(self.names) & set(sys.argv[1:]):
            known += self.names[command]._option_string_actions
        for word in re.findall(r"--[\w-]+|'[\w-]+'", message)[:1]:
            for close in difflib.get_close_matches(word.strip("'"), known, 1):
                message += f"; did you mean {close}?" if close != word else ""
        super().error(message)


def parser() -> argparse.ArgumentParser:
    """Every command with its arguments; the parsed namespace has the call as `command`."""
    root = _Parser(
        prog="mdth",
        description="A portrait and a speech become a talking video, on a CPU.",
        epilog=EXIT_CODES,
    )
    root.add_argument("--version", action="version", version=f"mdth {__version__}")
    table = root.add_subparsers(metavar="COMMAND", required=True)
    root.names = table.choices
    _add_videos(table)
    _add_twins(table)
    _add_upkeep(table)
    return root


def _add_videos(table: Any) -> None:
    """The commands on files."""
    talk = _command(table, "talk", commands.talk, "files -> talking video")
    talk.add_argument("portrait", nargs="?", type=Path, help="a picture with a face")
    talk.add_argument("speech", nargs="?", type=Path, help="any sound, or a video with sound")
    words = "out.mp4 (default: named after both, here); - for raw frames to stdout"
    talk.add_argument("-o", "--output", help=words)
    talk.epilog = WITH_SOUND
    _add_text(talk)
    talk.add_argument("--video", type=Path, metavar="CLIP", help="gives head, eyes and brows")
    talk.add_argument("--raw", action="store_true", help="write raw rgb24 frames, no mp4")
    words = "another machine does it, that runs `mdth serve`: http://its.name:8000"
    talk.add_argument("--server", metavar="URL", help=words)
    talk.add_argument("--key", metavar="KEY", help="for the server (default: MDTH_API_KEY)")
    _add(talk, "portrait", "motion", "speech", "video", "engine")

    dub = _command(table, "dub", commands.dub, "a clip, a speech -> the clip says it")
    dub.add_argument("clip", type=Path, help="of a person, or what `mdth prepare` made of it")
    words = "any sound, or a video with sound"
    dub.add_argument("speech", nargs="?", type=Path, help=words)
    dub.add_argument("-o", "--output", type=Path, required=True, help="out.mp4")
    _add_text(dub)
    _add(dub, "face", "point", "fit", "mouth", "lip_width", "engine_mesh", "speech")
    _add(dub, "crf", "preset", "preview")

    words = "a picture or a clip -> an avatar for many speeches"
    prepare = _command(table, "prepare", commands.prepare, words)
    prepare.add_argument("source", type=Path, help="a picture with a face, or a clip to be dubbed")
    prepare.add_argument("-o", "--output", type=Path, required=True, help="anna.avatar, a folder")
    prepare.add_argument("--video", type=Path, metavar="CLIP", help="gives head, eyes and brows")
    _add(prepare, "portrait", "engine")

    _add_live(_command(table, "live", live.live, "speech on stdin -> a live stream"))

    served = _command(table, "serve", serve.serve, "a page and an API for others: docs/serving.md")
    serve.add_arguments(served.add_argument, positive=positive, seconds=seconds)

    mesh = _command(table, "mesh", commands.mesh, "speech -> a moving face for other programs")
    mesh.add_argument("speech", type=Path, help="any sound, or a video with sound")
    words = "anim.glb, .usda or .npz; .csv for ARKit weights as Live Link Face writes them"
    mesh.add_argument("-o", "--output", type=Path, required=True, help=words)
    mesh.add_argument("--portrait", type=Path, metavar="PICTURE", help="whose face it is")
    _add(mesh, "motion")


def _add_text(parser: argparse.ArgumentParser, more: str = "") -> None:
    words = f"English, said in place of a sound{more}"
    parser.add_argument("--text", metavar="TEXT", help=words)


def _add_live(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Speech: s16le, 16 kHz, mono. A line for ffplay and OBS: docs/live.md"
    add = parser.add_argument
    add("avatar", type=Path, help="a picture with a face, or what `mdth prepare` made of one")
    words = f"a file or pipe, - for stdout {NOW}"
    add("-o", "--output", default=commands.STDOUT, metavar="FILE", help=words)
    add("--raw", action="store_true", help="write raw rgb24 frames, no MPEG-TS")
    _add_text(parser, "; - says each line of stdin as it comes")
    words = "ARKit's, no pictures: JSON lines, or to HOST:PORT as Live Link Face sends them"
    add("--weights", nargs="?", const=commands.STDOUT, metavar="HOST:PORT", help=words)
    words = "end after this time (default: when stdin has ended and all was said)"
    add("--seconds", type=seconds, metavar="S", help=words)
    _add(parser, "portrait", "motion", "speech", "engine")
    parser.set_defaults(fps=25, engine_mesh=LIVE_MESH)


def _add_twins(table: Any) -> None:
    """The commands on twins."""
    _add_task(table, "preprocess", "a twin's raw files -> prepared")
    _add_task(table, "inference", "a prepared twin -> talking video")
    many = _command(table, "batch", batch.batch, "a task for many twins -> a table of results")
    _add_batch_options(many)
    _add(many, "portrait", "motion", "video", "engine")
    words = "put sample input into the store's raw folder"
    sample = _command(table, "sample", commands.sample, words)
    sample.add_argument("twin_id", metavar="TWIN")


def _add_upkeep(table: Any) -> None:
    """The commands on the program itself."""
    assets = _command(table, "assets", commands.assets, "outside files: fetch, verify, list")
    assets.add_argument("action", choices=["fetch", "verify", "list"])
    assets.add_argument("extra", nargs="?", default="", help="speak: those of text to speech")
    words = "voices that say texts: their names, or what one of them says, as a file"
    voices = _command(table, "voices", commands.voices, words)
    voices.add_argument("voice", nargs="?", metavar="NAME")
    voices.add_argument("-o", "--output", type=Path, help="sample.wav")
    _add_text(voices)
    _add(voices, "voice_speed")

    words = "two videos frame by frame: PSNR and landmarks"
    compare = _command(table, "compare", commands.compare, words)
    compare.add_argument("old", type=Path, metavar="OLD.mp4")
    compare.add_argument("new", type=Path, metavar="NEW.mp4")
    doctor = _command(table, "doctor", commands.doctor, "what is here, what is missing, per engine")
    words = "instead, compile for the GPU what long speeches of the seed's engine need"
    doctor.add_argument("--warm", action="store_true", help=words)
    _command(table, "version", commands.version, "this version and its libraries'")


def _command(commands: Any, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.add_argument("-v", "--verbose", action="store_true", help="say what is being done")
    words = f"json: an object a line on stderr {NOW}"
    parser.add_argument("--log", choices=LOG_KINDS, default=TEXT, help=words)
    parser.set_defaults(command=command)
    return parser


def _add_task(table: Any, task: str, text: str) -> None:
    parser = _command(table, task, commands.task, text)
    parser.set_defaults(task=task)
    parser.add_argument("twin_id", metavar="TWIN")
    parser.add_argument("--force", action="store_true", help="repeat what is done already")
    words = "list what would be read and written, change nothing"
    parser.add_argument("--dry-run", action="store_true", help=words)
    _add(parser, *batch.OPTIONS_OF[task])


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    words = "an id a line (- for stdin), else what the ids in the store's raw/ begin with, '' all"
    add("--twins", required=True, metavar="FILE|PREFIX", help=words)
    add("--task", required=True, choices=batch.TASKS)
    words = "processes, 0.4 GB each (default: 1; on a cluster one per GPU, else per CPU)"
    add("--workers", type=positive, metavar="N", help=words)
    words = "Ray's: local starts one here, auto finds the running one, or its address"
    add("--cluster", metavar="WHERE", help=words)
    add("--force", action="store_true", help="repeat what is finished too")
    words = f"of a twin, when the store fails or its worker dies {NOW}"
    add("--retries", type=count, default=2, metavar="N", help=words)
    words = f"a twin that takes longer fails; 0 for no limit {NOW}"
    add("--timeout", type=seconds, default=7200, metavar="S", help=words)
    add("--results", type=Path, metavar="FILE", help="the table as .csv or .jsonl, row by row")


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
    words += "" if entry.default is None else f" {NOW}"
    read = READERS.get(entry.name, kind)
    parser.add_argument(
        *flags, dest=entry.name, type=read, default=entry.default, help=words, **choices
    )


def _at_least(least: float, kind: type, name: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        number = kind(text)
        if not least <= number < float("inf"):
            raise ValueError
        return number

    read.__name__ = name  # which argparse tells
    return read


count = _at_least(0, int, "count")
positive = _at_least(1, int, "positive")
seconds = _at_least(0, float, "seconds")
# How many there are cannot be negative, whatever is done with them: wrong usage.
READERS: dict[str, Callable[[str], Any]] = {"n_gpus": count}
