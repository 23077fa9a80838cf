"""The shipped decoder: loaded whole or not at all."""

import json
import shutil
from pathlib import Path

import pytest

from mdth.embedded.speech.decoder import Decoder
from mdth.errors import CheckpointError
from mdth.files import networks


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    for suffix in ("onnx", "json"):
        shutil.copy(networks.WEIGHTS / f"faceformer.{suffix}", tmp_path)
    return tmp_path


def test_the_shipped_one_loads(weights: Path) -> None:
    decoder = Decoder(weights)
    assert (decoder.basis.shape[1:], decoder.scheme.frames) == ((478, 3), 40)


def test_one_changed_byte_is_an_error(weights: Path) -> None:
    file = weights / "faceformer.onnx"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="install mdth again"):
        Decoder(weights)


def test_a_foreign_card_is_an_error(weights: Path) -> None:
    file = weights / "faceformer.json"
    card = json.loads(file.read_text("utf-8"))
    card["config"]["window_scheme"] = {"past": 3}
    file.write_text(json.dumps(card), "utf-8")
    with pytest.raises(CheckpointError, match="model card"):
        Decoder(weights)


def test_the_card_names_data_and_licence(weights: Path) -> None:
    card = json.loads((weights / "faceformer.json").read_text("utf-8"))
    licences = {entry["name"].split()[1]: entry["licence"] for entry in card["data"]}
    assert licences["GRID"] == "CC BY 4.0" and len(licences) == 4 and all(licences.values())
    assert (weights / "faceformer.onnx").stat().st_size == card["bytes"] < 3_000_000
