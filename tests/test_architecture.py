"""The design's rules: arrows only point down, no circle, engines are strangers, budgets."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mdth

SOURCE = Path(mdth.__file__).parent
# From the ground up. What stands on one floor does not know each other, but for SIDEWAYS.
FLOORS = [
    {"errors", "config", "log", "__init__"},
    {"guard", "fields"},
    {"options", "devices", "parallel", "pace", "files"},
    {"artefacts", "client"},
    {"engine"},
    {"media", "face", "flame", "record"},
    {"motion", "faceformer", "bfv2v", "speak"},
    {"embedded", "seed", "mesh"},
    {"engines"},
    {"pipeline", "live_session", "spoken_mesh", "doctor", "compare", "storage"},
    {"twins"},
    {"batch", "integrations"},
    {"serve"},
    {"cli"},
    {"__main__"},
]
FLOOR = {part: number for number, floor in enumerate(FLOORS) for part in floor}
# parallel tells the job's stages; a face is found in media; FaceFormer speaks with FLAME's head.
SIDEWAYS = {("face", "media"), ("parallel", "log"), ("files", "log")}
ENGINES = {"embedded", "seed"}
HEAVY = {"numpy", "mediapipe", "onnxruntime", "cv2", "av", "PIL", "obstore", "torch", "starlette"}
LONGEST_FILE, LONGEST_FUNCTION = 300, 50


def part_of(path: Path) -> str:
    """`src/mdth/media/audio.py` belongs to the part `media`."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def module_of(path: Path) -> str:
    """`src/mdth/media/audio.py` is `mdth.media.audio`."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, modules: set[str]) -> set[str]:
    """Modules of mdth that a file imports: at its top, in functions and under TYPE_CHECKING."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names & modules
            # `from mdth import engines` needs the package's own table only for what is no module.
            if module != "mdth" and names - modules:
                found.add(module)
    return {name for name in found if name in modules}


def files() -> list[Path]:
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    modules = {module_of(path) for path in files()}
    return {module_of(path): imports(path, modules) - {module_of(path)} for path in files()}


def part(module: str) -> str:
    return module.split(".")[1]


def test_every_part_has_its_floor() -> None:
    assert {part_of(path) for path in files()} | {"__init__"} == set(FLOOR)


def test_arrows_only_point_down(graph: dict[str, set[str]]) -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in graph.items()
        for other in others
        if part(module) != part(other)
        and FLOOR[part(other)] >= FLOOR[part(module)]
        and (part(module), part(other)) not in SIDEWAYS
    ]
    assert not wrong


def test_no_circle(graph: dict[str, set[str]]) -> None:
    left = {module: set(others) for module, others in graph.items()}
    while free := {module for module, others in left.items() if not others}:
        left = {module: others - free for module, others in left.items() if module not in free}
    assert not left, f"these import each other: {sorted(left)}"


def test_engines_are_strangers_to_each_other_and_to_twins(graph: dict[str, set[str]]) -> None:
    below: dict[str, set[str]] = {}

    def reached(module: str) -> set[str]:
        if module not in below:
            below[module] = set()
            below[module] = set.union(graph[module], *map(reached, graph[module]))
        return below[module]

    for engine in ENGINES:
        mine = [module for module in graph if part(module) == engine]
        known = {part(other) for module in mine for other in reached(module)}
        assert not known & (ENGINES - {engine} | {"twins", "storage", "batch", "engines", "cli"})


def test_only_engines_and_its_tools_name_an_engine(graph: dict[str, set[str]]) -> None:
    """Who imports an engine knows which it is; `engines` finds them by name."""
    knows = {module for module, others in graph.items() if ENGINES & set(map(part, others))}
    assert {part(module) for module in knows} - ENGINES == {"spoken_mesh", "integrations"}


@pytest.mark.parametrize("path", files(), ids=module_of)
def test_sizes(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


def test_import_and_help_load_nothing_heavy() -> None:
    code = "import sys, mdth, mdth.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_public_names() -> None:
    assert dir(mdth) == sorted(mdth.__all__)
    for name in mdth.__all__:
        assert getattr(mdth, name) is not None
    with pytest.raises(AttributeError):
        mdth.nothing_of_the_kind  # noqa: B018
