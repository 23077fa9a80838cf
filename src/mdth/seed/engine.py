"""The seed's engine: picture and clip -> what its networks see; that and a speech -> frames.

Needs the extra `seed` and the owner's checkpoints (`mdth.seed.files`). Without a GPU it runs too,
slowly.
"""

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from mdth import devices
from mdth.artefacts import Files, Portrait
from mdth.engine import BY_CLIP, BY_VOICE, IMAGE, VIDEO, Need, Progress, Source
from mdth.face.find import TRACKER, clip_frames, find_portrait
from mdth.face.find import needs as face_needs
from mdth.files import assets
from mdth.log.stages import spent, stage
from mdth.media.video import probe_video
from mdth.motion import bank
from mdth.options import Options
from mdth.seed import artefacts, landmarks
from mdth.seed.artefacts import SeedAvatar, SeedClip, SeedStill
from mdth.seed.clip import prepare_clip
from mdth.seed.files import SeedFiles, package_needs, seed_files
from mdth.seed.fit import FaceReader, Fitter
from mdth.seed.networks import Networks
from mdth.seed.session import SeedSession

log = logging.getLogger("mdth")


class Seed:
    """Keeps the networks of the last session while nobody uses them."""

    name = "seed"
    libraries: tuple[str, ...] = ("torch", "eos-py")

    def __init__(self) -> None:
        self._networks = Networks()

    def needs(self, options: Options) -> Sequence[Need]:
        """The owner's checkpoints, the extra's packages, and what finding a face reads."""
        by_voice = Need(
            bank.WEIGHTS.name, bank.WEIGHTS, frozenset({BY_VOICE}), "install mdth again"
        )
        own = [*seed_files().needs(), *package_needs(), *landmarks.needs(), by_voice]
        idle = {BY_CLIP, BY_VOICE} if options.motion.still else frozenset[str]()
        return [*face_needs(), *(need for need in own if need.stages - idle)]

    def prepare(
        self, source: Source, options: Options, *, progress: Progress | None = None
    ) -> SeedAvatar:
        """Crop, landmarks, fit and head pose of a face and a clip.

        Raises CheckpointError, MissingDependency, NoFaceFound, UnreadableMedia.
        """
        portrait = find_portrait(source, options.portrait)
        with stage("prepare still and clip"):
            reader = _reader(seed_files(), devices.torch_devices(options.engine.n_gpus)[0])
            still = reader.still(portrait)
            moving = None if options.motion.still else source.clip
            clip = _clip(moving, reader, progress) if moving else None
        return SeedAvatar(portrait, still, clip)

    def saved(self, source: Source) -> list[str]:
        """The names of an avatar's files."""
        ours = ("person.png", "portrait.npz", "portrait.png", artefacts.PICTURE, artefacts.STILL)
        names = [f"{IMAGE}/{name}" for name in ours]
        return [*names, *([f"{VIDEO}/{artefacts.CLIP}"] if source.clip else [])]

    def load(self, files: Mapping[str, Files]) -> SeedAvatar:
        """What `save` wrote. Raises ArtefactError."""
        image, video = files[IMAGE], files[VIDEO]
        clip = SeedClip.load(video) if video else None
        return SeedAvatar(Portrait.load(image), SeedStill.load(image), clip)

    def traits(self) -> dict[str, str]:
        """Who reads the landmarks."""
        return {"landmarks": landmarks.reader_name()}

    def open(
        self, avatar: SeedAvatar, options: Options, *, pool: Executor | None = None
    ) -> SeedSession:
        """A session, on as many GPUs as there are and were asked for, else on the CPU."""
        devices.check(options.engine.n_gpus)
        chosen = devices.torch_devices(options.engine.n_gpus)
        if chosen[0] == devices.CPU:
            log.warning(
                "the seed's engine runs on the CPU, slowly; the embedded one is made for it"
            )
            if options.engine.n_gpus and devices.count_gpus():
                log.warning("there is a GPU, but this torch cannot use it; install one for CUDA")
        with spent("load"):
            speech = self._networks.speech(seed_files(), chosen[0])
        renderers = self._networks.renderers(seed_files(), chosen)
        return SeedSession(avatar, options, speech, renderers, pool=pool)

    def close(self) -> None:
        """Drop the networks."""
        self._networks.close()


def _clip(path: Path, reader: FaceReader, progress: Progress | None) -> SeedClip:
    info = probe_video(path)
    read = partial(clip_frames, path, info, progress)
    return prepare_clip(read, float(info.fps), reader, model=assets.path(TRACKER))


def _reader(files: SeedFiles, device: str) -> FaceReader:
    from mdth.bfv2v.export import load_headpose

    fitter = Fitter.load(files.landmark)
    network = load_headpose(files.headpose, files.headpose_config).to(device)
    return FaceReader(
        landmarks.reader(device), fitter, lambda pictures: network.poses(pictures)[:2]
    )
