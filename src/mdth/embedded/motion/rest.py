"""A face at rest, for meshes without a picture: mouth shut, eyes ahead."""

import numpy as np

from mdth.artefacts import FloatArray, Portrait
from mdth.embedded.motion import mouth
from mdth.face import geometry, topology

# Where irises lie in resting eyes looking ahead, from the mean of the eye's outline, and their size
# across and along: medians over tracked portraits, eye distances.
_IRIS_PLACE = np.array([0.0095, -0.0143, 0.0005])
_IRIS_RADII = np.array([[0, 0, 0], [0.072, 0, 0], [0, -0.062, 0], [-0.072, 0, 0], [0, 0.062, 0]])


def resting_face() -> FloatArray:
    """The canonical face [478,3], mouth shut, eyes ahead; face frame, eye distances."""
    face = np.zeros((topology.VERTEX_COUNT, 3))
    face[: len(topology.CANONICAL)] = topology.CANONICAL
    for iris, eye, inwards in (
        (topology.IRIS_LEFT, topology.EYE_LEFT, [-1, 1, 1]),
        (topology.IRIS_RIGHT, topology.EYE_RIGHT, [1, 1, 1]),
    ):
        face[iris] = face[eye].mean(axis=0) + _IRIS_PLACE * inwards + _IRIS_RADII
    return mouth.neutral_face(face)


def face_of(portrait: Portrait) -> FloatArray:
    """A portrait's own face [478,3] at rest; face frame, eye distances."""
    meshes: FloatArray = np.asarray(portrait.mesh, np.float64)[None]
    face = geometry.to_face(meshes, geometry.head_pose(meshes))
    return mouth.neutral_face((face / geometry.eye_distance(face)[:, None, None])[0])
