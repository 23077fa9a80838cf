"""The files of the fitting library in the checkpoint folder, read once.

Huber et al., "A multiresolution 3D morphable face model and fitting framework", VISAPP 2016; its
library eos (extra `seed`: eos-py). Landmarks there are named "1" to "68".
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError, MissingDependency
from mdth.face import landmarks68

SHAPE = "sfm_shape_3448.bin"
BLENDSHAPES = "expression_blendshapes_3448.bin"
MAPPING = "ibug_to_sfm.txt"
EDGES = "sfm_3448_edge_topology.json"
CONTOURS = "sfm_model_contours.json"
NAMES = (SHAPE, BLENDSHAPES, MAPPING, EDGES, CONTOURS)
# Inner corners of the mouth have no vertex of their own in the mapping; the outer ones are next.
BESIDE = {60: 48, 64: 54}
CHIN = 8


def import_eos() -> Any:
    """The library. Raises MissingDependency naming the extra."""
    try:
        import eos
    except ImportError as error:
        raise MissingDependency(
            "fitting the seed's face model needs eos-py; run: pip install 'mdth[seed]'"
        ) from error
    return eos


@dataclass(frozen=True)
class EosFiles:
    """What a fit needs. vertices: [68], the model's vertex of each landmark."""

    model: Any
    mapper: Any
    edges: Any
    contour_landmarks: Any
    model_contour: Any
    vertices: npt.NDArray[np.intp]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """From `checkpoints/landmark`. Raises CheckpointError, MissingDependency."""
        eos = import_eos()
        missing = [str(folder / name) for name in NAMES if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(f"missing: {', '.join(missing)}")
        try:
            shape = eos.morphablemodel.load_model(str(folder / SHAPE))
            model = eos.morphablemodel.MorphableModel(
                shape.get_shape_model(),
                eos.morphablemodel.load_blendshapes(str(folder / BLENDSHAPES)),
                eos.morphablemodel.PcaModel(),
            )
            mapper = eos.core.LandmarkMapper(str(folder / MAPPING))
            return cls(
                model,
                mapper,
                eos.morphablemodel.load_edge_topology(str(folder / EDGES)),
                eos.fitting.ContourLandmarks.load(str(folder / MAPPING)),
                eos.fitting.ModelContour.load(str(folder / CONTOURS)),
                _vertices(mapper.get_mappings(), folder / CONTOURS, shape.get_shape_model()),
            )
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise CheckpointError(f"{folder}: not usable by eos ({error})") from error


def _vertices(mapping: dict[str, str], contours: Path, shape: Any) -> npt.NDArray[np.intp]:
    """[68]: the mapping's vertices; where it has none, the model's contour in equal steps."""
    vertices = np.full(landmarks68.COUNT, -1, np.intp)
    for name, vertex in mapping.items():
        vertices[int(name) - 1] = int(vertex)
    for point, beside in BESIDE.items():
        if vertices[point] < 0:
            vertices[point] = vertices[beside]
    mean = np.asarray(shape.get_mean(), np.float64).reshape(-1, 3)
    listed = json.loads(contours.read_text("utf-8"))["model_contour"]
    chin = mean[vertices[CHIN]]
    for side, points in (("right_contour", range(CHIN)), ("left_contour", range(16, CHIN, -1))):
        along, places = np.array(listed[side], np.intp), np.array(points)
        steps = along[_even_steps(mean[along], chin, len(places))]
        vertices[places] = np.where(vertices[places] < 0, steps, vertices[places])
    if (vertices < 0).any() or (vertices >= len(mean)).any():
        raise ValueError(f"no vertex for the landmarks {np.flatnonzero(vertices < 0) + 1}")
    return vertices


def _even_steps(contour: npt.NDArray[Any], chin: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Places [count] in a contour [n,3], from its far end towards the chin, in equal lengths."""
    order = np.argsort(-np.linalg.norm(contour - chin, axis=1))
    path = np.concatenate([contour[order], chin[None]])
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    wanted = np.linspace(0, length[-1], count + 1)[:-1]
    nearest = np.abs(length[:-1, None] - wanted).argmin(axis=0)
    return np.asarray(order[nearest])
