"""Published state dicts load; anything else says what is wrong with it."""

import importlib
import importlib.util
import json
import pickle
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the seed's network needs torch (extra seed)")

from mdth.errors import CheckpointError, InputError, MissingDependency  # noqa: E402
from mdth.faceformer import export  # noqa: E402
from mdth.faceformer.config import BIWI, DATASETS, VOCASET, Config  # noqa: E402
from mdth.faceformer.network import RECOMPUTED, Network, load_network, positions  # noqa: E402  # noqa: E402
from mdth.faceformer.predictor import FaceFormer  # noqa: E402
from tests.support.bomb import Bomb  # noqa: E402
from tests.support.raising import raises  # noqa: E402

KEYS = Path(__file__).parents[1] / "data"


def published(dataset: str) -> dict[str, tuple[int, ...]]:
    lines = (KEYS / f"faceformer_{dataset}_keys.tsv").read_text().splitlines()
    pairs = (line.split("\t") for line in lines)
    return {name: tuple(map(int, shape.split("x"))) for name, shape in pairs}


@pytest.mark.parametrize("dataset", ["vocaset", "biwi"])
def test_names_and_shapes_of_the_published_files(dataset: str) -> None:
    with torch.device("meta"):
        state = Network(DATASETS[dataset]).state_dict()
    expected = published(dataset)
    table = expected.pop(RECOMPUTED)
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == expected
    period, width = DATASETS[dataset].period, DATASETS[dataset].width
    assert positions(period, width).shape == (period, table[2])
    assert table[1] % period == 0


def test_full_size_file_loads(tmp_path) -> None:
    # expand() keeps the file small: one number stands for each tensor.
    state = {name: torch.zeros(1).expand(shape) for name, shape in published("vocaset").items()}
    torch.save(OrderedDict(state), tmp_path / "vocaset.pth")
    model = FaceFormer.load(tmp_path / "vocaset.pth", dataset="vocaset")
    assert (model.config.vertices, model.config.subjects, model.fps) == (5023, 8, 30)
    with pytest.raises(CheckpointError, match="not a FaceFormer checkpoint for biwi: .*of other"):
        load_network(tmp_path / "vocaset.pth", BIWI)


def test_todays_names_of_the_weight_norm(vocaset_reference, tmp_path) -> None:
    prefix = "audio_encoder.encoder.pos_conv_embed.conv."
    weights = dict(vocaset_reference.weights)
    weights[f"{prefix}parametrizations.weight.original0"] = weights.pop(f"{prefix}weight_g")
    weights[f"{prefix}parametrizations.weight.original1"] = weights.pop(f"{prefix}weight_v")
    torch.save(weights, tmp_path / "today.pth")
    loaded = load_network(tmp_path / "today.pth", vocaset_reference.config).state_dict()
    assert torch.equal(loaded[f"{prefix}weight_v"], vocaset_reference.weights[f"{prefix}weight_v"])


def test_the_table_of_positions_is_ignored(vocaset_reference, tmp_path) -> None:
    table = torch.full((1, 630, 64), torch.nan)
    path = vocaset_reference.save(tmp_path / "a.pth", **{RECOMPUTED: table})
    assert RECOMPUTED not in load_network(path, vocaset_reference.config).state_dict()


def test_partial_foreign_and_misshapen_files_are_named(vocaset_reference, tmp_path) -> None:
    path, config = tmp_path / "a.pth", vocaset_reference.config
    weights = dict(vocaset_reference.weights)
    del weights["vertice_map.bias"], weights["audio_feature_map.weight"]
    weights["extra.weight"] = torch.zeros(2)
    weights["vertice_map.weight"] = torch.zeros(64, 3)
    torch.save(weights, path)
    with pytest.raises(CheckpointError) as caught:
        load_network(path, config)
    message = str(caught.value)
    assert str(path) in message
    assert "2 missing (audio_feature_map.weight, vertice_map.bias)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "vertice_map.weight is 64x3, not 64x45" in message


@pytest.mark.parametrize("kind", ["zipped", "old", "pickle"])
def test_nothing_in_a_file_is_executed(kind: str, tmp_path) -> None:
    bomb, path = tmp_path / "exploded", tmp_path / "a.pth"
    content, zipped = {"weight": Bomb(Path.touch, bomb)}, kind == "zipped"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    raises(CheckpointError, "no readable state dict", load_network, path, VOCASET)
    assert not bomb.exists()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated_file(share: float, vocaset_reference, tmp_path) -> None:
    path = vocaset_reference.save(tmp_path / "a.pth")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"a\.pth: no readable state dict"):
        load_network(path, vocaset_reference.config)


@pytest.mark.parametrize(
    "content", [b"no checkpoint", b"\x80\x02.", b"PK\x03\x04", b"\x00" * 99, bytes(range(256)) * 9]
)
def test_other_kinds_of_files(content: bytes, tmp_path) -> None:
    (tmp_path / "a.pth").write_bytes(content)
    raises(CheckpointError, None, load_network, tmp_path / "a.pth", VOCASET)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {1: torch.zeros(1)}])
def test_no_state_dict(content: object, tmp_path) -> None:
    torch.save(content, tmp_path / "a.pth")
    raises(CheckpointError, "not a state dict", load_network, tmp_path / "a.pth", VOCASET)


def test_missing_file_and_folder(tmp_path) -> None:
    raises(CheckpointError, "no such file", load_network, tmp_path / "nothing.pth", VOCASET)
    raises(CheckpointError, None, load_network, tmp_path, VOCASET)


def test_unknown_data_set(tmp_path) -> None:
    raises(InputError, "vocaset, biwi", FaceFormer.load, tmp_path / "a.pth", dataset="meshtalk")


def test_without_torch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    raises(MissingDependency, r"mdth\[seed\]", importlib.reload, export)


@pytest.mark.parametrize("changed", [
    {"width": 0}, {"width": 10**9}, {"width": "64"}, {"width": True}, {"fps": -1}, {"dataset": 7},
    {"more": 1}, {"names": 5}, {"encoder": {"num_hidden_layers": 16_384}},
    {"encoder": {"conv_dim": [512] * 17}}, {"encoder": {"conv_dim": [512, -1]}}, {"encoder": None},
], ids=str)  # fmt: skip
def test_sizes_that_no_network_has(tmp_path, changed) -> None:
    VOCASET.save(tmp_path / "a.json")
    assert Config.load(tmp_path / "a.json") == VOCASET
    sizes = json.loads((tmp_path / "a.json").read_text())
    inner = changed.get("encoder")
    sizes |= {"encoder": sizes["encoder"] | inner} if isinstance(inner, dict) else changed
    (tmp_path / "a.json").write_text(json.dumps(sizes))
    raises(CheckpointError, "not a network's sizes", Config.load, tmp_path / "a.json")


def test_sizes_that_do_not_fit_each_other(tmp_path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    odd = replace(VOCASET, encoder=replace(VOCASET.encoder, num_attention_heads=7))
    raises(CheckpointError, None, load_network, tmp_path / "a.pth", odd)
