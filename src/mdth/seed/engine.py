"""The seed's engine: picture and clip -> what its networks see; that and a speech -> frames.

Needs the extra `seed` and the owner's checkpoints (`mdth.seed.files`). Without a GPU it runs too,
slowly.
"""

import logging
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mdth.artefacts import Files, FloatArray, Frame, Portrait
from mdth.devices import CPU, count_gpus, torch_devices
from mdth.errors import CheckpointError
from mdth.face.crop import Crop
from mdth.files import assets
from mdth.film import (
    FRAMES_AHEAD,
    PAINTERS,
    TRACKER,
    Progress,
    Scene,
    doubled,
    generated_heads,
    usable,
)
from mdth.flow import Clock, side_by_side
from mdth.log.stages import stage
from mdth.media.video import probe_video, read_frames
from mdth.options import Options
from mdth.scene import counted, frame_count
from mdth.seed import head, landmarks, moves
from mdth.seed import networks as seed_networks
from mdth.seed.artefacts import SeedClip, SeedStill
from mdth.seed.clip import prepare_clip
from mdth.seed.drive import Driving, SeedDriver
from mdth.seed.eyes import NUMBERS
from mdth.seed.files import SeedFiles, seed_files
from mdth.seed.fit import Fitter
from mdth.seed.moves import Move
from mdth.seed.paste import Paster
from mdth.seed.reader import FaceReader
from mdth.seed.still import prepare_still

log = logging.getLogger("mdth")


@dataclass(frozen=True)
class SeedScene:
    """What the seed's engine films: the source, and the clip that moves it, if any."""

    still: SeedStill
    clip: SeedClip | None

    def save(self, image: Path, video: Path) -> None:
        """Write the source into the folder `image`, the clip into `video`."""
        self.still.save(image)
        if self.clip:
            self.clip.save(video)

    @classmethod
    def load(cls, image: Files, video: Files) -> Self:
        """Read what `save` wrote. Raises ArtefactError."""
        return cls(SeedStill.load(image), SeedClip.load(video) if video else None)


@stage("prepare still and clip")
def prepare(
    portrait: Portrait, video: Path | None, *, n_gpus: int, progress: Progress | None = None
) -> SeedScene:
    """Crop, landmarks, fit and head pose of a portrait and a clip.

    Raises CheckpointError, MissingDependency, NoFaceFound, UnreadableMedia.
    """
    reader = _reader(seed_files(), torch_devices(n_gpus)[0])
    still = prepare_still(portrait, reader)
    if video is None:
        return SeedScene(still, None)
    info, tracker = probe_video(video), assets.path(TRACKER)

    def read() -> Iterator[Frame]:
        frames = read_frames(video)
        return counted(frames, frame_count(info), progress) if progress else frames

    return SeedScene(still, prepare_clip(read, float(info.fps), reader, model=tracker))


def _reader(files: SeedFiles, device: str) -> FaceReader:
    from mdth.bfv2v.export import load_headpose

    fitter = Fitter.load(files.landmark)
    network = load_headpose(files.headpose, files.config).to(device)
    return FaceReader(landmarks.reader(device), fitter, lambda pictures: network.poses(pictures).R)


def frames(
    scene: Scene, seed: SeedScene, options: Options, *, clock: Clock
) -> Generator[Frame, None, None]:
    """The video's frames, RGB uint8 [256,256,3], or of the portrait's size with `paste`.

    Raises SpeechTooShort, UnreadableMedia, CheckpointError, MissingDependency.
    """
    files, devices = seed_files(), torch_devices(scene.n_gpus)
    if devices[0] == CPU:
        log.warning("the seed's engine runs on the CPU, slowly; --engine embedded is made for it")
        if scene.n_gpus and count_gpus():
            log.warning("there is a GPU, but this torch cannot use it; install one made for CUDA")
    with clock.stage("load"):
        speech = seed_networks.speech(files, devices[0])
        driver = SeedDriver(seed.still.faces, amplitude=options.mouth)
    blocks = clock.each("read speech", usable(scene.blocks, options.limit_s))
    for_mesh, for_energy = doubled(blocks, wanted=not (options.still or seed.clip))
    spoken = clock.each("speech to mesh", speech.landmarks(for_mesh, options.fps))
    states = _moves(seed, for_energy, options)
    driving = clock.each("retarget", map(driver.drive, spoken, states))
    made = clock.each("render", render(seed.still, driving, files=files, devices=devices))
    if options.paste:
        paster = Paster(scene.portrait.image, Crop(seed.still.crop))
        pasted = side_by_side(paster.paste, made, workers=PAINTERS, depth=FRAMES_AHEAD)
        made = clock.each("paste", pasted)
    yield from made


def _moves(seed: SeedScene, blocks: Iterable[FloatArray], options: Options) -> Iterator[Move]:
    source, fps = seed.still.faces, options.fps
    if options.still:
        return moves.still()
    if seed.clip:
        basis = read_eye_basis(seed_files().eye_pca)
        amounts = {"amount": options.motion, "blink_rate": options.blink}
        return head.from_clip(seed.clip, source, basis, fps=fps, **amounts)
    return moves.generated(generated_heads(blocks, options), source)


def read_eye_basis(path: Path) -> FloatArray:
    """V [72,K] of a file with a tuple (U, S, V) of tensors. Raises CheckpointError."""
    from mdth.files.state_dict import DAMAGED, load

    try:
        found = load(path)
        basis: FloatArray = found[2].double().numpy()
    except DAMAGED as error:
        raise CheckpointError(f"{path}: no PCA of eye motion ({type(error).__name__})") from error
    if basis.ndim != 2 or basis.shape[0] != NUMBERS:
        raise CheckpointError(f"{path}: V is {basis.shape}, not [{NUMBERS}, components]")
    return basis


def render(
    still: SeedStill, driving: Iterable[Driving], *, files: SeedFiles, devices: Sequence[str]
) -> Iterator[Frame]:
    """A frame RGB uint8 [256,256,3] for each of `driving`, in order, the same for any `devices`."""
    from mdth.bfv2v.export import SCALE, Landmarks, Source

    def seen(face: Driving) -> Landmarks:
        return Landmarks(face.landmarks / SCALE, face.view, SCALE)

    shown = Source(still.picture.copy(), seen(SeedDriver(still.faces).source))
    with seed_networks.renderers(files, devices) as ready:
        yield from ready.frames(shown, map(seen, driving))
