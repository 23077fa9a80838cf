"""A clip's frames -> what its head, eyes and brows do."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray, Frame, Motion
from mdth.face import geometry, topology
from mdth.face.track import as_found, filled, filled_rotations
from mdth.face.tracker import track


def prepare_motion(frames: Iterable[Frame], fps: float, tracker_model: Path) -> Motion:
    """Pose, eyes and brows of the face in RGB uint8 frames [H,W,3]: one entry per frame.

    Frames are read once and not kept. Those without a face lie on straight lines between those
    around. Raises NoFaceFound when no frame shows a face.
    """
    found: list[bool] = []
    poses: list[geometry.Pose] = []
    uppers: list[FloatArray] = []
    for mesh in track(iter(frames), tracker_model, fps=fps):
        found.append(mesh is not None)
        if mesh is None:
            continue
        pose = geometry.head_pose(mesh[None])
        poses.append(pose)
        face = geometry.to_face(mesh[None], pose)[0]
        uppers.append(face[topology.UPPER_FACE].astype(np.float32))
    is_found, upper = as_found(found), np.stack(uppers)
    pose = geometry.Pose(*(np.concatenate(part) for part in zip(*poses, strict=True)))
    return Motion(
        fps=float(fps),
        found=is_found,
        rotation=filled_rotations(pose.rotation, is_found),
        translation=filled(_relative(pose), is_found),
        upper=filled(upper - upper.mean(axis=0), is_found),
    )


def _relative(pose: geometry.Pose) -> FloatArray:
    """Where heads are [T,3], eye distances from the clip's mean.

    Depth comes from the size: a mesh tells no distance.
    """
    scale = pose.scale.mean()
    moved: FloatArray = (pose.translation - pose.translation.mean(axis=0)) / scale
    moved[:, 2] = geometry.VIEW_DISTANCE * (scale / pose.scale - 1)
    return moved
