"""The import rule of the design: arrows only point down, stages do not know each other."""

import ast
import subprocess
import sys
from pathlib import Path

import mdth

SOURCE = Path(mdth.__file__).parent
LAYERS = [
    {"errors", "config", "log", "options", "flow", "__init__"},
    {"files", "devices", "restricted_pickle"},
    {"artefacts"},
    {"media", "face"},
    {"flame", "motion", "storage", "mesh_export"},
    {"faceformer", "bfv2v", "embedded"},
    {
        *("seed", "film", "scene", "record", "twins", "pipeline", "closed_loop"),
        *("engines", "doctor", "spoken_mesh", "batch"),
    },
    {"cli", "__main__"},
]
RANK = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
HEAVY = {"numpy", "mediapipe", "onnxruntime", "cv2", "av", "PIL", "obstore", "torch"}


def part_of(path: Path) -> str:
    """`src/mdth/media/audio.py` belongs to the part `media`."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """Parts of mdth that a file imports, at its top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            from_root = module == "mdth"
            names |= {f"mdth.{alias.name}" for alias in node.names} if from_root else {module}
    parts = {name.split(".")[1] for name in names if name.startswith("mdth.")}
    return {part for part in parts if (SOURCE / part).is_dir() or (SOURCE / f"{part}.py").exists()}


def files() -> list[Path]:
    """Every source file but the package's own table of names."""
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


def test_every_part_has_its_layer() -> None:
    assert {part_of(path) for path in files()} <= set(RANK)


def test_arrows_only_point_down() -> None:
    wrong = [
        f"{path.relative_to(SOURCE)} imports mdth.{other}"
        for path in files()
        for part in [part_of(path)]
        for other in imported_parts(path) - {part}
        if RANK[other] > RANK[part]
    ]
    assert not wrong


def test_import_and_help_load_nothing_heavy() -> None:
    code = "import sys, mdth, mdth.cli; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not HEAVY & set(loaded)


def test_public_names() -> None:
    assert mdth.__all__ == [
        "ArtefactError",
        "CheckpointError",
        "DeviceError",
        "InputError",
        "InvalidTwinId",
        "MdthError",
        "MissingDependency",
        "MissingInput",
        "NoFaceFound",
        "Portrait",
        "SpeechTooShort",
        "StorageError",
        "UnreadableMedia",
        "__version__",
        "inference_twin",
        "prepare",
        "preprocess_twin",
        "talk",
    ]
    for name in mdth.__all__:
        assert getattr(mdth, name) is not None
