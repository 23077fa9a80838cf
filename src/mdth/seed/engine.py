"""The seed's engine: picture and clip -> what its networks see; that and a speech -> frames.

Needs the extra `seed` and the owner's checkpoints (`mdth.seed.files`). Without a GPU it runs too,
slowly.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext

from mdth import devices
from mdth.artefacts import Files, Portrait
from mdth.engine import BY_CLIP, BY_VOICE, IMAGE, VIDEO, Need, Progress, Source
from mdth.errors import MdthError
from mdth.face.find import find_portrait, reported
from mdth.face.find import needs as face_needs
from mdth.log.stages import spent, stage
from mdth.media.video import probe_video, read_frames
from mdth.motion import bank
from mdth.options import Options
from mdth.seed import artefacts, landmarks
from mdth.seed.apart import Fits, Poses
from mdth.seed.artefacts import SeedAvatar, SeedClip, SeedStill
from mdth.seed.clip import prepare_clip
from mdth.seed.files import package_needs, seed_files
from mdth.seed.fit import FaceReader, Fitter
from mdth.seed.networks import Networks
from mdth.seed.session import SeedSession, read_eye_pca

log = logging.getLogger("mdth")

RIGHT = "read, of the right shape"


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
        files, n_gpus = seed_files(), options.engine.n_gpus
        moves = source.clip and not options.motion.still
        # All that reads faces starts while they are sought and followed.
        with (
            Poses(files, n_gpus) as poses,
            Fits(files.landmark) if moves else nullcontext() as fits,
            ThreadPoolExecutor(1) as beside,
        ):
            reader = beside.submit(
                lambda: FaceReader(landmarks.reader(n_gpus), Fitter(files.landmark), poses.of)
            )
            portrait = find_portrait(source, options.portrait)
            with stage("prepare still and clip"):
                clip = None
                if source.clip and fits:
                    info = probe_video(source.clip)
                    path, fps = source.clip, float(info.fps)
                    clip = prepare_clip(
                        lambda: reported(read_frames(path), info, progress),
                        fps,
                        reader.result,
                        fits=fits,
                    )
                still = reader.result().still(portrait)
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
        self._networks.begin(seed_files(), chosen)
        with spent("load"):
            speech = self._networks.speech(seed_files(), chosen[0])
        renderers = self._networks.renderers(seed_files(), chosen)
        return SeedSession(avatar, options, speech, renderers, pool=pool)

    def checks(self) -> Iterator[tuple[str, str]]:
        """The owner's files, read as for work: whether all in them has the right shape."""
        from mdth.bfv2v.export import load_generator, load_headpose
        from mdth.faceformer.export import FlameSpeech

        files = seed_files()
        reading: dict[str, Callable[[], object]] = {
            "generator and its YAML": lambda: load_generator(
                files.generator, files.generator_config
            ),
            "head pose and its YAML": lambda: load_headpose(files.headpose, files.headpose_config),
            "eye_pca.pt": lambda: read_eye_pca(files.eye_pca),
            "landmark/": lambda: Fitter(files.landmark),
            "faceformer/ and flame/": lambda: FlameSpeech.load(files.common, device=devices.CPU),
        }
        for name, read in reading.items():
            try:
                read()
                yield name, RIGHT
            except MdthError as error:
                yield name, str(error)

    def warm(self) -> str:
        """Compile what draws long speeches on the first GPU, for later processes; what was done.

        Raises CheckpointError, DeviceError, MissingDependency.
        """
        from mdth.bfv2v.export import warm

        device = devices.torch_devices(1)[0]
        if device == devices.CPU:
            return "no GPU that torch can use: nothing to compile"
        start = time.monotonic()
        warm(seed_files().generator, seed_files().generator_config, device)
        return f"compiled for {device} in {time.monotonic() - start:.1f} s"

    def close(self) -> None:
        """Drop the networks."""
        self._networks.close()
