"""The embedded engine: small networks of our own, sound in and frames out, on a CPU."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from mdth.artefacts import Files, FloatArray, Motion, Portrait
from mdth.embedded.clip.avatar import SAVED, ClipAvatar, prepare_clip
from mdth.embedded.clip.dubbing import ClipSession, Dubbing
from mdth.embedded.motion.clip import motion_of
from mdth.embedded.motion.rest import face_of, resting_face
from mdth.embedded.render.renderer import Renderer
from mdth.embedded.session import Drive, DriveSession, EmbeddedAvatar, EmbeddedSession, MeshSession
from mdth.embedded.speech import speakers
from mdth.embedded.speech.speakers import Spoken
from mdth.engine import IMAGE, SPEAK, VIDEO, Need, Progress, Source
from mdth.face.find import asset_need, find_portrait, reported
from mdth.face.find import needs as face_needs
from mdth.face.follow import Followed, follow
from mdth.files.networks import WEIGHTS
from mdth.log.stages import count, spent, stage
from mdth.media.video import probe_video, read_frames
from mdth.motion import bank
from mdth.options import Options


class Embedded:
    """Loads its networks once; keeps the renderer of the last portrait while nobody uses it."""

    name = "embedded"
    libraries: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speakers = speakers.Speakers()
        self._idle: Renderer | None = None

    def needs(self, options: Options) -> Sequence[Need]:
        """Outside models, our own networks, and what another speaker of the mouth reads."""
        weights = [*sorted(WEIGHTS.glob("*.onnx")), bank.WEIGHTS]
        stages = frozenset({SPEAK})
        own = [Need(path.name, path, stages, "install mdth again") for path in weights]
        more = speakers.needs(options.motion.engine_mesh)
        return [*face_needs(), asset_need(speakers.ENCODER, SPEAK), *own, *more]

    def prepare(
        self, source: Source, options: Options, *, progress: Progress | None = None
    ) -> EmbeddedAvatar | ClipAvatar:
        """The face of a picture or a clip and the clip's motion, or the clip. Raises InputError."""
        if source.keep_clip and source.clip:
            return prepare_clip(source.clip, options.portrait, progress)
        return self.portray(source, options, progress)

    def portray(
        self, source: Source, options: Options, progress: Progress | None = None
    ) -> EmbeddedAvatar:
        """The face of a picture or a clip, and the clip's motion. Raises InputError."""
        person, motion = None, None
        if source.clip and not options.motion.still:
            # With a picture its own face is meant by the option.
            face = options.portrait.face if source.picture is None else None
            person, motion = _motion(source.clip, face, progress)
        portrait = find_portrait(source, options.portrait, person=person)
        return EmbeddedAvatar(portrait, motion)

    def saved(self, source: Source) -> list[str]:
        """The names of an avatar's files."""
        if source.keep_clip and source.clip:
            return SAVED
        names = [f"{IMAGE}/{name}" for name in ("person.png", "portrait.npz", "portrait.png")]
        return [*names, *([f"{VIDEO}/motion.npz"] if source.clip else [])]

    def load(self, files: Mapping[str, Files]) -> EmbeddedAvatar | ClipAvatar:
        """What `save` wrote. Raises ArtefactError."""
        if ClipAvatar.is_in(files[VIDEO]):
            return ClipAvatar.load(files)
        motion = Motion.load(files[VIDEO]) if files[VIDEO] else None
        return EmbeddedAvatar(Portrait.load(files[IMAGE]), motion)

    def traits(self) -> dict[str, str]:
        """None."""
        return {}

    def open(
        self,
        avatar: EmbeddedAvatar | ClipAvatar,
        options: Options,
        *,
        pool: Executor | None = None,
    ) -> EmbeddedSession | ClipSession:
        """A session. Raises CheckpointError, MissingDependency."""
        if isinstance(avatar, ClipAvatar):
            dubbing = self.dub(avatar, options, live=True, pool=pool)
            return ClipSession(dubbing, self._speakers.get(options.motion.engine_mesh).look_ahead_s)
        with spent("load"):
            spoken = self.speak(options)
            look_ahead_s = self._speakers.get(options.motion.engine_mesh).look_ahead_s
            renderer = self._take_renderer(avatar.portrait)
        return EmbeddedSession(
            Drive(avatar, options.motion, spoken),
            renderer,
            fps=options.motion.fps,
            look_ahead_s=look_ahead_s,
            give_back=self._give_back,
            pool=pool,
        )

    def dub(
        self,
        avatar: ClipAvatar,
        options: Options,
        *,
        length_s: float | None = None,
        live: bool = False,
        pool: Executor | None = None,
    ) -> Dubbing:
        """A clip that says a speech of that length, where it is known, see `Dubbing`.

        Raises InputError, CheckpointError, MissingDependency.
        """
        with spent("load"):
            speaker = self._speakers.get(options.motion.engine_mesh)
        return Dubbing(avatar, speaker.open, options, length_s=length_s, live=live, pool=pool)

    def open_drive(self, avatar: EmbeddedAvatar, options: Options) -> DriveSession:
        """A session without pictures. Raises CheckpointError."""
        look_ahead_s = self._speakers.get(options.motion.engine_mesh).look_ahead_s
        drive, fps = self.drive(avatar, options), options.motion.fps
        return DriveSession(drive, avatar.portrait, fps=fps, look_ahead_s=look_ahead_s)

    def drive(self, avatar: EmbeddedAvatar, options: Options) -> Drive:
        """What the frames of such a session follow. Raises CheckpointError."""
        return Drive(avatar, options.motion, self.speak(options))

    def speak(self, options: Options) -> Spoken:
        """A speech's way to offsets, without a picture. Raises CheckpointError."""
        return self._speakers.get(options.motion.engine_mesh).open(options.motion.fps)

    def open_mesh(
        self, portrait: Portrait | None, options: Options
    ) -> tuple[FloatArray, MeshSession]:
        """A resting face [478,3], the canonical one without a portrait, and how it speaks.

        Raises CheckpointError, MissingDependency.
        """
        face = resting_face() if portrait is None else face_of(portrait)
        return face, MeshSession(face, options.motion, self.speak(options))

    def close(self) -> None:
        """Drop networks and renderer."""
        self._speakers.close()
        self._idle = None

    def _take_renderer(self, portrait: Portrait) -> Renderer:
        """Making one of a large portrait takes seconds, and a portrait may have many speeches."""
        with self._lock:
            idle, self._idle = self._idle, None
        return idle if idle is not None and idle.portrait is portrait else Renderer(portrait)

    def _give_back(self, renderer: Renderer) -> None:
        with self._lock:
            self._idle = renderer


@stage("prepare motion")
def _motion(clip: Path, face: int | None, progress: Progress | None) -> tuple[Followed, Motion]:
    """A person in a clip, and what they do. Raises UnreadableMedia, NoFaceFound."""
    info = probe_video(clip)
    count(clip.stat().st_size)
    frames = reported(read_frames(clip), info, progress)
    person = follow(frames, fps=float(info.fps), face=face)
    return person, motion_of(person, float(info.fps))
