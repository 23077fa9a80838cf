"""Speech -> the 51 landmarks of a FaceFormer of BIWI: its 23,370 vertices have no FLAME.

Which vertices are landmarks is not published with the network, so the owner says it: 51 numbers
from 0 in `biwi_landmarks.txt`, see `docs/seed_engine.md`.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from mdth.errors import CheckpointError
from mdth.faceformer.files import biwi_files
from mdth.faceformer.flame_speech import FlameSpeech, MarkedHead
from mdth.faceformer.predictor import FaceFormer
from mdth.files import pickle as model_pickle

FloatArray = npt.NDArray[np.floating]

LANDMARKS = 51
# Who speaks, of the training subjects F2 F3 F4 M3 M4 M5, and on whose template.
SUBJECT, SUBJECT_NAME = 3, "M3"


def load(common: Path, *, device: str = "cpu") -> FlameSpeech:
    """From the seed's `warping-common/th`. Raises CheckpointError, MissingDependency."""
    network, templates, marks = biwi_files(common)
    template = read_template(templates)
    head = MarkedHead(template, read_marks(marks, len(template)))
    sizes = network.with_suffix(".json")
    faceformer = FaceFormer.load(network, None if sizes.is_file() else "biwi", device=device)
    if faceformer.config.vertices != len(template):
        raise CheckpointError(
            f"{templates}: a template of {len(template)} vertices for a network of "
            f"{faceformer.config.vertices}"
        )
    return FlameSpeech(faceformer, head, subject=SUBJECT)


def read_template(path: Path) -> FloatArray:
    """The speaking subject's neutral face [V,3]. Raises CheckpointError."""
    found = model_pickle.arrays(path)
    if SUBJECT_NAME not in found:
        raise CheckpointError(f"{path}: no template of {SUBJECT_NAME} in it")
    try:
        template: FloatArray = np.asarray(found[SUBJECT_NAME], np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no template of {SUBJECT_NAME} ({error})") from error
    return template


def read_marks(path: Path, vertices: int) -> npt.NDArray[np.intp]:
    """The 51 landmarks' vertices. Raises CheckpointError: missing, or not 51 of the mesh's."""
    try:
        marks = np.array(path.read_text("utf-8").replace(",", " ").split(), np.intp)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); write the {LANDMARKS} vertex "
            "numbers of the landmarks 17 to 67 there, BIWI's are not published with its network"
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not a list of vertex numbers ({error})") from error
    if marks.shape != (LANDMARKS,) or marks.min() < 0 or marks.max() >= vertices:
        raise CheckpointError(
            f"{path}: {len(marks)} numbers; it needs {LANDMARKS} from 0 to {vertices - 1}"
        )
    return marks
