"""How commands here and in `benchmarks` begin and end: their parser, log and last line."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TextIO

from mdth.errors import MdthError, MissingInput
from mdth.log.console import one_line

TRAIN, SEED = "'.[train]'", "'.[seed]'"
INSTALL = {
    **dict.fromkeys(("torch", "onnx", "scipy", "skimage", "safetensors", "pocketsphinx"), TRAIN),
    **dict.fromkeys(("eos", "yaml"), SEED),
    "dlib": "dlib-bin face_recognition_models",
}
"""What pip installs for a module that an ordinary installation of the package lacks."""
OWN = ("mdth", "training", "benchmarks", "tests")
WHERE = "training/README.md says how to get or make it"


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The parser of `python -m NAME`, which shows a module's text as it is written."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parts(
    whole: argparse.ArgumentParser, functions: dict[str, Callable[[argparse.Namespace], None]]
) -> dict[str, argparse.ArgumentParser]:
    """A parser for each part of a command; `given.part(given)` does the one that was chosen."""
    chosen = whole.add_subparsers(required=True)
    made = {name: chosen.add_parser(name, help=each.__doc__) for name, each in functions.items()}
    for name, function in functions.items():
        made[name].set_defaults(part=function)
    return made


def files_in(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that fit a pattern, by name. Raises MissingInput: there are none."""
    found = sorted(folder.glob(pattern))
    if not found:
        what = f"no {pattern} in it" if folder.is_dir() else "not there"
        raise MissingInput(f"{folder}: {what}; {WHERE}")
    return found


def run(main: Callable[[], object], *, stream: TextIO | None = None) -> NoReturn:
    """Run a command and leave with 0, or with 1 and one line: what is missing, and what to do.

    A traceback is left to what is nobody's input: a bug. stream: for the log, stderr otherwise.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=stream)
    try:
        main()
    except MdthError as error:
        words = str(error)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in OWN:
            raise
        words = f"{module} is not installed; run: pip install {INSTALL.get(module, '.')}"
    except OSError as error:
        if error.filename is None:
            raise
        words = f"{error.filename}: {error.strerror}"
        words += f"; {WHERE}" if isinstance(error, FileNotFoundError) else ""
    except KeyboardInterrupt:
        sys.exit(130)
    else:
        sys.exit()
    sys.exit(one_line(f"{_name()}: {words}"))


def _name() -> str:
    """What stood after `python -m`."""
    spec = sys.modules["__main__"].__spec__
    return spec.name.removesuffix(".__main__") if spec else sys.argv[0]
