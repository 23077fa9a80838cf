"""The generator and the head-pose network give the published code's numbers."""

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator_reference import TEST_DATA, Reference, as_dict  # noqa: E402

from mdth.bfv2v.checkpoint import load_generator, load_headpose  # noqa: E402
from mdth.bfv2v.config import GeneratorConfig, HeadPoseConfig  # noqa: E402
from mdth.bfv2v.headpose import HeadPose  # noqa: E402
from mdth.bfv2v.network import Generator  # noqa: E402
from tests.support import generator_plain as plain  # noqa: E402

TOLERANCE = 1e-5
# With random weights the inner outputs hardly vary: theirs has to be finer to see anything.
FINER = {"deformation": 2e-6, "occlusion_map": 1e-6, "mask": 2e-7}
# One for each kind of layer, in each part.
CHANGED = [
    "first.conv.weight", "down_blocks.1.norm.running_mean", "second.bias",
    "resblocks_3d.3dr1.conv2.weight", "dense_motion_network.prior_extractors.3.2.weight",
    "dense_motion_network.compress.weight",
    "dense_motion_network.hourglass.encoder.down_blocks.1.conv.weight",
    "dense_motion_network.hourglass.decoder.up_blocks.2.norm.weight",
    "dense_motion_network.hourglass.decoder.conv.bias", "dense_motion_network.mask.weight",
    "dense_motion_network.occlusion.weight", "third.norm.weight", "fourth.bias",
    "decoder.fc.weight", "decoder.G_middle_2.conv_0.weight_orig",
    "decoder.G_middle_5.norm_1.mlp_beta.weight", "decoder.up_0.conv_s.weight_u",
    "decoder.up_0.norm_s.mlp_gamma.weight", "decoder.up_1.norm_0.mlp_shared.0.weight",
    "decoder.conv_img.bias",
]  # fmt: skip


def keys(name: str) -> dict[str, str]:
    """Names and shapes of a published state dict."""
    lines = (TEST_DATA / name).read_text().splitlines()
    return dict(line.split("\t") for line in lines)


def shapes(network: torch.nn.Module) -> dict[str, str]:
    return {
        name: "x".join(map(str, tensor.shape)) or "scalar"
        for name, tensor in network.state_dict().items()
    }


@torch.inference_mode()
def rendered(network: Generator, reference: Reference) -> dict[str, np.ndarray]:
    return as_dict(plain.render(network, reference.picture, reference.source, reference.driving))


def test_equal_to_the_published_numbers(reference: Reference, tmp_path: Path) -> None:
    found = rendered(load_generator(*reference.write(tmp_path)), reference)
    assert found.keys() == reference.outputs.keys()
    for name, expected in reference.outputs.items():
        limit = FINER.get(name, TOLERANCE)
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=limit, err_msg=name)


@pytest.fixture(scope="module")
def gradients(reference: Reference) -> dict[str, torch.Tensor]:
    """How much each number matters to a random mixture of the outputs: many are in dead units."""
    network = plain.Plain(Generator(reference.config).eval())
    weights = {
        f"generator.{name}": tensor
        if "running" in name or "tracked" in name
        else tensor.clone().requires_grad_()
        for name, tensor in reference.weights.items()
    }
    inputs = reference.picture, reference.source, reference.driving
    rendered = torch.func.functional_call(network, weights, inputs)
    random = torch.Generator().manual_seed(0)
    outputs = (rendered.prediction, *rendered.flow)
    mixture = sum((out * torch.rand(out.shape, generator=random)).sum() for out in outputs)
    mixture.backward()
    # Torch has no gradient for running statistics; any of their numbers matters.
    return {
        name.removeprefix("generator."): tensor if (grad := tensor.grad) is None else grad
        for name, tensor in weights.items()
    }


@pytest.mark.parametrize("name", CHANGED)
def test_one_changed_number_is_seen(
    reference: Reference, gradients: dict[str, torch.Tensor], tmp_path: Path, name: str
) -> None:
    """The number that matters most in a tensor, 0.1 larger, moves an output too far."""
    tensor = reference.weights[name].clone()
    tensor.view(-1)[gradients[name].abs().argmax()] += 0.1
    found = rendered(load_generator(*reference.write(tmp_path, **{name: tensor})), reference)
    assert any(
        float(np.abs(found[key] - value).max()) > FINER.get(key, TOLERANCE)
        for key, value in reference.outputs.items()
    )


def test_full_size_names_and_shapes(reference: Reference) -> None:
    with torch.device("meta"):
        generator = Generator(GeneratorConfig(reference.config.sections))
        headpose = HeadPose(HeadPoseConfig())
    assert shapes(generator) == keys("bfv2v_generator_keys.tsv")
    assert shapes(headpose) == keys("bfv2v_he_estimator_keys.tsv")


def formula_weights() -> dict[str, torch.Tensor]:
    """The head-pose network's weights, see the reference's README."""
    with torch.device("meta"):
        expected = HeadPose(HeadPoseConfig()).state_dict()
    return {
        name: formula(name, expected[name].shape, index)
        if expected[name].is_floating_point()
        else torch.tensor(0)
        for index, name in enumerate(keys("bfv2v_he_estimator_keys.tsv"))
    }


def formula(name: str, shape: torch.Size, index: int) -> torch.Tensor:
    wave = np.sin(0.7 * np.arange(math.prod(shape)) + index).astype(np.float32).reshape(shape)
    if name.endswith("running_var"):
        made = 1 + 0.3 * wave
    elif name.endswith(("running_mean", "bias")):
        made = 0.1 * wave
    elif len(shape) >= 2:
        made = 0.35 * math.sqrt(2) / math.sqrt(math.prod(shape[1:])) * wave
    else:
        made = 1 + 0.2 * wave
    return torch.from_numpy(np.asarray(made, np.float32))


def test_head_pose_equal_to_the_published_numbers(small_files: list[Path], tmp_path: Path) -> None:
    from tests.support import generator_made_up as made_up

    path, config = tmp_path / "headpose.tar", tmp_path / "full.yaml"
    torch.save({"he_estimator": formula_weights()}, path)
    made_up.write_config(config, made_up.SMALL, made_up.FULL_HEADPOSE)
    network = load_headpose(path, config)
    wave = 0.5 + 0.5 * np.sin(0.013 * np.arange(3 * 256 * 256))
    pictures = torch.from_numpy(wave.astype(np.float32).reshape(1, 3, 256, 256))
    with torch.inference_mode():
        features = network.features(pictures)
        R, t, angles = network(pictures)
        expression = network.fc_exp(features)
    with np.load(TEST_DATA / "bfv2v_he_estimator.npz") as expected:
        np.testing.assert_allclose(R, expected["R"], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(t, expected["t"], rtol=0, atol=TOLERANCE)
        np.testing.assert_allclose(expression, expected["exp"], rtol=0, atol=TOLERANCE)
        for column, name in enumerate(("yaw", "pitch", "roll")):
            np.testing.assert_allclose(angles[:, column], expected[name], rtol=0, atol=TOLERANCE)
