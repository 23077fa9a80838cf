"""What the loading of the seed's files refuses, and in what words."""

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from generator_reference import Reference  # noqa: E402

from mdth.bfv2v.checkpoint import load_generator, load_headpose  # noqa: E402
from mdth.bfv2v.config import read_generator  # noqa: E402
from mdth.errors import CheckpointError  # noqa: E402
from tests.support.raising import raises  # noqa: E402


def saved(folder: Path, content: object) -> Path:
    path = folder / "changed.pth.tar"
    torch.save(content, path)
    return path


def test_small_stand_ins_load(small_files: list[Path]) -> None:
    checkpoint, headpose, config, pca, posed = small_files
    assert load_generator(checkpoint, config).config == read_generator(config)
    assert not any(p.requires_grad for p in load_headpose(headpose, posed).parameters())
    raises(CheckpointError, "not the generator that", load_generator, checkpoint, posed)
    raises(CheckpointError, "not the head-pose network that", load_headpose, headpose, config)
    U, S, V = torch.load(pca, weights_only=True)
    assert V.shape[0] == 72 and V.shape[1] == len(S) == U.shape[1]


def test_what_the_owners_files_may_differ_in(
    reference: Reference, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """More tensors, names of several GPUs, no counters: the same network, and a warning."""
    checkpoint, config = reference.write(tmp_path)
    known = load_generator(checkpoint, config).state_dict()
    assert not caplog.text
    counters = [name for name in reference.weights if name.endswith("num_batches_tracked")]
    fewer = {name: w for name, w in reference.weights.items() if name not in counters}
    more = {f"module.{name}": w for name, w in fewer.items()}
    more |= {f"module.head.{name}": torch.full((2,), torch.nan) for name in "ab"}
    found = load_generator(saved(tmp_path, {"generator": more}), config).state_dict()
    assert counters and found.keys() == known.keys()
    assert all(torch.equal(found[name], known[name]) for name in fewer)
    assert not any(found[name] for name in counters)
    assert "changed.pth.tar: tensors left out: 2 (head.a, head.b)" in caplog.text


def test_half_precision_files_are_read_as_float32(reference: Reference, tmp_path: Path) -> None:
    _, config = reference.write(tmp_path)
    halves = {n: w.half() if w.is_floating_point() else w for n, w in reference.weights.items()}
    network = load_generator(saved(tmp_path, {"generator": halves}), config)
    assert all(w.dtype == torch.float32 for w in network.parameters())


def test_numbers_that_no_network_has_are_refused(reference: Reference, tmp_path: Path) -> None:
    _, config = reference.write(tmp_path)
    counter = next(n for n, w in reference.weights.items() if not w.is_floating_point())
    weight = next(n for n, w in reference.weights.items() if w.numel() > 1)
    odd = reference.weights[weight].clone()
    for number in (float("nan"), float("-inf")):
        odd.view(-1)[-1] = number
        changes = {weight: odd}, {weight: odd.double()}
        for change in (*changes, {counter: torch.tensor(1j)}, {weight: odd.cfloat()}):
            path = saved(tmp_path, {"generator": reference.weights | change})
            raises(CheckpointError, "numbers that no network has", load_generator, path, config)


def test_partial_foreign_and_misshapen_weights(reference: Reference, tmp_path: Path) -> None:
    _, config = reference.write(tmp_path)
    names = list(reference.weights)
    partial = {name: reference.weights[name] for name in names[7:]}
    with pytest.raises(CheckpointError, match=r"6 missing \(dense_motion.*, \.\.\.\)"):
        load_generator(saved(tmp_path, {"generator": partial}), config)
    foreign = {f"other.{name}": w for name, w in reference.weights.items()}
    with pytest.raises(CheckpointError, match=r"missing .*; \d+ unexpected \(.*other\."):
        load_generator(saved(tmp_path, {"generator": foreign}), config)
    shorter = reference.weights | {"fourth.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match="1 of other shape .fourth.bias is 3, not 16"):
        load_generator(saved(tmp_path, {"generator": shorter}), config)


def test_another_entry(reference: Reference, tmp_path: Path) -> None:
    _, config = reference.write(tmp_path)
    with pytest.raises(CheckpointError, match="no entry 'generator'"):
        load_generator(saved(tmp_path, {"discriminator": reference.weights}), config)
    with pytest.raises(CheckpointError, match="no entry 'he_estimator'"):
        load_headpose(saved(tmp_path, [1, 2]), config)


@pytest.fixture
def tree(small_files: list[Path]) -> dict[str, Any]:
    return json.loads(small_files[2].read_text())


def refused(tree: object, folder: Path, reason: str) -> None:
    path = folder / "changed.yaml"
    path.write_text(tree if isinstance(tree, str) else json.dumps(tree))
    raises(CheckpointError, reason, read_generator, path)


@pytest.mark.parametrize(
    ("part", "name", "value", "reason"),
    [
        ("common_params", "sections", None, "sections is missing"),
        ("common_params", "sections", [[[68], 1]], "is not .landmarks 0..67"),
        ("common_params", "sections", [[[1, 2], 0]], "is not .landmarks"),
        ("common_params", "num_kp", 17, "num_kp is not the sum"),
        ("common_params", "feature_channel", 7, "feature_channel is not"),
        ("common_params", "estimate_jacobian", True, "estimate_jacobian True"),
        ("generator_params", "block_expansion", "64", "block_expansion is '64'"),
        ("generator_params", "max_features", True, "max_features is 'True'"),
        ("generator_params", "reshape_depth", 1 << 20, "not a whole number from 1"),
        ("generator_params", "num_resblocks", 65, "not a whole number from 1 to 64"),
        ("generator_params", "reshape_depth", 3, "two different values"),
        ("generator_params", "dense_motion_params", [1], "is no mapping"),
        ("generator_params", "num_down_blocks", 9, "no multiple"),
    ],
)
def test_wrong_values_are_named(
    tree: dict[str, Any], tmp_path: Path, part: str, name: str, value: object, reason: str
) -> None:
    tree["model_params"][part][name] = value
    refused(tree, tmp_path, reason)


def test_files_that_are_no_configuration(tmp_path: Path) -> None:
    refused("[1, 2]", tmp_path, "no model_params")
    refused("a: [1", tmp_path, "cannot be read as YAML")
    refused("model_params: !!python/object/apply:os.getcwd []", tmp_path, "cannot be read")
    refused("x: " + "[" * 2000 + "]" * 2000, tmp_path, "recursion")
    raises(CheckpointError, "no such file", read_generator, tmp_path / "none.yaml")


def test_yaml_as_people_write_it(tmp_path: Path, tree: dict[str, Any]) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(
        "dataset_params:\n  frame_shape: [256, 256, 3]\n"
        "model_params:\n  common_params:\n    num_kp: 3\n    image_channel: 3\n"
        "    feature_channel: 32\n    estimate_jacobian: False\n"
        "    sections:\n      - [[48, 49, 50], 2]\n      - - [3]\n        - 1\n"
        "  generator_params:\n    block_expansion: 64\n    reshape_depth: 16\n"
        "    estimate_occlusion_map: True\n    dense_motion_params:\n      compress: 4\n"
        "train_params:\n  num_epochs: 100\n"
    )
    config = read_generator(path)
    assert config.keypoints == 3 and config.sections[1].landmarks == (3,)
    assert config.max_features == 512 and config.decoder.nhidden == 128
