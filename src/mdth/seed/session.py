"""The seed's engine speaking: sound -> landmarks -> what drives the source -> frames."""

import math
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mdth import guard
from mdth.artefacts import FloatArray, Frame
from mdth.errors import CheckpointError
from mdth.face.crop import Crop
from mdth.log.stages import each
from mdth.media.resample import LOUDEST, samples
from mdth.motion.head import SpokenHead
from mdth.options import MotionOptions, Options
from mdth.parallel import InOrder
from mdth.seed import head, moves
from mdth.seed.artefacts import SeedAvatar, SeedStill
from mdth.seed.eyes import NUMBERS, EyePca
from mdth.seed.files import seed_files
from mdth.seed.moves import Driving, Move, SeedDriver
from mdth.seed.paste import Paster

if TYPE_CHECKING:
    from mdth.bfv2v.export import Renderers
    from mdth.faceformer.export import FlameSpeech

CROP_PX = 256


class SeedSession:
    """See `mdth.engine.Session`; all of the sound is heard before the first frame.

    The encoder needs the statistics of the whole, up to 120 s in one piece, above in windows.
    """

    look_ahead_s = math.inf

    def __init__(
        self,
        avatar: SeedAvatar,
        options: Options,
        speech: "FlameSpeech",
        renderers: "AbstractContextManager[Renderers]",
        *,
        pool: Executor | None,
    ) -> None:
        self.fps = options.motion.fps
        height, width = avatar.portrait.image.shape[:2]
        self.size = (width, height) if options.video.paste else (CROP_PX, CROP_PX)
        self._avatar, self._options, self._pool = avatar, options, pool
        self._spoken, self._renderers = speech.open(self.fps), renderers
        self._head = SpokenHead(options.motion)
        self._frames: Generator[Frame, None, None] | None = None

    def feed(self, sound: FloatArray) -> Iterator[Frame]:
        """Hear float [n], mono, 16 kHz; nothing is final before the end."""
        block = samples(sound, most=LOUDEST)
        self._head.hear(block)
        self._spoken.feed(block)
        return iter(())

    def finish(self) -> Iterator[Frame]:
        """All frames, RGB uint8 [256,256,3], or of the portrait's size where they are pasted.

        Raises SpeechTooShort, CheckpointError, DeviceError.
        """
        self._frames = self._made()
        return self._frames

    def close(self) -> None:
        """End it."""
        if self._frames is not None:
            self._frames.close()
        self._spoken.close()

    def _made(self) -> Generator[Frame, None, None]:
        avatar, options = self._avatar, self._options
        driver = SeedDriver(avatar.still.faces, amplitude=options.motion.mouth)
        spoken = each("speech to mesh", self._spoken.finish())
        count = self._spoken.frames
        states = self._states(options.motion)
        driving = each("retarget", map(driver.drive, spoken, states))
        with self._renderers as ready:
            frames = map(_counted, each("render", rendered(avatar.still, driving, ready, count)))
            if not options.video.paste:
                yield from frames
                return
            paster = Paster(avatar.portrait.image, Crop(avatar.still.crop))
            yield from each("paste", InOrder(paster.paste, self._pool).map(frames))

    def _states(self, options: MotionOptions) -> Iterator[Move]:
        source, clip = self._avatar.still.faces, self._avatar.clip
        if options.still:
            return moves.still()
        if clip is None:
            return moves.generated(iter(self._head), source)
        pca = read_eye_pca(seed_files().eye_pca)
        amounts = {"amount": options.motion, "blink_rate": options.blink}
        frames = self._spoken.frames
        return head.from_clip(clip, source, pca, fps=options.fps, frames=frames, **amounts)


def _counted(frame: Frame) -> Frame:
    """The frame, which may take a CPU half a minute: the next one gets as long as sound of 1 s."""
    guard.grow(1)
    return frame


def rendered(
    still: SeedStill, driving: Iterable[Driving], renderers: "Renderers", count: int = 0
) -> Iterator[Frame]:
    """A frame RGB uint8 [256,256,3] for each of `driving`, in order, the same on any devices.

    count: how many these are.
    """
    from mdth.bfv2v.export import SCALE, Landmarks, Source

    def seen(face: Driving) -> Landmarks:
        return Landmarks(face.landmarks / SCALE, face.view, SCALE)

    shown = Source(still.picture.copy(), seen(SeedDriver(still.faces).source), count)
    return renderers.frames(shown, map(seen, driving))


def read_eye_pca(path: Path) -> EyePca:
    """S and V of a file with a tuple (U, S, V) of tensors. Raises CheckpointError."""
    from mdth.files.state_dict import DAMAGED, load

    try:
        _, singular, basis = load(path)
        # No more than it should be: a tensor may stand for more numbers than its file has.
        few, shown = singular[:NUMBERS], basis[: NUMBERS + 1, : NUMBERS + 1]
        pca = EyePca(few.double().numpy(), shown.double().numpy())
    except DAMAGED as error:
        raise CheckpointError(f"{path}: no PCA of eye motion ({type(error).__name__})") from error
    shapes = pca.singular.shape, pca.basis.shape
    if shapes[1] != (NUMBERS, *shapes[0]) or not np.isfinite(pca.basis).all():
        raise CheckpointError(f"{path}: S and V are {shapes}, not numbers [K] and [{NUMBERS},K]")
    if not (np.isfinite(pca.singular) & (pca.singular > 0)).all():
        raise CheckpointError(f"{path}: singular values that are not above 0; copy it again")
    return pca
