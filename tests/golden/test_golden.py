"""The frames of both engines and a mesh of each, held against those that were made before.

`golden.npz` has small pictures of the frames, which any machine must come within a few levels of,
and hashes of the frames, which hold where processor, libraries and threads are those that made
them. A change that is meant to change frames writes both anew:
`MDTH_GOLDEN=write OMP_NUM_THREADS=1 pytest tests/golden`.
"""

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import mdth
from seed_home import moving_clip, seed_common, seed_home  # noqa: F401 (fixtures)

GOLDEN = Path(__file__).with_name("golden.npz")
WRITE = os.environ.get("MDTH_GOLDEN") == "write"
FRAMES, FPS = 30, 30
SMALL = 24
# Of the small pictures' levels and of metres: what other processors' rounding may change.
LEVELS, METRES = 3.0, 2e-5
# In how many threads libraries sum, as the run began; tests set the variable for their children.
THREADS = os.environ.get("OMP_NUM_THREADS", "all")
VERSIONS = ("av", "mediapipe", "numpy", "onnxruntime", "opencv-contrib-python", "pillow")
CHOICES: dict[str, dict[str, Any]] = {
    "generated": {"random_seed": 3},
    "clip": {"random_seed": 3},
    "still": {"still": True},
    "amounts": {"mouth": 1.4, "motion": 1.7, "blink": 2.0, "random_seed": 7},
}


def machine() -> str:
    """What frames' last bits may depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else [platform.processor()]
    model = next((line for line in lines if line.startswith("model name")), lines[0])
    libraries = [f"{name} {version(name)}" for name in VERSIONS]
    return "; ".join([model.partition(":")[2].strip(), *libraries, f"{THREADS} threads"])


def small(frames: np.ndarray) -> np.ndarray:
    """[T,SMALL,SMALL,3] float32, means over blocks."""
    size = (SMALL, SMALL)
    return np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])


def check(name: str, made: np.ndarray, *, kept: np.ndarray, within: float) -> None:
    """Hold `made` against what is stored under a name, or store it; kept: its short form."""
    digest = hashlib.sha256(np.ascontiguousarray(made).tobytes()).hexdigest()
    stored = dict(np.load(GOLDEN)) if GOLDEN.exists() else {}
    hashes = json.loads(str(stored.pop("hashes", "{}")))
    if WRITE:
        hashes[name] = {"sha256": digest, "machine": machine()}
        np.savez_compressed(GOLDEN, hashes=json.dumps(hashes), **{**stored, name: kept})
        return
    assert kept.shape == stored[name].shape
    assert np.abs(kept.astype(np.float64) - stored[name]).max() <= within
    if hashes[name]["machine"] == machine():
        assert digest == hashes[name]["sha256"], "not bit for bit what it was on this machine"


def film(folder: Path, portrait: Path, speech: Path, **choices: Any) -> np.ndarray:
    """The first second, [30,H,W,3]."""
    raw, shape = folder / "frames.rgb", cv2.imread(str(portrait)).shape
    with raw.open("wb") as file:
        made = mdth.talk(portrait, speech, file, fps=FPS, preview=True, **choices)
    assert made["frames"] == FRAMES
    height, width = made["height"], made["width"]
    assert choices.get("engine") == "seed" or (height, width) == shape[:2]
    return np.fromfile(raw, np.uint8).reshape(FRAMES, height, width, 3)


@pytest.fixture(params=["hopper", "astronaut"])
def demo_portrait(request: Any, portrait_path: Path, tmp_path: Path) -> Path:
    """The two demo portraits: mouth shut, and a smile that shows teeth."""
    if request.param == "hopper":
        return portrait_path
    data = pytest.importorskip("skimage").data
    path = tmp_path / "astronaut.png"
    cv2.imwrite(str(path), cv2.cvtColor(data.astronaut()[:400, 60:400], cv2.COLOR_RGB2BGR))
    return path


@pytest.mark.parametrize("way", CHOICES)
def test_embedded(
    way: str,
    demo_portrait: Path,
    short_path: Path,
    moving_clip: Path,  # noqa: F811
    twin_home: Path,
) -> None:
    video = moving_clip if way == "clip" else None
    frames = film(twin_home, demo_portrait, short_path, video=video, **CHOICES[way])
    name = f"embedded_{demo_portrait.stem.removeprefix('grace_')}_{way}"
    check(name, frames, kept=small(frames), within=LEVELS)


@pytest.mark.parametrize("paste", [False, True])
@pytest.mark.parametrize("way", ["generated", "clip"])
def test_seed(
    way: str,
    paste: bool,
    seed_home: Path,  # noqa: F811
    portrait_path: Path,
    short_path: Path,
    moving_clip: Path,  # noqa: F811
) -> None:
    video = moving_clip if way == "clip" else None
    chosen = {"engine": "seed", "paste": paste, **CHOICES[way]}
    frames = film(seed_home, portrait_path, short_path, video=video, **chosen)
    check(f"seed_{way}_{'pasted' * paste}", frames, kept=small(frames), within=LEVELS)


def mesh(run: Callable[..., Any], folder: Path, speech: Path, *more: object) -> np.ndarray:
    """The vertices of an exported mesh whose head rests, the first second."""
    target = folder / "face.npz"
    assert run("mesh", speech, "-o", target, "--still", *more).code == 0
    return np.load(target)["vertices"][:FRAMES]


def test_embedded_mesh(
    mdth: Callable[..., Any], portrait_path: Path, short_path: Path, twin_home: Path
) -> None:
    for name, more in {"canonical": (), "own": ("--portrait", portrait_path)}.items():
        vertices = mesh(mdth, twin_home, short_path, *more)
        check(f"mesh_{name}", vertices, kept=vertices[:, ::9], within=METRES)


def test_seed_mesh(
    mdth: Callable[..., Any],
    seed_home: Path,  # noqa: F811
    short_path: Path,
) -> None:
    vertices = mesh(mdth, seed_home, short_path, "--engine-mesh", "flame")
    check("mesh_flame", vertices, kept=vertices[:, ::9], within=METRES)


def test_the_check_sees_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if WRITE:
        pytest.skip("nothing is written here")
    copy = tmp_path / "golden.npz"
    shutil.copyfile(GOLDEN, copy)
    monkeypatch.setattr(f"{__name__}.GOLDEN", copy)
    kept = dict(np.load(GOLDEN))["mesh_canonical"]
    with pytest.raises(AssertionError):
        check("mesh_canonical", kept, kept=kept + 2 * METRES, within=METRES)
