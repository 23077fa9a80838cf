"""What the source itself never does: load what runs, start a shell, unpack archives."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdth

SOURCE = Path(mdth.__file__).parent
ROOT = SOURCE.parents[1]
PLACES = [SOURCE, ROOT / "scripts", ROOT / "run_guarantee.py"]
FILES = [path for place in PLACES for path in ([place] if place.is_file() else place.rglob("*.py"))]


def calls(text: str) -> Iterator[tuple[str, ast.Call, dict[str, object]]]:
    """Each call, what is called, as it is written, and the constants it is given by name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            given = {each.arg: getattr(each.value, "value", None) for each in node.keywords}
            yield ast.unparse(node.func), node, given


def wrong_in(text: str) -> Iterator[str]:
    """What no rule of the linter's sees."""
    for name, _, given in calls(text):
        if name in ("compile", "__import__") or name.endswith((".extractall", ".extract")):
            yield name
        if given.get("allow_pickle", False) is not False:
            yield f"{name} with pickles"


def test_the_linter_sees_what_runs_what_it_reads(tmp_path: Path) -> None:
    """Its rules are in pyproject.toml; the source breaks none of them, and each of these does."""
    bad = [
        "os.system('ls')", "os.popen('ls')", "subprocess.run('ls', shell=True)", "eval('1')",
        "exec('1')", "pickle.loads(b'')", "pickle._Unpickler", "marshal.loads(b'')",
        "torch.load('a')", "torch.load('a', weights_only=False, pickle_module=pickle)",
        "torch.hub.load('a')", "yaml.load('a', Loader=yaml.Loader)", "yaml.parse('a')",
        "tempfile.mktemp()", "shutil.unpack_archive('a')", "subprocess.getoutput('ls')",
    ]  # fmt: skip
    imports = "import marshal, os, pickle, shutil, subprocess, tempfile, torch, yaml"
    (tmp_path / "bad.py").write_text("\n".join([imports, "import xml.etree", *bad]) + "\n")
    command = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml"]
    command += ["--output-format", "concise", *PLACES, tmp_path]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.findall(r"(?m)^(.*):(\d+):\d+: (?:S\d|TID)", told)
    assert {(Path(path).name, int(number)) for path, number in found} == {
        ("bad.py", number) for number in range(1, len(bad) + 3)
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_that_kind(path: Path) -> None:
    assert not list(wrong_in(path.read_text("utf-8")))


@pytest.mark.parametrize("text", [
    "import numpy as np; np.load('a', allow_pickle=True)", "__import__('os')",
    "import zipfile; zipfile.ZipFile('a').extractall()", "compile('1', 'a', 'eval')",
    "import zipfile\nwith zipfile.ZipFile('a') as archive:\n    archive.extractall()",
])  # fmt: skip
def test_each_of_them_would_be_seen(text: str) -> None:
    assert list(wrong_in(text))


def test_media_and_pictures_are_opened_as_few_kinds_only() -> None:
    readers = set()
    for path in SOURCE.rglob("*.py"):
        for name, call, given in calls(path.read_text("utf-8")):
            if name == "av.open" and "'w'" not in [ast.unparse(each) for each in call.args]:
                readers.add(path.relative_to(SOURCE).as_posix())
            assert not name.endswith("Image.open") or "formats" in given, path
    assert readers == {"media/container.py"}
