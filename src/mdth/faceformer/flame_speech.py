"""Speech -> the 51 landmarks of FLAME's or BIWI's face, by FaceFormer, for each video frame."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.errors import CheckpointError
from mdth.face.track import resampled
from mdth.faceformer.files import SUBJECT, biwi_files, flame_files
from mdth.faceformer.predictor import WHOLE_CLIP_S, FaceFormer
from mdth.files import pickle as model_pickle
from mdth.flame.files import read_embedding, read_model, read_placement, read_vertices
from mdth.flame.model import Embedding, Flame

FloatArray = npt.NDArray[np.floating]
CHUNK = 32
"""Meshes whose landmarks are found at once."""
PIECE_BYTES = 4 * 100 * SPEECH_RATE_HZ
LANDMARKS = 51
# Who speaks, of BIWI's training subjects F2 F3 F4 M3 M4 M5, and on whose template.
BIWI_SUBJECT, BIWI_NAME = 3, "M3"


class Head(NamedTuple):
    """FLAME, its 51 landmarks, and where the seed puts it.

    template: [V,3] m, the subject's neutral face. pose: [15]. translation: [3] m.
    """

    flame: Flame
    embedding: Embedding
    template: FloatArray
    pose: FloatArray
    translation: FloatArray

    def landmarks(self, meshes: FloatArray) -> FloatArray:
        """The landmarks [T,51,3] m of unposed meshes [T,V,3], posed."""
        return self.flame.landmarks(
            self.embedding, pose=self.pose, translation=self.translation, templates=meshes
        )


class MarkedHead(NamedTuple):
    """A neutral face [V,3] in any unit, and which of its vertices are the 51 landmarks."""

    template: FloatArray
    marks: npt.NDArray[np.intp]

    def landmarks(self, meshes: FloatArray) -> FloatArray:
        """The landmarks [T,51,3] of meshes [T,V,3]."""
        return meshes[:, self.marks]


class FlameSpeech:
    """FaceFormer on a head: networks that serve any number of sounds.

    neutral: [51,3] m, where the landmarks of the template lie, whose lips are shut.
    """

    def __init__(
        self, faceformer: FaceFormer, head: Head | MarkedHead, *, subject: int | str = SUBJECT
    ) -> None:
        """Raises CheckpointError if template and FLAME differ in size."""
        if isinstance(head, Head) and head.template.shape != head.flame.template.shape:
            raise CheckpointError(
                f"a template of {len(head.template)} vertices for a FLAME of "
                f"{len(head.flame.template)}"
            )
        self.faceformer, self.head, self.subject = faceformer, head, subject
        self.neutral = head.landmarks(head.template[None])[0]

    @classmethod
    def load(cls, common: Path, *, device: str = "cpu") -> Self:
        """From the seed's `warping-common/th`. Raises CheckpointError.

        A `vocaset.json` beside `vocaset.pth` has its sizes where they are not the published ones.
        """
        model, embedding, template, placement, faceformer = flame_files(common)
        head = Head(
            read_model(model),
            read_embedding(embedding),
            read_vertices(template),
            *read_placement(placement),
        )
        return cls(FaceFormer.load(faceformer, device=device), head)

    def open(self, fps: float) -> "SpokenLandmarks":
        """One sound's landmarks, `fps` a second."""
        return SpokenLandmarks(self, fps)


class SpokenLandmarks:
    """How far the landmarks 17..67 are from the neutral ones, [51,3] m, for each video frame.

    round(duration * fps) frames, at least 1, all of them when the sound has ended: up to 120 s the
    encoder hears all of it at once, as published, longer sound in windows with the statistics of
    all of it.
    """

    def __init__(self, speech: FlameSpeech, fps: float) -> None:
        self._speech, self._fps = speech, fps
        self._sound = _Sound()

    def feed(self, block: FloatArray) -> Iterator[FloatArray]:
        """The frames that are final now: none. block: float [n], mono, 16 kHz."""
        self._sound.file.write(np.ascontiguousarray(block, np.float32).tobytes())
        return iter(())

    @property
    def frames(self) -> int:
        """How many frames the sound that was fed gives."""
        samples = self._sound.file.seek(0, os.SEEK_END) // 4
        return max(1, round(samples / SPEECH_RATE_HZ * self._fps))

    def finish(self) -> Iterator[FloatArray]:
        """All frames. Raises SpeechTooShort under 0.3 s."""
        frames = self.frames
        timed = resampled(self._ways(), rate=self._speech.faceformer.fps, wanted=self._fps)
        made = 0
        for way in itertools.islice(timed, frames):
            yield way
            made += 1
        yield from itertools.repeat(way, frames - made)

    def close(self) -> None:
        """Forget the sound."""
        self._sound.file.close()

    def _ways(self) -> Iterator[FloatArray]:
        """The landmarks' ways at FaceFormer's rate; of some meshes together it takes less."""
        head, neutral = self._speech.head, self._speech.neutral
        template = head.template.astype(np.float32)
        blocks = self._speech.faceformer.meshes(self._sound, template, self._speech.subject)
        meshes = itertools.chain.from_iterable(blocks)
        while some := list(itertools.islice(meshes, CHUNK)):
            yield from head.landmarks(np.stack(some)) - neutral


class _Sound:
    """What was heard, from its beginning as often as wanted; above 120 s in a temporary file."""

    def __init__(self) -> None:
        self.file = SpooledTemporaryFile(max_size=int(4 * WHOLE_CLIP_S * SPEECH_RATE_HZ))

    def __iter__(self) -> Iterator[FloatArray]:
        self.file.seek(0)
        while piece := self.file.read(PIECE_BYTES):
            yield np.frombuffer(bytearray(piece), np.float32)


def load_biwi_speech(common: Path, *, device: str = "cpu") -> FlameSpeech:
    """A FaceFormer of BIWI, whose 23,370 vertices have no FLAME.

    Which vertices are landmarks is not published with the network, so the owner says it: 51 numbers
    from 0 in `biwi_landmarks.txt`, see `docs/seed_engine.md`. Raises CheckpointError.
    """
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
    return FlameSpeech(faceformer, head, subject=BIWI_SUBJECT)


def read_template(path: Path) -> FloatArray:
    """The speaking subject's neutral face [V,3]. Raises CheckpointError."""
    found = model_pickle.arrays(path)
    if BIWI_NAME not in found:
        raise CheckpointError(f"{path}: no template of {BIWI_NAME} in it")
    try:
        template: FloatArray = np.asarray(found[BIWI_NAME], np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no template of {BIWI_NAME} ({error})") from error
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
