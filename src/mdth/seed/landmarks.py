"""Who reads the 68 landmarks: our mesh, or face-alignment where it is installed with weights.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", ICCV
2017; its package from version 1.5 on. Nothing is fetched: without its weights in torch's cache the
mesh is read.
"""

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mdth import devices
from mdth.artefacts import FloatArray, Frame
from mdth.engine import PREPARE, Need
from mdth.face import landmarks68

log = logging.getLogger("mdth")

MESH, NETWORK = "mesh", "face-alignment"
NETWORK_NAME = "2DFAN-4"
# The detector's box that the network was trained with reaches this far over the landmarks' own,
# as shares of its size: left, top, right, bottom.
BOX_ROOM = np.array([-0.05, -0.25, 0.05, 0.05])


class Marks(NamedTuple):
    """name: who reads them. read: landmarks [68,2+] px of a picture and its mesh [478,3] px."""

    name: str
    read: Callable[[Frame, FloatArray], FloatArray]


def reader_files() -> list[Path]:
    """The network's file where face-alignment reads the landmarks; none where our mesh does."""
    found = weights() if find_spec("face_alignment") else None
    return [found] if found and found.is_file() else []


def needs() -> list[Need]:
    """The network's file where it is there; nobody lacks it."""
    stages = frozenset({PREPARE})
    return [Need(path.name, path, stages, "") for path in reader_files()]


def reader_name() -> str:
    """Who reads the landmarks here."""
    return NETWORK if reader_files() else MESH


def reader(n_gpus: int = 0) -> Marks:
    """The best reader that is installed, said in the log; n_gpus: 0 for none."""
    if not reader_files():
        return Marks(MESH, lambda picture, mesh: landmarks68.from_mesh(mesh))
    log.info("68 landmarks by face-alignment")
    return Marks(NETWORK, _network(devices.torch_devices(n_gpus)[0]))


def weights() -> Path | None:
    """Where face-alignment keeps its network; None for a version before 1.5, which says it not."""
    import torch
    from face_alignment.api import models_urls

    url = models_urls.get(NETWORK_NAME)
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name if url else None


def _network(device: str) -> Callable[[Frame, FloatArray], FloatArray]:
    import face_alignment

    # Boxes are given, so that no detector is needed: "folder" is the one without weights.
    network = face_alignment.FaceAlignment(
        face_alignment.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
    )

    def read(picture: Frame, mesh: FloatArray) -> FloatArray:
        found = network.get_landmarks_from_image(picture, detected_faces=[box(mesh)])
        return np.asarray(found[0] if found else landmarks68.from_mesh(mesh), np.float64)

    return read


def box(mesh: FloatArray) -> npt.NDArray[np.floating]:
    """Left, top, right, bottom px and a sure score: what a detector would say of a mesh."""
    points = landmarks68.from_mesh(mesh)[:, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    room = BOX_ROOM * np.tile(high - low, 2)
    return np.append(np.concatenate([low, high]) + room, 1.0)
