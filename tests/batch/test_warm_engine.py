"""What a worker keeps from twin to twin: the engine of the speech, as long as its files are."""

from pathlib import Path

import pytest

from mdth import film
from mdth.options import Options


def test_the_embedded_engine_is_loaded_once(checkpoints: Path) -> None:
    assert film.take_engine(Options(fps=30)) is film.take_engine(Options(fps=25, still=True))


def test_other_checkpoints_in_the_same_place_are_another_engine(
    twin_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "vocaset.pth"
    checkpoint.write_bytes(b"one")
    monkeypatch.setattr(film, "flame_files", lambda common: [checkpoint, tmp_path / "not there"])
    monkeypatch.setattr("mdth.embedded.speech.flame.load", lambda engine, common: object())
    chosen = Options(engine_mesh="flame")
    first = film.take_engine(chosen)
    assert film.take_engine(chosen) is first
    checkpoint.write_bytes(b"another")
    assert film.take_engine(chosen) is not first
