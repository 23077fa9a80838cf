"""What the source itself never does: load what runs, start a shell, unpack archives."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mdth

SOURCE = Path(mdth.__file__).parent
ROOT = SOURCE.parents[1]
FILES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "scripts").glob("*.py"), ROOT / "run_guarantee.py"])
# Calls that run what they are given, or write where the archive says.
NEVER = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execvp", "os.execv"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "marshal.loads", "marshal.load"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"),
    *("shutil.unpack_archive", "tempfile.mktemp", "joblib.load", "pandas.read_pickle"),
    *("torch.jit.load", "torch.hub.load", "subprocess.getoutput", "subprocess.getstatusoutput"),
}
NO_IMPORTS = {"dill", "cloudpickle", "joblib", "shelve", "marshal", "xml", "lxml", "telnetlib"}
# Writing made-up pickles for tests and measurements, and the name of an error.
HARMLESS_PICKLE = {"pickle.dumps", "pickle.dump", "pickle.UnpicklingError"}
# What may do more, because its classes are its own.
UNPICKLER = SOURCE / "files/pickle.py"


def name_of(node: ast.AST) -> str:
    """`os.path.join` of such an expression, empty for any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def wrong_in(text: str) -> Iterator[str]:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            modules = (
                {name.split(".")[0] for name in names}
                if isinstance(node, ast.Import)
                else {(node.module or "").split(".")[0]}
            )
            yield from sorted(modules & NO_IMPORTS)
            if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "os", "subprocess"):
                yield from (f"from {node.module} import {name}" for name in names)
        if isinstance(node, ast.Attribute) and name_of(node).startswith("pickle."):
            if name_of(node) not in HARMLESS_PICKLE and not node.attr.isupper():
                yield name_of(node)
        if isinstance(node, ast.Call):
            yield from wrong_call(node)


def wrong_call(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    constants = {key: v.value for key, v in given.items() if isinstance(v, ast.Constant)}
    if name in NEVER or name.endswith((".extractall", ".extract")):
        yield name
    if name == "torch.load" and constants.get("weights_only") is not True:
        if name_of(given.get("pickle_module", ast.Constant(0))) == "TensorsOnly":
            return
        yield "torch.load that would run what it reads"
    if "allow_pickle" in given and constants.get("allow_pickle") is not False:
        yield f"{name} with pickles"
    if "shell" in given and constants.get("shell") is not False:
        yield f"{name} with a shell"
    if name.startswith("yaml.") and name.split(".")[1] in ("parse", "compose", "scan"):
        if name_of(given.get("Loader", ast.Constant(0))) != "yaml.SafeLoader":
            yield name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_that_kind(path: Path) -> None:
    text = path.read_text("utf-8")
    found = set(wrong_in(text))
    if "\nfrom mdth.files import pickle\n" in text and "\nimport pickle" not in text:
        found -= {"pickle.load"}  # which is ours
    if path == UNPICKLER:
        found -= {"pickle.Unpickler", "pickle._Unpickler"}
    assert not found


@pytest.mark.parametrize("text", [
    "import os; os.system('ls')", "import subprocess; subprocess.run('ls', shell=True)",
    "import torch; torch.load('a')", "import torch; torch.load('a', weights_only=False)",
    "import torch; torch.load('a', weights_only=False, pickle_module=pickle)",
    "import numpy as np; np.load('a', allow_pickle=True)", "import pickle; pickle.loads(b'')",
    "import pickle; pickle._Unpickler", "from pickle import loads",
    "import yaml; yaml.load('a', Loader=yaml.Loader)", "import yaml; yaml.parse('a')", "eval('1')",
    "import zipfile; zipfile.ZipFile('a').extractall()",
    "import zipfile\nwith zipfile.ZipFile('a') as archive:\n    archive.extractall()",
    "import xml.etree",
])  # fmt: skip
def test_each_of_them_would_be_seen(text: str) -> None:
    assert list(wrong_in(text))


def calls(name: str, *, below: Path) -> Iterator[tuple[Path, ast.Call]]:
    for path in below.rglob("*.py"):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if name in text else ():
            if isinstance(node, ast.Call) and name_of(node.func).endswith(name):
                yield path, node


def test_files_of_media_are_opened_in_one_place() -> None:
    reading = {
        path.relative_to(SOURCE).as_posix()
        for path, call in calls("av.open", below=SOURCE)
        if not any(isinstance(mode, ast.Constant) and mode.value == "w" for mode in call.args[1:2])
    }
    assert reading == {"media/container.py"}


def test_pictures_are_opened_as_few_kinds_only() -> None:
    for name in ("Image.open", "PillowImage.open"):
        for path, call in calls(name, below=SOURCE):
            if path.name != "sample.py":  # which reads what this project makes
                assert "formats" in {keyword.arg for keyword in call.keywords}, path
