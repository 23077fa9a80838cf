"""`mdth mesh`, and a talking video whose mouth the seed moves."""

from pathlib import Path

import pytest
from mesh_preview import read_glb

from tests.support.commands import Command


def test_mesh(mdth: Command, short_path: Path, twin_home: Path) -> None:
    out = twin_home / "anim.glb"
    ended = mdth("mesh", short_path, "-o", out, "--fps", 20)
    assert ended.code == 0, ended.err
    assert ended.out == f"{out}\n"
    assert read_glb(out).offsets.shape == (66, 478, 3)


@pytest.mark.parametrize(("arguments", "words"), [
    (["-o", "anim.fbx"], "ends in .glb"), (["-o", "none/anim.glb"], "no such folder"),
    (["-o", "anim.glb", "--fps", "1000"], "fps 1000"),
    (["-o", "anim.glb", "--engine-mesh", "flame"], "generic_model.pkl"),
    (["-o", "anim.glb", "--engine-mesh", "biwi"], "biwi_templates.pkl"),
])  # fmt: skip
def test_refused(
    mdth: Command,
    short_path: Path,
    twin_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    if "--engine-mesh" in arguments:
        pytest.importorskip("torch")
    monkeypatch.chdir(twin_home)
    ended = mdth("mesh", short_path, *arguments)
    assert ended.code == 1 and words in ended.err and len(ended.err.splitlines()) == 1
    assert not list(twin_home.glob("*anim*"))


def test_talk_without_the_seeds_files(
    mdth: Command, portrait_path: Path, short_path: Path, twin_home: Path
) -> None:
    pytest.importorskip("torch")
    arguments = ("-o", twin_home / "a.mp4", "--engine-mesh", "flame", "--max-size", 256)
    ended = mdth("talk", portrait_path, short_path, *arguments)
    assert ended.code == 1 and "generic_model.pkl" in ended.err
    assert not (twin_home / "a.mp4").exists()
