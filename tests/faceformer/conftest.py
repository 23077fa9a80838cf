"""The reference vectors: tiny networks with random weights, and what the published code made."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from torch_threads import one_thread  # noqa: F401

if TYPE_CHECKING:
    import torch

    from mdth.faceformer.config import Config
    from mdth.faceformer.predictor import FaceFormer

TEST_DATA = Path(__file__).parents[1] / "data"


class Clip(NamedTuple):
    """One prediction of the published code. samples [N] are normalised; vertices [T,V,3]."""

    samples: np.ndarray
    template: np.ndarray
    subject: int
    vertices: np.ndarray


class Reference(NamedTuple):
    config: Config
    weights: dict[str, torch.Tensor]
    clips: dict[str, Clip]

    def save(self, path: Path, **changed: torch.Tensor) -> Path:
        import torch

        torch.save(self.weights | changed, path)
        return path


def read_reference(dataset: str) -> Reference:
    import torch

    from mdth.faceformer.config import DATASETS, EncoderConfig

    sizes = json.loads((TEST_DATA / f"faceformer_tiny_{dataset}.json").read_text())
    tiny = {key: tuple(n) if isinstance(n, list) else n for key, n in sizes["wav2vec2"].items()}
    config = dataclasses.replace(DATASETS[dataset], encoder=EncoderConfig(**tiny))
    with np.load(TEST_DATA / f"faceformer_tiny_{dataset}.npz") as found:
        arrays = {name: found[name] for name in found.files}
    weights = {
        name.removeprefix("weights/"): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith("weights/")
    }
    clips = {name: Clip(
        arrays[f"{name}/audio"][0], arrays[f"{name}/template"].reshape(-1, 3),
        int(arrays[f"{name}/one_hot"][0].argmax()),
        arrays[f"{name}/vertices"].reshape(-1, sizes["vertice_dim"] // 3, 3),
    ) for name in ("short", "long")}  # fmt: skip
    return Reference(config, weights, clips)


@pytest.fixture(scope="session", params=["vocaset", "biwi"])
def reference(request: pytest.FixtureRequest) -> Reference:
    return read_reference(request.param)


@pytest.fixture(scope="session")
def vocaset_reference() -> Reference:
    return read_reference("vocaset")


def loaded(reference: Reference, factory: pytest.TempPathFactory) -> FaceFormer:
    from mdth.faceformer.predictor import FaceFormer

    path = reference.save(factory.mktemp("checkpoint") / "tiny.pth")
    return FaceFormer.load(path, reference.config)


@pytest.fixture(scope="session")
def model(reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> FaceFormer:
    return loaded(reference, tmp_path_factory)


@pytest.fixture(scope="session")
def vocaset_model(
    vocaset_reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> FaceFormer:
    return loaded(vocaset_reference, tmp_path_factory)
