"""One portrait speaking: sound in blocks of any size -> driving meshes -> frames."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from mdth.artefacts import FloatArray, Frame, Motion, Portrait
from mdth.embedded.motion import mouth
from mdth.embedded.motion.clip import from_clip
from mdth.embedded.motion.drive import Driver, animated
from mdth.embedded.render.renderer import Renderer
from mdth.embedded.speech.speakers import Spoken
from mdth.embedded.speech.speech_to_mesh import SpokenMesh
from mdth.engine import IMAGE, VIDEO
from mdth.errors import InputError
from mdth.log.stages import each, spent
from mdth.media.resample import LOUDEST, samples
from mdth.media.speech import check_length
from mdth.motion.head import HeadState, SpokenHead, still
from mdth.motion.listening import Listener
from mdth.options import MotionOptions
from mdth.parallel import InOrder


@dataclass(frozen=True)
class EmbeddedAvatar:
    """A portrait, and what a clip's head, eyes and brows do, if there is a clip."""

    portrait: Portrait
    motion: Motion | None = None
    engine: ClassVar[str] = "embedded"

    def save(self, folder: Path) -> None:
        """Write `image` and `video` below `folder`."""
        self.portrait.save(folder / IMAGE)
        if self.motion:
            self.motion.save(folder / VIDEO)


class Drive:
    """One speech on its way to driving meshes [478,3] px of an avatar."""

    def __init__(self, avatar: EmbeddedAvatar, options: MotionOptions, spoken: Spoken) -> None:
        self._spoken = spoken
        self._driver = Driver(avatar.portrait, options)
        self.neutral = self._driver.neutral
        self._heard = SpokenHead(options)
        self._listener = Listener(options)
        self._heads = self._states(avatar.motion, options)

    def _states(self, motion: Motion | None, options: MotionOptions) -> Iterator[HeadState]:
        amounts = {"amount": options.motion, "blink_rate": options.blink}
        if options.still:
            heads = still()
        elif motion:
            heads = from_clip(motion, fps=options.fps, **amounts)
        else:
            return iter(self._heard)
        pairs = zip(heads, self._heard, strict=False)
        return (head._replace(smile=spoken.smile) for head, spoken in pairs)

    def feed(self, sound: FloatArray, *, seen: bool = True) -> Iterator[FloatArray]:
        """Hear float [n], mono, 16 kHz, at once; the meshes that are final, as they are taken.

        seen: whether anybody looks at them.
        """
        block = samples(sound, most=LOUDEST)
        self._heard.hear(block)
        if isinstance(self._spoken, SpokenMesh):
            return self._meshes(self._spoken.feed(block, seen=seen))
        return self._meshes(self._spoken.feed(block))

    def rewind(self, sample: int, *, forget: bool = False) -> None:
        """See `mdth.engine.Rewinding`."""
        if not isinstance(self._spoken, SpokenMesh):
            raise InputError("this mouth hears all of a speech first; choose engine_mesh live")
        self._heard.rewind(self._spoken.heard - sample)
        self._spoken.rewind(sample, forget=forget)

    def listen(self, sound: FloatArray) -> None:
        """See `mdth.engine.Rewinding`."""
        self._listener.hear(sound)

    def finish(self) -> Iterator[FloatArray]:
        """The rest. Raises SpeechTooShort."""
        check_length(self._spoken.heard)
        return self._meshes(self._spoken.finish())

    def _meshes(self, offsets: Iterator[FloatArray]) -> Iterator[FloatArray]:
        for way in each("speech to mesh", offsets):
            with spent("retarget"):
                mesh = self._driver.mesh(way, self._listener.answer(next(self._heads)))
            yield mesh


class EmbeddedSession:
    """See `mdth.engine.Session`. give_back: gets the renderer when the session ends."""

    def __init__(
        self,
        drive: Drive,
        renderer: Renderer,
        *,
        fps: int,
        look_ahead_s: float,
        give_back: Callable[[Renderer], None],
        pool: Executor | None = None,
    ) -> None:
        height, width = renderer.portrait.image.shape[:2]
        self.size, self.fps, self.look_ahead_s = (width, height), fps, look_ahead_s
        self._drive, self._renderer, self._give_back = drive, renderer, give_back
        self._drawing = InOrder(self._draw, pool)
        self._open = True

    def _draw(self, mesh: FloatArray) -> Frame:
        with spent("paint"):
            return self._renderer.frame(mesh)

    def feed(self, sound: FloatArray) -> Iterator[Frame]:
        """Hear float [n], mono, 16 kHz, at once; the frames that are final, as they are taken."""
        return self._frames(self._drive.feed(sound))

    def rewind(self, sample: int, *, forget: bool = False) -> None:
        """See `mdth.engine.Rewinding`."""
        self._drive.rewind(sample, forget=forget)

    def listen(self, sound: FloatArray) -> None:
        """See `mdth.engine.Rewinding`."""
        self._drive.listen(sound)

    def begin(self, sound: FloatArray, *, drawn: bool = True) -> Iterator[Callable[[], Frame]]:
        """See `mdth.engine.Rewinding`."""
        return (partial(self._draw, mesh) for mesh in self._drive.feed(sound, seen=drawn))

    def finish(self) -> Iterator[Frame]:
        """The rest. Raises SpeechTooShort."""
        yield from self._frames(self._drive.finish())
        yield from self._drawing.finish()
        self.close()

    def close(self) -> None:
        """End it; the renderer goes back."""
        if self._open:
            self._open = False
            self._drawing.close()
            self._give_back(self._renderer)

    def _frames(self, meshes: Iterator[FloatArray]) -> Iterator[Frame]:
        for mesh in meshes:
            yield from self._drawing.feed(mesh)


class DriveSession:
    """A session whose frames are the driving meshes, float32 [478,3] px: nothing is drawn.

    neutral: [478,3] px, the resting face.
    """

    def __init__(self, drive: Drive, portrait: Portrait, *, fps: int, look_ahead_s: float) -> None:
        height, width = portrait.image.shape[:2]
        self.size, self.fps, self.look_ahead_s = (width, height), fps, look_ahead_s
        self.neutral = drive.neutral
        self.feed, self.finish = drive.feed, drive.finish
        self.rewind, self.listen = drive.rewind, drive.listen

    def begin(self, sound: FloatArray, *, drawn: bool = True) -> Iterator[Callable[[], FloatArray]]:
        """See `mdth.engine.Rewinding`."""
        return (partial(np.asarray, mesh) for mesh in self.feed(sound, seen=drawn))

    def close(self) -> None:
        """Nothing is open."""


class MeshSession:
    """A speech -> a moving face: offsets float32 [478,3] of its rest and the head, a frame each.

    rest: [478,3], face frame, eye distances, mouth shut. With the option `still` eyes, brows and
    head rest, and cheeks are the speech's alone.
    """

    def __init__(self, rest: FloatArray, options: MotionOptions, spoken: Spoken) -> None:
        self._rest, self._spoken = rest, spoken
        self._follow, self._still = mouth.followed(options), options.still
        self._heard = SpokenHead(options)
        self._heads = still() if options.still else iter(self._heard)

    def feed(self, sound: FloatArray) -> Iterator[tuple[FloatArray, HeadState]]:
        """Hear float [n], mono, 16 kHz, at once; the frames that are final, as they are taken."""
        self._heard.hear(np.asarray(sound, np.float32))
        return map(self._moved, self._spoken.feed(sound), self._heads)

    def finish(self) -> Iterator[tuple[FloatArray, HeadState]]:
        """The rest. Raises SpeechTooShort."""
        check_length(self._spoken.heard)
        return map(self._moved, self._spoken.finish(), self._heads)

    def _moved(self, offsets: FloatArray, head: HeadState) -> tuple[FloatArray, HeadState]:
        face: FloatArray = mouth.touch_lips(self._rest + self._follow * offsets)
        if not self._still:
            face = animated(face, self._rest, head)
        return (face - self._rest).astype(np.float32), head
