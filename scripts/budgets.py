"""Prints how large the house is beside what it may be; --walk: the files that data passes.

`!` marks what is over its budget. `--walk` films a second with the portrait of the demo, and a twin
of it, and counts source files of mdth in which a function is called with the portrait or the twin.
"""

import argparse
import ast
import contextlib
import inspect
import math
import os
import shutil
import struct
import sys
import tempfile
import threading
import wave
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src/mdth"
WINGS = {
    "twins, storage, batch": ("twins", "storage", "batch"),
    "seed, faceformer, bfv2v, flame": ("seed", "faceformer", "bfv2v", "flame"),
    "mesh": ("mesh",),
    "serve, integrations": ("serve", "integrations"),
}
MOST_LINES = {
    "src/mdth": 16_800,
    "core": 7_800,
    "twins, storage, batch": 2_000,
    "seed, faceformer, bfv2v, flame": 5_000,
    "mesh": 600,
    "serve, integrations": 1_500,
    "training": 8_000,
    "tests": 18_220,
    "longest file": 300,
    "longest function": 50,
}
MOST_FILES = {"portrait": 18, "twin_id": 20}
TWIN = "walking-twin"


class Line(NamedTuple):
    """What is counted, how much there is, how much there may be, and, of one place, where."""

    name: str
    found: int
    most: int
    where: str = ""

    def __str__(self) -> str:
        mark = " " if self.found <= self.most else "!"
        return f"{mark} {self.name:32}{self.found:7,} of {self.most:6,}  {self.where}".rstrip()


def table() -> list[Line]:
    """Every budget that can be read off the files."""
    package = list(_python(PACKAGE))
    counts = {"src/mdth": _lines(package)}
    for name, folders in WINGS.items():
        counts[name] = _lines(path for folder in folders for path in _python(PACKAGE / folder))
    counts["core"] = counts["src/mdth"] - sum(counts[name] for name in WINGS)
    counts["training"] = _lines(_python(ROOT / "training"))
    tests, support = _python(ROOT / "tests"), _python(ROOT / "tests/support")
    counts["tests"] = _lines(set(tests) - set(support))
    files = [(_lines([path]), _shown(path)) for path in package]
    counts["longest file"], file = max(files)
    counts["longest function"], function = max(_functions(package))
    places = {"longest file": file, "longest function": function}
    return [
        Line(name, counts[name], most, places.get(name, "")) for name, most in MOST_LINES.items()
    ]


def _python(folder: Path) -> Iterable[Path]:
    return sorted(folder.rglob("*.py"))


def _lines(paths: Iterable[Path]) -> int:
    return sum(path.read_text("utf-8").count("\n") for path in paths)


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(paths: Iterable[Path]) -> Iterable[tuple[int, str]]:
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                yield lines, f"{_shown(path)}: {node.name}"


class Walk:
    """Notes in which files of the package a function is called with what is looked for.

    An argument counts, and what it is made of: its attributes, or its items.
    """

    def __init__(self, is_it: Callable[[Any], bool]) -> None:
        self._is_it, self._package = is_it, f"{PACKAGE}/"
        self.files: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look at all calls of this thread and of those that begin meanwhile."""
        sys.setprofile(self._look)
        threading.setprofile(self._look)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        name = code.co_filename
        if event != "call" or not name.startswith(self._package) or name in self.files:
            return
        values = frame.f_locals
        count = code.co_argcount + code.co_kwonlyargcount
        count += bool(code.co_flags & inspect.CO_VARARGS) + bool(
            code.co_flags & inspect.CO_VARKEYWORDS
        )
        given = [values[each] for each in code.co_varnames[:count] if each in values]
        if any(map(self._is_it, [part for value in given for part in (value, *_parts(value))])):
            self.files.add(name)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return value[:100]
    return list(getattr(value, "__dict__", {}).values())


def walks() -> dict[str, set[str]]:
    """The files that a portrait and a twin's id pass, from the command line to the disk."""
    from mdth import cli
    from mdth.artefacts import Portrait
    from mdth.twins import sample

    home = Path(os.environ.get("MDTH_HOME", "warping-shared")).absolute()
    picture = str(sample.PORTRAIT)
    small = ["--max-size", "256"]
    with tempfile.TemporaryDirectory(prefix="mdth-") as name:
        speech = _second(Path(name, "store/raw", TWIN, "audio/speech.wav"))
        image = Path(name, "store/raw", TWIN, "image/portrait.jpg")
        image.parent.mkdir()
        shutil.copyfile(picture, image)
        (Path(name) / "home").mkdir()
        (Path(name) / "home/warping-common").symlink_to(home / "warping-common")
        os.environ.update(MDTH_STORE=f"{name}/store", MDTH_HOME=f"{name}/home")
        portrait = Walk(lambda value: isinstance(value, Portrait) or _is_text(value, picture))
        twin = Walk(lambda value: _is_text(value, TWIN))
        with portrait.watching():
            _run(cli.main, ["talk", picture, str(speech), "-o", f"{name}/out.mp4", *small])
        with twin.watching():
            _run(cli.main, ["preprocess", TWIN, *small])
            _run(cli.main, ["inference", TWIN])
    return {"portrait": portrait.files, "twin_id": twin.files}


def _second(path: Path) -> Path:
    """A second of a rising tone."""
    path.parent.mkdir(parents=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        tone = (round(9000 * math.sin(number * number / 1e5)) for number in range(16_000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in tone))
    return path


def _is_text(value: Any, text: str) -> bool:
    return isinstance(value, str | Path) and str(value) == text


def _run(main: Callable[[list[str]], int], command: list[str]) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        if code := main(command):
            sys.exit(code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--walk", action="store_true", help="what a portrait and a twin's id pass")
    lines = table()
    if parser.parse_args().walk:
        for name, files in walks().items():
            shown = [_shown(Path(file)) for file in sorted(files)]
            lines.append(Line(f"files that {name} passes", len(files), MOST_FILES[name]))
            print(name, *shown, sep="\n  ")
    print(*lines, sep="\n")


if __name__ == "__main__":
    main()
