"""What a worker keeps from twin to twin: the speaker of the mouth, as long as its files are."""

from pathlib import Path

import pytest

from mdth.embedded.speech import flame
from mdth.embedded.speech.speakers import Speakers


def test_the_embedded_speaker_is_loaded_once(checkpoints: Path) -> None:
    speakers = Speakers()
    assert speakers.get("embedded") is speakers.get("embedded")


def test_other_checkpoints_in_the_same_place_are_another_speaker(
    twin_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "vocaset.pth"
    checkpoint.write_bytes(b"one")
    monkeypatch.setattr(flame, "files", lambda kind, common: [checkpoint, tmp_path / "not there"])
    monkeypatch.setattr(flame, "load", lambda kind, common: object())
    speakers = Speakers()
    first = speakers.get("flame")
    assert speakers.get("flame") is first
    checkpoint.write_bytes(b"another")
    assert speakers.get("flame") is not first
