"""run_guarantee.py with the seed's engine, its checkpoints random and small."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from made_media import click_offsets_s

from mdth import cli, devices, doctor, engines, record
from mdth.media.audio import read_blocks
from mdth.options import Options
from mdth.seed import engine, files
from mdth.seed.artefacts import SeedAvatar
from mdth.seed.engine import Seed

TWIN = "seed_twin"
CLICKS_S = [0.05, 0.35]
SPEAKING = {
    "generic_model.pkl", "flame_static_embedding.pkl", "FaceTalk_170725_00137_TA.ply",
    "params.npy", "vocaset.pth", "00002099-checkpoint.pth.tar", "vox-256-renderer_v16.7.yaml",
}  # fmt: skip
IMAGE = {"portrait.png", "portrait.npz", "person.png", "seed.png", "seed_still.npz"}
PREPARED_BY = {"headpose.tar", "vox-256-renderer_v16.yaml", "sfm_shape_3448.bin"}


def guarantee(task: str) -> int:
    return cli.guarantee(f"--model TH --task {task} --twin-id {TWIN} --n-gpus 1".split())


def test_both_commands(seed_twin: Callable[[str], Path], capfd: Any, monkeypatch: Any) -> None:
    home = seed_twin(TWIN)
    assert guarantee("preprocess") == 0
    assert "engine: seed" in capfd.readouterr().err
    prepared = home / f"home/warping-processed/{TWIN}/processed/th"
    manifest = json.loads((prepared / "manifest.json").read_text())
    check_manifest(manifest)
    check_clip(np.load(prepared / manifest["files"]["video/seed_clip.npz"]["path"]))
    assert guarantee("preprocess") == 0
    assert "nothing to do" in capfd.readouterr().err

    take_away_what_prepared(home, monkeypatch)
    assert guarantee("inference") == 0
    assert "embedded one is made for it" in capfd.readouterr().err, "a CPU is warned of"
    serving = home / f"home/warping-serving/{TWIN}/th"
    made = json.loads((serving / "output.json").read_text())
    assert (made["frames"], made["width"], made["height"]) == (15, 256, 256)
    assert made["settings"]["engine"] == "seed"
    assert set(made["models"]) == SPEAKING | {"eye_pca.pt"}
    check_video(serving / "output.mp4")


def test_doctor_reads_the_files_and_says_which_is_wrong(
    seed_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "\n".join(doctor.report())
    assert said.count(": read, of the right shape") == 5 and "what is in them, for seed" in said
    monkeypatch.setattr(devices, "torch_devices", lambda wanted: [devices.CPU])
    assert list(doctor.warm()) == ["seed: no GPU that torch can use: nothing to compile"]
    own = files.seed_files()
    own.eye_pca = tmp_path / "eye_pca.pt"
    monkeypatch.setattr(engine, "seed_files", lambda: own)
    wrong = {name: words for name, words in Seed().checks() if words != engine.RIGHT}
    assert list(wrong) == ["eye_pca.pt"] and "no PCA of eye motion" in wrong["eye_pca.pt"]


def take_away_what_prepared(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever films may have none of it: the embedded engine's models, eos, the head's pose."""
    checkpoints = home / "home/warping-common/th/checkpoints"
    for path in [*checkpoints.glob("*.t*"), *checkpoints.glob("landmark/*")]:
        path.unlink()
    for name in ("headpose.tar", "config/vox-256-renderer_v16.yaml"):
        (checkpoints / "bfv2v" / name).unlink()
    monkeypatch.setenv("MDTH_MODELS", str(home / "none"))
    find = importlib.util.find_spec
    monkeypatch.setattr(files, "find_spec", lambda name: find(name) if name != "eos" else None)


def test_the_record_names_what_was_used(seed_home: Path) -> None:
    seed, given = Seed(), {"portrait": None, "still": None}
    still_avatar, moving = (SeedAvatar(**given, clip=clip) for clip in (None, ...))  # type: ignore

    def named(avatar: SeedAvatar, **choices: Any) -> set[str]:
        return set(record.models(seed, Options.of(**choices), *engines.stages_of(avatar)))

    assert named(still_avatar) == SPEAKING | {"motion.npz"}
    assert named(moving) == SPEAKING | {"eye_pca.pt"}
    assert named(moving, still=True) == named(still_avatar, still=True) == SPEAKING


def check_manifest(manifest: dict[str, Any]) -> None:
    """The engine, the networks that prepared, and who read the landmarks."""
    names = {name.removeprefix("image/") for name in manifest["files"] if name.startswith("image")}
    assert names == IMAGE
    assert {n for n in manifest["files"] if n.startswith("video")} == {"video/seed_clip.npz"}
    assert manifest["settings"]["engine"] == "seed"
    assert manifest["settings"]["landmarks"] == "mesh"
    assert {"torch", "eos-py"} <= set(manifest["versions"])
    assert {*PREPARED_BY, "face_landmarker.task"} <= set(manifest["models"])
    assert not SPEAKING & set(manifest["models"])


def check_clip(clip: Any) -> None:
    """30 a second for 25, the hidden frames in their places and filled in between."""
    assert clip["landmarks"].shape == (24, 68, 3)
    hidden = np.flatnonzero(~clip["found"])
    # Frames 8 to 10 of 25 a second are seen from 0.30 to 0.42 s.
    assert hidden.tolist() == [9, 10, 11, 12]
    places = (clip["screen"] @ clip["modelview"])[:, 0, 3]
    assert places[hidden[0] - 1] < places[hidden].mean() < places[hidden[-1] + 1]


def check_video(path: Path) -> None:
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert float(video.average_rate) == 30
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video)]
        starts = [float((s.start_time or 0) * s.time_base) for s in (video, sound)]
    assert len(frames) == 15
    assert max(map(abs, starts)) < 1 / 30
    heard = np.concatenate(list(read_blocks(path)))
    assert max(map(abs, click_offsets_s(heard, CLICKS_S, rate_hz=16_000))) < 0.02
    moved = np.abs(np.diff(np.float32(frames), axis=0)).mean(axis=(1, 2, 3))
    # Measured: 4.4 to 9.6. A frame shown 15 times comes back with at most 0.025 of coding noise.
    assert moved.min() > 0.3, "the generator is driven, in every frame"
