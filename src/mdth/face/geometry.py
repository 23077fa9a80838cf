"""Head pose and the face frame.

Picture frame: pixels, x right, y down, z away from the viewer in the same unit (MediaPipe's weak
perspective). Face frame: x right, y down, z away, no head rotation, unit = the eye distance (outer
corners). A pose takes one to the other: picture = scale * rotation @ face + translation.
"""

from typing import NamedTuple

import numpy as np

from mdth.artefacts import FloatArray
from mdth.face import topology

# From the camera to the face in eye distances, about 75 cm: how a size change becomes a z movement.
VIEW_DISTANCE = 8.0
# Where the skull hinges on the neck: face frame, eye distances from between the eyes.
NECK = np.array([0.0, 1.3, 0.9])


class Pose(NamedTuple):
    """Head poses of T frames.

    scale: [T], px per eye distance. rotation: [T,3,3]. translation: [T,3] px.
    """

    scale: FloatArray
    rotation: FloatArray
    translation: FloatArray


def fit_similarity(points: FloatArray, template: FloatArray) -> Pose:
    """The similarity that takes `template` [N,3] to each of `points` [T,N,3], least squares.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    PAMI 1991, equations 40 to 42.
    """
    points = np.asarray(points, np.float64)
    template = np.asarray(template, np.float64)
    centre = points.mean(axis=1)
    template_centre = template.mean(axis=0)
    centred = points - centre[:, None]
    base = template - template_centre
    covariance = np.einsum("tni,nj->tij", centred, base) / len(base)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, None, :]) @ vt
    scale = (singular * sign).sum(axis=1) / base.var(axis=0).sum()
    translation = centre - scale[:, None] * (rotation @ template_centre)
    return Pose(scale, rotation, translation)


def head_pose(meshes: FloatArray) -> Pose:
    """Poses of meshes [T,478,3] px against the canonical face, from vertices speech spares."""
    rigid = topology.RIGID
    return fit_similarity(meshes[:, rigid], topology.CANONICAL[rigid])


def to_face(meshes: FloatArray, pose: Pose) -> FloatArray:
    """Meshes [T,V,3] px -> face frame [T,V,3], the inverse of `to_picture`."""
    centred = meshes - pose.translation[:, None]
    turned: FloatArray = np.einsum("tvi,tij->tvj", centred, pose.rotation)
    return turned / pose.scale[:, None, None]


def to_picture(faces: FloatArray, pose: Pose) -> FloatArray:
    """Face frame [T,V,3] -> meshes [T,V,3] px."""
    turned = np.einsum("tvj,tij->tvi", faces, pose.rotation)
    return np.asarray(turned * pose.scale[:, None, None] + pose.translation[:, None])


def eye_distance(meshes: FloatArray) -> FloatArray:
    """Distance of the outer eye corners, [...,V,3] -> [...], in the meshes' unit."""
    left, right = topology.OUTER_EYE_CORNERS
    return np.asarray(np.linalg.norm(meshes[..., left, :] - meshes[..., right, :], axis=-1))


def lip_opening(faces: FloatArray) -> FloatArray:
    """Gap of the inner lips at the middle, [...,V,3] -> [...], in the meshes' unit."""
    upper, lower = topology.LIP_MID_PAIR
    return np.asarray(np.linalg.norm(faces[..., lower, :] - faces[..., upper, :], axis=-1))


def mouth_width(faces: FloatArray) -> FloatArray:
    """Distance of the inner mouth corners, [...,V,3] -> [...], in the meshes' unit."""
    left, right = topology.MOUTH_CORNERS
    return np.asarray(np.linalg.norm(faces[..., left, :] - faces[..., right, :], axis=-1))


def eye_openings(faces: FloatArray) -> FloatArray:
    """Mean gap of the lids of the viewer's left and right eye, [...,V,3] -> [...,2]."""
    gaps = [
        np.linalg.norm(faces[..., pairs[:, 0], :] - faces[..., pairs[:, 1], :], axis=-1).mean(-1)
        for pairs in (topology.LID_PAIRS_LEFT, topology.LID_PAIRS_RIGHT)
    ]
    return np.stack(gaps, axis=-1)


def rotation_from_euler_deg(yaw: float, pitch: float, roll: float) -> FloatArray:
    """Rotation [3,3] in the picture frame: roll about z, after pitch about x, after yaw about y.

    Positive yaw turns the nose to the viewer's right, pitch down, roll clockwise in the picture.
    """
    y, p, r = np.deg2rad([-yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_x @ about_y)


def euler_deg(rotation: FloatArray) -> FloatArray:
    """Yaw, pitch, roll [...,3] of rotations [...,3,3]; the inverse of `rotation_from_euler_deg`."""
    pitch = np.arcsin(np.clip(rotation[..., 2, 1], -1, 1))
    yaw = np.arctan2(-rotation[..., 2, 0], rotation[..., 2, 2])
    roll = np.arctan2(-rotation[..., 0, 1], rotation[..., 1, 1])
    return np.asarray(np.rad2deg(np.stack([-yaw, pitch, roll], axis=-1)))
