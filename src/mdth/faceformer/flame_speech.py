"""Speech -> the 478-vertex face, by the seed's FaceFormer and FLAME instead of our own decoder."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

from mdth.artefacts import SPEECH_RATE_HZ
from mdth.embedded.motion.landmarks import flame_to_face
from mdth.errors import CheckpointError
from mdth.face.track import resampled
from mdth.flame import paths
from mdth.flame.files import read_embedding, read_model, read_placement
from mdth.flame.model import Embedding, Flame
from mdth.flame.paths import SUBJECT
from mdth.flame.ply import read_vertices

if TYPE_CHECKING:
    from mdth.faceformer.predictor import FaceFormer

FloatArray = npt.NDArray[np.floating]
# Meshes [V,3] -> what is measured of each.
Measured = Callable[[Iterator[FloatArray]], Iterator[FloatArray]]
CHUNK = 32


class LandmarkedHead(Protocol):
    """A neutral face [V,3], and where the landmarks 17..67 of its meshes lie."""

    @property
    def template(self) -> FloatArray:
        """The neutral face [V,3]."""

    def landmarks(self, meshes: FloatArray) -> FloatArray:
        """The landmarks [T,51,3] of meshes [T,V,3]."""


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


class FlameSpeech:
    """Offsets float32 [478,3] like the embedded engine's `SpeechToMesh`, which it can replace.

    The landmarks' way from the template's is carried over; the template's lips are shut.
    """

    def __init__(
        self, faceformer: "FaceFormer", head: LandmarkedHead, *, subject: int | str = SUBJECT
    ) -> None:
        """Raises CheckpointError if template and FLAME differ in size."""
        if isinstance(head, Head) and head.template.shape != head.flame.template.shape:
            raise CheckpointError(
                f"a template of {len(head.template)} vertices for a FLAME of "
                f"{len(head.flame.template)}"
            )
        self._faceformer = faceformer
        self._head = head
        self._subject = subject
        self._neutral = head.landmarks(head.template[None])

    @classmethod
    def load(cls, common: Path, *, device: str = "cpu") -> Self:
        """From the seed's `warping-common/th`. Raises CheckpointError, MissingDependency.

        A `vocaset.json` beside `vocaset.pth` has its sizes where they are not the published ones.
        """
        model, embedding, template, placement, faceformer = paths.vocaset(common)
        head = Head(
            read_model(model),
            read_embedding(embedding),
            read_vertices(template),
            *read_placement(placement),
        )
        from mdth.faceformer.predictor import FaceFormer

        return cls(FaceFormer.load(faceformer, device=device), head)

    def stream(self, blocks: Iterable[FloatArray], fps: float) -> Iterator[npt.NDArray[np.float32]]:
        """One offsets frame for each video frame of a sound float [n], mono, 16 kHz, in blocks.

        Up to 120 s the encoder hears all of it at once, as published; longer sound in windows,
        with the statistics of all of it. Either way the sound is heard to its end first.
        round(duration * fps) frames, at least 1. Raises SpeechTooShort under 0.3 s.
        """
        return (frame.astype(np.float32) for frame in self._timed(blocks, fps, self._offsets))

    def landmarks(self, blocks: Iterable[FloatArray], fps: float) -> Iterator[FloatArray]:
        """Like `stream`, but how far the landmarks 17..67 are from the template's: [51,3] m.

        Comes a chunk late: for films, not for live sound.
        """
        return self._timed(blocks, fps, self._ways)

    def _timed(
        self, blocks: Iterable[FloatArray], fps: float, measured: Measured
    ) -> Iterator[FloatArray]:
        """What is measured of the meshes [V,3], for each frame of the sound."""
        heard = 0

        def counted() -> Iterator[FloatArray]:
            nonlocal heard
            for block in blocks:
                heard += len(block)
                yield block

        last = next(measured(iter([self._head.template])))
        made = 0
        for last in resampled(
            measured(self._meshes(counted())), rate=self._faceformer.fps, wanted=fps
        ):
            yield last
            made += 1
        for _ in range(made, max(1, round(heard / SPEECH_RATE_HZ * fps))):
            yield last

    def _meshes(self, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Meshes [V,3] at FaceFormer's rate."""
        from mdth.faceformer.predictor import WHOLE_CLIP_S

        template, held, heard = self._head.template.astype(np.float32), [], 0
        for block in blocks:
            held.append(block)
            heard += len(block)
            if heard > WHOLE_CLIP_S * SPEECH_RATE_HZ:
                sound = itertools.chain(held, blocks)
                yield from self._faceformer.long(sound, template, self._subject)
                return
        whole = np.concatenate([*held, np.zeros(0, np.float32)])
        yield from self._faceformer.vertices(whole, template, self._subject)

    def _offsets(self, meshes: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Offsets [478,3] of each."""
        for mesh in meshes:
            way = self._head.landmarks(mesh[None]) - self._neutral
            yield flame_to_face(way, self._neutral[0])[0]

    def _ways(self, meshes: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """How far the landmarks [51,3] of each are from the template's; together it takes less."""
        while some := list(itertools.islice(meshes, CHUNK)):
            yield from self._head.landmarks(np.stack(some)) - self._neutral
