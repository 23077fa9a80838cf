"""The fast way gives the plain way's pictures; in half precision close to them."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator_reference import Reference, walk  # noqa: E402
from torch.nn import functional  # noqa: E402

from benchmarks import generator_cost as cost  # noqa: E402
from mdth.bfv2v import fold  # noqa: E402
from mdth.bfv2v.checkpoint import load_generator  # noqa: E402
from mdth.bfv2v.fast import FastRenderer  # noqa: E402
from mdth.bfv2v.landmarks import Landmarks  # noqa: E402
from mdth.bfv2v.motion import Face  # noqa: E402
from mdth.bfv2v.network import Generator  # noqa: E402
from mdth.bfv2v.predictor import (  # noqa: E402
    Predictor,
    found_device,
    stacked,  # noqa: E402
)
from mdth.errors import DeviceError  # noqa: E402
from tests.support import generator_made_up as made_up  # noqa: E402
from tests.support import generator_plain as plain  # noqa: E402
from tests.support.generator_plain import PlainPredictor  # noqa: E402
from tests.support.raising import raises  # noqa: E402

CPU = torch.device("cpu")
TOLERANCE = 1e-5
LEAST_DB = 40


@pytest.fixture(scope="module")
def network(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return load_generator(*reference.write(tmp_path_factory.mktemp("tiny")))


def one(face: Face, index: int) -> Face:
    return Face(*(part[index : index + 1] for part in face))


@torch.inference_mode()
def rendered(network: Generator, reference: Reference, dtype: torch.dtype) -> np.ndarray:
    renderer = FastRenderer(network, CPU, dtype)
    pictures = []
    for index in range(len(reference.picture)):
        renderer.source(reference.picture[index : index + 1], one(reference.source, index))
        pictures.append(renderer.render(one(reference.driving, index)))
    return torch.cat(pictures).numpy()


def test_fast_equals_the_published_numbers(network: Generator, reference: Reference) -> None:
    found = rendered(network, reference, torch.float32)
    np.testing.assert_allclose(found, reference.outputs["prediction"], rtol=0, atol=TOLERANCE)


def test_fast_flow_equals_the_published_numbers(network: Generator, reference: Reference) -> None:
    renderer = FastRenderer(network, CPU)
    with torch.inference_mode():
        renderer.source(reference.picture[:1], one(reference.source, 0))
        deformation, occlusion = renderer.motion.flow(renderer.parts, one(reference.driving, 0))
    expected = reference.outputs
    np.testing.assert_allclose(deformation, expected["deformation"][:1], rtol=0, atol=2e-6)
    np.testing.assert_allclose(occlusion, expected["occlusion_map"][:1], rtol=0, atol=1e-6)


def test_half_precision_is_close(network: Generator, reference: Reference) -> None:
    """The error of the worst frame is 40 dB below the output's own deviation."""
    found = rendered(network, reference, torch.float16)
    for picture, expected in zip(found, reference.outputs["prediction"], strict=True):
        error = np.sqrt(np.mean((picture - expected) ** 2))
        assert 20 * math.log10(expected.std() / error) > LEAST_DB


def test_half_precision_is_close_with_sharp_masks(picture: np.ndarray) -> None:
    """Norms that fit what they see, and logits of mask and occlusion twenty times as large."""
    network, source = made_up.generator(made_up.SMALL), walk(1, seed=5)
    network.dense_motion_network.mask.weight.mul_(20)
    network.dense_motion_network.occlusion.weight.mul_(20)
    norms = [part for part in network.modules() if hasattr(part, "running_var")]
    for norm in norms:
        norm.momentum = 1.0
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    faces = stacked(source), stacked(made_up.landmarks(1))
    with torch.inference_mode():
        plain.render(network.train(), pixels, *faces)
        true = plain.render(network.eval(), pixels, *faces)
        assert true.flow.mask.amax(1).mean() > 0.8
        assert 0.2 < true.flow.occlusion_map.std() < 0.5
        renderer = FastRenderer(network, CPU, torch.float16)
        renderer.source(pixels, faces[0])
        error = (renderer.render(faces[1]) - true.prediction).square().mean().sqrt()
    assert 20 * math.log10(true.prediction.std() / error) > LEAST_DB


@pytest.mark.parametrize("times", [2, 4])
def test_convolution_of_pixels_shown_many_times(times: int) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, 5, 3, padding=1)
    x = torch.randn(2, 3, 4, 7)
    expected = conv(functional.interpolate(x, scale_factor=times, mode="nearest"))
    made = fold.shown(fold.plain(conv), times).to(fold.Place(CPU, torch.float32))
    torch.testing.assert_close(made(x), expected, rtol=0, atol=1e-6)


def test_a_batch_holds_its_landmarks_frames(small_files: list[Path], picture: np.ndarray) -> None:
    """Plain and fast, one by one and together, another source in between: the same pictures."""
    network = load_generator(small_files[0], small_files[2])
    source, driving = walk(1, seed=5)[0], walk(3)
    plain = PlainPredictor(network)
    plain.source(picture, source)
    expected = np.stack(list(plain.frames(driving)))
    assert expected.shape == (3, 256, 256, 3) and expected.dtype == np.uint8
    assert np.abs(np.diff(expected.astype(int), axis=0)).max() > 3, "the face moves"
    fast = Predictor(network)
    fast.source(255 - picture, source)
    other = next(fast.frames(driving))
    fast.source(picture, source)
    for batch in (1, 2, 4):
        found = np.stack(list(fast.frames(iter(driving), batch=batch)))
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert np.mean(found != expected) < 1e-3
    assert np.abs(other.astype(int) - expected[0]).max() > 20


def test_no_frame_is_held_back_or_early(small_files: list[Path], picture: np.ndarray) -> None:
    taken = []
    predictor = Predictor(load_generator(small_files[0], small_files[2]))
    predictor.source(picture, walk(1)[0])
    driving = (taken.append(index) or face for index, face in enumerate(walk(6)))
    frames = predictor.frames(driving, batch=2)
    assert not taken
    next(frames)
    assert len(taken) == 2
    assert len(list(frames)) == 5
    assert list(predictor.frames([])) == []


def test_large_weights_use_bfloat16(picture: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    network = made_up.generator(made_up.SMALL)
    network.third.norm.bias.fill_(1e6)
    predictor = Predictor(network, precision=torch.float16)
    predictor.source(picture, walk(1)[0])
    assert predictor.precision is torch.bfloat16 and "bfloat16" in caplog.text
    assert np.isfinite(next(predictor.frames(walk(1)))).all()


def test_wrong_use_is_named(small_files: list[Path], picture: np.ndarray) -> None:
    predictor = Predictor(load_generator(small_files[0], small_files[2]))
    raises(ValueError, "no source", list, predictor.frames(walk(1)))
    raises(ValueError, r"\(256, 256, 3\)", predictor.source, picture[:100], walk(1)[0])
    raises(ValueError, "batch of 0", list, predictor.frames(walk(1), batch=0))
    raises(DeviceError, "finds", found_device, "cuda:99")
    raises(DeviceError, "use cpu", found_device, "mps")


def test_landmarks_in_other_units_of_scale() -> None:
    """Twice the scale and half the value is the same face in a picture of twice the size."""
    network = made_up.generator(dataclasses.replace(made_up.SMALL, frame_size=256))
    motion = network.dense_motion_network
    face = walk(1)[0]
    other = Landmarks(face.value, face.U * np.array([1, 1, 1, 2.0])[:, None], 2 * face.scale)
    with torch.inference_mode():
        found = [motion.keypoints(stacked([given])) for given in (face, other)]
    torch.testing.assert_close(found[0], found[1])


def test_ours_costs_less() -> None:
    """At full size, counted without computing anything."""
    found = cost.counted(made_up.FULL, 2)
    assert found["ours"] < 0.85 * found["plain"]
