"""The reference vectors: a tiny generator with random weights, and what the published code made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch

    from mdth.bfv2v.config import GeneratorConfig
    from mdth.bfv2v.export import Files, Landmarks, Source
    from mdth.bfv2v.motion import Face

TEST_DATA = Path(__file__).parents[1] / "data"


class Reference(NamedTuple):
    """A tiny generator's sizes and weights, two inputs and what came of them."""

    config: GeneratorConfig
    weights: dict[str, torch.Tensor]
    picture: torch.Tensor
    source: Face
    driving: Face
    outputs: dict[str, np.ndarray]

    def write(self, folder: Path, **changed: torch.Tensor) -> tuple[Path, Path]:
        """The checkpoint and its YAML; `changed` weights take the place of the real ones."""
        import torch

        from tests.support import generator_made_up as made_up

        paths = folder / "tiny.pth.tar", folder / "tiny.yaml"
        torch.save({"generator": self.weights | changed, "epoch": 1}, paths[0])
        made_up.write_config(paths[1], self.config, made_up.SMALL_HEADPOSE)
        return paths


def read() -> Reference:
    import torch

    from mdth.bfv2v.config import DecoderConfig, DenseMotionConfig, GeneratorConfig, Section
    from mdth.bfv2v.motion import Face

    sizes = json.loads((TEST_DATA / "bfv2v_generator_tiny.json").read_text())
    for unused in ("feature_channel", "num_kp", "estimate_occlusion_map"):
        sizes.pop(unused)
    sections = tuple(Section(tuple(marks), count) for marks, count in sizes.pop("sections"))
    motion = DenseMotionConfig(**sizes.pop("dense_motion_params"))
    decoder = DecoderConfig(**sizes.pop("decoder"))
    config = GeneratorConfig(sections, frame_size=64, dense_motion=motion, decoder=decoder, **sizes)
    with np.load(TEST_DATA / "bfv2v_generator_tiny.npz") as found:
        arrays = {name: found[name] for name in found.files}

    def part(prefix: str) -> dict[str, np.ndarray]:
        return {
            name.removeprefix(prefix): array
            for name, array in arrays.items()
            if name.startswith(prefix)
        }

    def face(name: str) -> Face:
        given = part(f"input/kp_{name}/")
        return Face(*(torch.from_numpy(given[key]) for key in Face._fields))

    weights = {name: torch.from_numpy(array) for name, array in part("weights/").items()}
    picture = torch.from_numpy(arrays["input/source_image"])
    return Reference(config, weights, picture, face("source"), face("driving"), part("output/"))


def render(
    files: Files, source: Source, driving: Iterable[Landmarks], devices: list[str], **options: int
) -> Iterator[np.ndarray]:
    from mdth.bfv2v.export import Renderers

    with Renderers(files, devices, **options) as renderers:
        yield from renderers.frames(source, driving)


def walk(count: int, *, seed: int = 0) -> list[Landmarks]:
    """Landmarks of a face that moves a little from frame to frame."""
    from mdth.bfv2v.landmarks import Landmarks

    random = np.random.default_rng(seed)
    rest = random.normal(0, 0.4, (68, 3))
    moved = np.cumsum(random.normal(0, 0.02, (count, 68, 3)), axis=0)
    matrix = np.diag([1.0, -1.0, 1.0, 1.0])
    matrix[3, :3] = 128, 128, -75
    return [Landmarks(rest + step, matrix) for step in moved]


def as_dict(outputs: NamedTuple) -> dict[str, np.ndarray]:
    """Prediction and flow of a rendering by the names of the vectors."""
    rendered = outputs._asdict()
    flow = rendered.pop("flow")._asdict()
    return {name: tensor.numpy() for name, tensor in (rendered | flow).items()}
