"""The seed's two commands on the seed's two trees, on a local store and on a real S3 server."""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from mdth import cli
from mdth.errors import MdthError
from mdth.files import assets
from mdth.storage.store import Store
from tests.support.commands import Command, fails

TWIN = "th_test"
# The trees of the seed's README, storage and local, with the files of a sample twin in them. HASH
# stands for the beginning of the content's SHA-256.
RAW = {"audio/2_speech.wav", "image/2_portrait.jpg", "video/2_clip.mp4"}
PREPARED = {
    "manifest.json", "audio/original-HASH.wav", "image/person-HASH.png",
    "image/portrait-HASH.npz", "image/portrait-HASH.png", "video/motion-HASH.npz",
}  # fmt: skip
VIDEO = {"output.json", "output.mp4", "times.json"}
SEED_STORE = {
    *(f"raw/{TWIN}/{name}" for name in RAW),
    *(f"processed/{TWIN}/preprocessed/th/{name}" for name in PREPARED),
    *(f"inference/{TWIN}/th/{name}" for name in VIDEO),
}
SEED_LOCAL = {
    "warping-common/th/checkpoints/face_landmarker.task",
    "warping-common/th/checkpoints/moonshine_tiny_en_encoder.ort",
    "warping-common/th/checkpoints/selfie_segmentation.tflite",
    *(f"warping-data/{TWIN}/{name}" for name in RAW),
    *(f"warping-processed/{TWIN}/processed/th/{name}" for name in PREPARED),
    *(f"warping-serving/{TWIN}/th/{name}" for name in VIDEO),
}
# What `mdth sample` adds to be skipped.
DECOYS = {
    "audio": {".hidden", "0.wav", "1_empty.wav", "10_short.wav"},
    "image": {".hidden", "0.jpg", "1_empty.jpg", "10_mirrored.png"},
    "video": {".hidden", "0.mp4", "1_empty.mp4", "10_clip.mp4"},
}


def guarantee(task: str) -> int:
    return cli.guarantee(f"--model TH --task {task} --twin-id {TWIN} --n-gpus 1".split())


def files_below(folder: Path) -> set[str]:
    return {
        (Path(at) / name).relative_to(folder).as_posix()
        for at, _, names in os.walk(folder, followlinks=True)
        for name in names
    }


def tree(folder: Path) -> set[str]:
    """The files below, prepared ones with HASH where their own content's hash is."""
    found = set()
    for name in files_below(folder):
        if "processed/th/" in name:
            digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()[:12]
            name = name.replace(f"-{digest}.", "-HASH.")
        found.add(name)
    return found


@pytest.fixture(scope="module")
def sample_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        assets.verify()
    except MdthError as error:
        pytest.skip(str(error))
    store = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDTH_STORE", str(store))
        assert cli.main(["sample", TWIN]) == 0
    audio = store / f"raw/{TWIN}/audio"
    shutil.copyfile(audio / "10_short.wav", audio / "2_speech.wav")  # a third of the frames
    return store / "raw"


@pytest.fixture
def filled(twin_home: Path, sample_raw: Path) -> Path:
    shutil.copytree(sample_raw, twin_home / "store/raw")
    return twin_home


def check_manifest(manifest: dict[str, Any]) -> None:
    """The choice rule: the first readable file by natural order of name."""
    for kind, chosen in (
        ("audio", "2_speech.wav"),
        ("image", "2_portrait.jpg"),
        ("video", "2_clip.mp4"),
    ):
        source = manifest["sources"][kind]
        reasons = {skipped["name"]: skipped["reason"] for skipped in source["skipped"]}
        assert source["chosen"]["name"] == chosen
        assert (set(reasons), reasons[".hidden"]) == (DECOYS[kind], "hidden")
        assert {reason for name, reason in reasons.items() if name.startswith("1_")} == {"empty"}
        assert all("not a" in reasons[name] for name in reasons if name.startswith("0."))
        assert all("comes first" in reasons[name] for name in reasons if name.startswith("10"))


@pytest.mark.slow
def test_the_seeds_commands_leave_the_seeds_trees(filled: Path) -> None:
    assert guarantee("preprocess") == 0
    assert guarantee("inference") == 0
    decoys = {f"raw/{TWIN}/{kind}/{name}" for kind, names in DECOYS.items() for name in names}
    assert tree(filled / "store") == SEED_STORE | decoys
    assert tree(filled / "home") >= SEED_LOCAL
    outside_models = {name for name in tree(filled / "home") if "checkpoints" not in name}
    assert outside_models == {name for name in SEED_LOCAL if "checkpoints" not in name}
    prepared = filled / f"store/processed/{TWIN}/preprocessed/th/manifest.json"
    check_manifest(json.loads(prepared.read_text()))
    made = json.loads((filled / f"store/inference/{TWIN}/th/output.json").read_text())
    assert made["synthetic"] is True and made["frames"] == 99
    assert made["inputs"]["audio"]["chosen"]["name"] == "2_speech.wav"
    times = json.loads((filled / f"store/inference/{TWIN}/th/times.json").read_text())
    assert times["seconds"]["total"] > 0
    assert "seconds" not in made


@pytest.mark.slow
def test_the_same_on_s3(
    twin_home: Path, sample_raw: Path, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDTH_STORE", s3_url)
    store = Store(s3_url)
    for name in files_below(sample_raw):
        store.upload(sample_raw / name, f"raw/{name}")
    assert guarantee("preprocess") == 0
    # Another machine, with nothing but the store, goes on.
    shutil.rmtree(twin_home / "home/warping-processed")
    assert guarantee("inference") == 0
    assert tree(twin_home / "home") >= SEED_LOCAL
    tops = ("raw", "processed", "inference")
    stored = {f"{top}/{path}" for top in tops for path in store.below(top)}
    assert {re.sub(r"-[0-9a-f]{12}\.", "-HASH.", name) for name in stored} >= SEED_STORE
    assert len(stored) == len(SEED_STORE) + sum(len(names) for names in DECOYS.values())
    check_manifest(store.find_json(f"processed/{TWIN}/preprocessed/th/manifest.json"))


def test_a_twin_of_one_clip(filled: Path, mdth: Command) -> None:
    for kind in ("audio", "image"):
        shutil.rmtree(filled / f"store/raw/{TWIN}/{kind}")
    assert mdth("preprocess", TWIN).code == 0
    assert mdth("inference", TWIN, "--preview").code == 0
    made = json.loads((filled / f"home/warping-serving/{TWIN}/th/output.json").read_text())
    assert (made["frames"], made["width"], made["height"]) == (30, 512, 600)


def test_a_twin_without_a_face_or_a_sound(filled: Path, mdth: Command) -> None:
    shutil.rmtree(filled / f"store/raw/{TWIN}/video")
    for name in ("2_portrait.jpg", "10_mirrored.png"):
        (filled / f"store/raw/{TWIN}/image" / name).unlink()
    fails(mdth("preprocess", TWIN), "no face", "not a picture")
    assert not (filled / "store/processed").exists()
