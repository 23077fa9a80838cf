"""The files of the fitting library in the checkpoint folder, read once.

Huber et al., "A multiresolution 3D morphable face model and fitting framework", VISAPP 2016; its
library eos (extra `seed`: eos-py). Landmarks there are named "1" to "68".
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from mdth.errors import CheckpointError, MissingDependency

SHAPE = "sfm_shape_3448.bin"
BLENDSHAPES = "expression_blendshapes_3448.bin"
MAPPING = "ibug_to_sfm.txt"
EDGES = "sfm_3448_edge_topology.json"
CONTOURS = "sfm_model_contours.json"
NAMES = (SHAPE, BLENDSHAPES, MAPPING, EDGES, CONTOURS)
# The model's vertices whose depths the 68 landmarks have, as published.
DEPTH_VERTICES = np.array(
    (
        "2127 2508 2076 2257 2083 1767 945 2505 33 2237 946 1773 1886 900 1890 1749 776 225 229 "
        "233 2086 157 590 2091 666 662 658 2842 379 272 114 100 2794 270 2797 537 177 172 191 "
        "181 173 174 614 624 605 610 607 606 398 315 413 329 825 736 812 841 693 411 264 431 "
        "3253 416 423 828 821 817 442 404"
    ).split(),
    np.intp,
)


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
    """What a fit needs."""

    model: Any
    mapper: Any
    edges: Any
    contour_landmarks: Any
    model_contour: Any

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
            count = shape.get_shape_model().get_data_dimension() // 3
            if count <= DEPTH_VERTICES.max():
                raise ValueError(f"{SHAPE} has {count} vertices")
            return cls(
                model,
                eos.core.LandmarkMapper(str(folder / MAPPING)),
                eos.morphablemodel.load_edge_topology(str(folder / EDGES)),
                eos.fitting.ContourLandmarks.load(str(folder / MAPPING)),
                eos.fitting.ModelContour.load(str(folder / CONTOURS)),
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise CheckpointError(f"{folder}: not usable by eos ({error})") from error
