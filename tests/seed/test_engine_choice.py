"""Which engine is taken, and why; what `mdth doctor` says about it."""

import importlib.util
import logging
from pathlib import Path
from typing import Any

import pytest

from mdth import engines
from mdth.errors import ArtefactError, CheckpointError, InputError, MissingDependency
from mdth.files.json import Json
from mdth.options import Options
from mdth.seed import files as seed_files
from mdth.seed.files import SeedFiles
from mdth.twins.output import with_settings
from tests.support.commands import Command


def test_auto_takes_the_seeds_engine(seed_home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mdth"):
        assert engines.choose(Options()).name == "seed"
    assert "engine: seed, as all that it needs is here" in caplog.text
    assert engines.choose(Options.of(engine="embedded")).name == "embedded"


@pytest.mark.parametrize("gone", ["generator", "eye_pca", "generator_config", "headpose_config"])
def test_auto_takes_the_embedded_engine_where_one_is_missing(
    gone: str, seed_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = seed_files.seed_files()
    missing: Path = getattr(files, gone)
    missing.unlink()
    with caplog.at_level(logging.INFO, logger="mdth"):
        assert engines.choose(Options()).name == "embedded"
    assert "engine: embedded, not seed: 1 of 15 files are missing" in caplog.text
    with pytest.raises(CheckpointError, match=missing.name.replace(".", r"\.")):
        engines.choose(Options.of(engine="seed"))


def test_every_missing_file_is_named(twin_home: Path) -> None:
    with pytest.raises(CheckpointError) as raised:
        engines.choose(Options.of(engine="seed"))
    needed = seed_files.seed_files().needs()
    assert len(needed) == 15
    assert all(str(need.path) in str(raised.value) for need in needed)


def test_a_missing_package_names_the_extra(
    seed_home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(seed_files, "find_spec", lambda name: find(name) if name != "eos" else None)
    with pytest.raises(MissingDependency, match=r"eos-py.*mdth\[seed\]"):
        engines.choose(Options.of(engine="seed"))
    assert engines.choose(Options()).name == "embedded"
    assert "eos-py" in caplog.text


def test_an_engine_that_does_not_exist() -> None:
    with pytest.raises(InputError, match="auto, embedded, seed"):
        engines.choose(Options.of(engine="other"))


def test_each_network_has_the_yaml_of_its_name(made_files: SeedFiles) -> None:
    from mdth.bfv2v.export import load_generator, load_headpose

    names = {path.name for path in made_files.generator_config.parent.iterdir()}
    assert names == {f"vox-256-renderer_v16{version}.yaml" for version in ("", ".6", ".7")}
    assert made_files.generator_config.name == "vox-256-renderer_v16.7.yaml"
    load_generator(made_files.generator, made_files.generator_config)
    load_headpose(made_files.headpose, made_files.headpose_config)


def sealed(**settings: Any) -> Json:
    return {"twin": "t", "settings": {"face": None, "max_size": 1280, **settings}}


def test_a_twin_is_filmed_by_the_engine_it_was_prepared_for(seed_home: Path) -> None:
    prepared = sealed(engine="seed", landmarks="mesh")
    assert with_settings(prepared, {"engine": "auto"}).engine.engine == "seed"
    assert with_settings(sealed(), {"engine": "auto"}).engine.engine == "embedded"
    with pytest.raises(ArtefactError, match="mdth preprocess t --engine embedded"):
        with_settings(prepared, {"engine": "embedded"})


def test_the_doctor_lists_the_missing(
    mdth: Command, seed_home: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = mdth("doctor")
    assert healthy.code == 0
    assert "  seed: ready" in healthy.out and "  auto: takes seed" in healthy.out
    assert healthy.out.count("found, its hash is right") == 5, "three files, two read by both"
    assert "face_landmarker.task" in healthy.out and "  landmarks: " in healthy.out
    files = seed_files.seed_files()
    files.generator.unlink()
    (files.common / "checkpoints/selfie_segmentation.tflite").unlink()
    monkeypatch.setenv("MDTH_MODELS", str(seed_home / "models"))
    ill = mdth("doctor")
    assert ill.code == 0
    assert "00002099-checkpoint.pth.tar: " in ill.out
    assert "  seed: needs checkpoints/bfv2v/v16.7/" in ill.out
    assert "  auto: takes embedded" in ill.out and "  embedded: ready" in ill.out
    assert "selfie_segmentation.tflite: to be fetched on first use, 0.2 MB" in ill.out
