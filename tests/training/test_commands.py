"""Every command of training and of the benchmarks: its help, and its last line where data lacks."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from training.command import INSTALL

ROOT = Path(__file__).parents[2]
GONE = "nowhere/to/be/found"
# The arguments of each that name data which is not there, if it takes any; OUT: where it may write.
COMMANDS = {
    "benchmarks": f"{GONE}.png {GONE}.wav", "benchmarks.batch": None, "benchmarks.faceformer": None,
    "benchmarks.closed_loop": f"{GONE}.png --speech {GONE}.wav",
    "benchmarks.cpu": f"{GONE}.png {GONE}.wav", "benchmarks.film": f"{GONE}.mp4",
    "benchmarks.generator": f"--checkpoint {GONE} --yaml {GONE} --frames 1",
    "benchmarks.live": f"{GONE}.png {GONE}.wav",
    "benchmarks.guard": None, "benchmarks.scale": None, "benchmarks.serve": None,
    "benchmarks.store": None,
    "tests.support.made_up_sets": "vocaset OUT/file/within",
    "tests.support.seed_made_up": "OUT/file/within --small",
    "training.arkit_onnx": f"{GONE} {GONE} OUT", "training.bank": f"{GONE} OUT/bank",
    "training.closures": f"{GONE}.wav",
    "training.decoder": f"{GONE} {GONE} OUT/run",
    "training.dub_measure": f"{GONE}.mp4",
    "training.covered": f"{GONE} --output OUT/covered.npz",
    "training.evaluate": f"--work {GONE}",
    "training.export_onnx": f"{GONE} OUT {GONE}",
    "training.features": f"{GONE} OUT/windows --sessions 1 --workers 1",
    "training.generator": f"{GONE} OUT/generator --config small",
    "training.generator.pack": f"{GONE} OUT/clips.npz",
    "training.glasses": f"{GONE} --output OUT/glasses.npz", "training.head_sweep": f"{GONE}.jpg",
    "training.kokoro": None, "training.languages": None,
    "training.mesh_compare": f"{GONE} {GONE} --regions face", "training.mouth": f"{GONE} OUT/mouth",
    "training.motion_bank": f"{GONE} {GONE} OUT", "training.motion_measure": f"{GONE} {GONE}",
    "training.mouth_data": f"{GONE} OUT/mouth --talk {GONE} --grid {GONE}",
    "training.mouth_export": f"{GONE} OUT", "training.mouth_measure": f"{GONE} {GONE} {GONE}",
    "training.mouth_strips": f"{GONE} {GONE} OUT/strips.png",
    "training.tooth_levels": f"{GONE} {GONE}",
    "training.people": f"OUT/people.npz --talk {GONE} --grid {GONE}", "training.reenact": GONE,
    "training.rig": f"{GONE} {GONE} OUT/people.npz --run {GONE}",
    "training.seed.predict": f"vocaset {GONE} {GONE}.pth OUT/predicted",
    "training.seed.train": f"vocaset {GONE} OUT/run --encoder small",
    "training.sheet": f"{GONE}.jpg OUT/sheet.png",
    "training.skin": f"{GONE} OUT/skin lids", "training.skin_measure": f"{GONE} {GONE} {GONE}",
    "training.spoken": f"label {GONE} --people {GONE} --run {GONE}",
    "training.talk": f"{GONE} OUT/talk",
}  # fmt: skip
# Runs commands one after the other in one process, which starts much faster than one for each.
WALK = """
import contextlib, io, json, runpy, sys, warnings
from importlib.abc import MetaPathFinder

class Lacking(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in lacking:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

lacking, commands = json.loads(sys.argv[1])
sys.meta_path.insert(0, Lacking())
warnings.simplefilter("ignore", RuntimeWarning)  # one command may have imported another
ended = {}
for name, given in commands.items():
    sys.argv = [name, *given]
    said, code = io.StringIO(), 0
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:
            code = f"a traceback of {error!r}"
    ended[name] = (code, said.getvalue())
json.dump(ended, sys.stdout)
"""


class Ended(NamedTuple):
    """A command's exit code (or the line it left with, which is code 1), and what it printed."""

    code: int | str | None
    said: str


def walk(commands: dict[str, list[str]], lacking: list[str]) -> dict[str, Ended]:
    """How each command ends where some modules are not installed."""
    run = [sys.executable, "-c", WALK, json.dumps([lacking, commands])]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name: Ended(*ended) for name, ended in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def without_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    out = tmp_path_factory.mktemp("out")
    (out / "file").touch()
    given = {name: text.replace("OUT", str(out)).split() for name, text in COMMANDS.items() if text}
    return walk(given, [])


@pytest.fixture(scope="module")
def helped() -> dict[str, Ended]:
    return walk({name: ["--help"] for name in COMMANDS}, list(INSTALL))


def test_none_is_forgotten() -> None:
    """Whatever can be run is in the list, and nothing but `command.run` runs it."""
    found = set()
    for path in sorted(ROOT.glob("training/**/*.py")) + sorted(ROOT.glob("benchmarks/*.py")):
        text = path.read_text("utf-8")
        if 'if __name__ == "__main__":' in text:
            assert "command.run(main" in ast.unparse(ast.parse(text).body[-1]), path
            parts = path.relative_to(ROOT).with_suffix("").parts
            found.add(".".join(parts).removesuffix(".__main__"))
    assert found == {name for name in COMMANDS if not name.startswith("tests.")}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_needs_no_extra(name: str, helped: dict[str, Ended]) -> None:
    code, said = helped[name]
    assert code == 0, (code, said)
    assert said.startswith(f"usage: python -m {name} ")


@pytest.mark.parametrize("name", [name for name, text in COMMANDS.items() if text])
def test_missing_data_is_one_line(name: str, without_data: dict[str, Ended]) -> None:
    code, said = without_data[name]
    assert isinstance(code, str) and code.startswith(f"{name}: "), (code, said)
    assert "\n" not in code and "Traceback" not in said
    assert GONE in code or "not installed" in code or "file/within" in code


def told() -> list[tuple[str, str]]:
    pages = [*ROOT.glob("src/mdth/weights/*.json"), *ROOT.glob("docs/*.md")]
    pages += [ROOT / "training/README.md", ROOT / "src/mdth/examples/README.md"]
    text = "\n".join(page.read_text("utf-8") for page in pages).replace("\\\n", " ")
    return re.findall(r"python -m ((?:training|benchmarks|tests)[\w.]*)(.*)", text)


def test_what_cards_and_pages_tell_can_be_typed(helped: dict[str, Ended]) -> None:
    """The command is there, and so are its flags; parts of a command have help of their own."""
    commands = [(name, rest) for name, rest in told() if name != "training."]
    assert len(commands) > 40
    for name, rest in commands:
        flags = set(re.findall(r" --?[a-z][\w-]*", rest.partition("#")[0].partition("`")[0]))
        shown = helped[name].said
        parted = "{" in shown.splitlines()[0] and "..." in shown
        assert parted or all(flag in shown for flag in flags), (name, rest)


def test_a_missing_extra_is_one_line() -> None:
    commands = {"training.mouth_export": ["checkpoint.pt", "out"]}
    code, _ = walk(commands, ["torch"])["training.mouth_export"]
    assert code == "training.mouth_export: torch is not installed; run: pip install '.[train]'"


def test_the_line_and_the_code_reach_the_shell() -> None:
    run = [sys.executable, "-m", "training.talk", GONE, "out"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"training.talk: {GONE}: ")
