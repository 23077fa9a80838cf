"""The same on a GPU, where there is one: numbers, order, and bytes that do not change."""

import dataclasses
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("no GPU", allow_module_level=True)

from pathlib import Path  # noqa: E402

from generator_reference import Reference, render, walk  # noqa: E402

from mdth.bfv2v import devices  # noqa: E402
from mdth.bfv2v.checkpoint import load_generator  # noqa: E402
from mdth.bfv2v.fast import FastRenderer  # noqa: E402
from mdth.bfv2v.motion import Face  # noqa: E402
from mdth.bfv2v.predictor import COMPILED_FROM, Predictor, exact  # noqa: E402
from tests.support import generator_made_up as made_up  # noqa: E402

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda", 0)
LEAST_DB = 40


@torch.inference_mode()
def rendered(reference: Reference, folder: Path, dtype: torch.dtype) -> np.ndarray:
    renderer = FastRenderer(load_generator(*reference.write(folder)), GPU, dtype)
    pictures = []
    for index in range(len(reference.picture)):
        source, driving = (
            Face(*(part[index : index + 1].to(GPU) for part in face))
            for face in (reference.source, reference.driving)
        )
        with exact():
            renderer.source(reference.picture[index : index + 1].to(GPU), source)
            pictures.append(renderer.render(driving).cpu())
    return torch.cat(pictures).numpy()


def test_float32_equals_the_published_numbers(reference: Reference, tmp_path: Path) -> None:
    found = rendered(reference, tmp_path, torch.float32)
    np.testing.assert_allclose(found, reference.outputs["prediction"], rtol=0, atol=1e-5)


def test_float16_is_close(reference: Reference, tmp_path: Path) -> None:
    found = rendered(reference, tmp_path, torch.float16)
    for picture, expected in zip(found, reference.outputs["prediction"], strict=True):
        error = np.sqrt(np.mean((picture - expected) ** 2))
        assert 20 * math.log10(expected.std() / error) > LEAST_DB


@pytest.mark.parametrize("count", [0, pytest.param(COMPILED_FROM, marks=pytest.mark.compiles)])
def test_order_and_bytes_stay(picture: np.ndarray, count: int) -> None:
    """Frames, compiled or not, are the CPU's; again, and after another source, bit by bit."""
    motion = dataclasses.replace(made_up.SMALL.dense_motion, num_blocks=2)  # compiled sooner
    network = made_up.generator(dataclasses.replace(made_up.SMALL, dense_motion=motion))
    source, driving = walk(1)[0], walk(21)
    slow = Predictor(network)
    slow.source(picture, source)
    expected = np.stack(list(slow.frames(driving))).astype(int)
    fast = Predictor(network, GPU)
    fast.source(picture, source, count)
    assert fast.renderer.compiled == bool(count)
    first = np.stack(list(fast.frames(driving)))
    assert np.abs(first - expected).max() <= 4
    fast.source(255 - picture, source, count)
    assert (np.stack(list(fast.frames(driving[:5]))) != first[:5]).mean() > 0.3
    fast.source(picture, source, count)
    np.testing.assert_array_equal(list(fast.frames(iter(driving))), first)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one GPU")
def test_two_devices_show_the_frames_of_one(small_files: list[Path], picture: np.ndarray) -> None:
    files = devices.Files(small_files[0], small_files[2])
    source = devices.Source(picture, walk(1)[0])
    one, two = (
        list(render(files, source, walk(50), devices=names))
        for names in (["cuda:0"], ["cuda:0", "cuda:1"])
    )
    np.testing.assert_array_equal(two, one)
