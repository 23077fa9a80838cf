"""Where the seed's checkpoints lie under `warping-common/th`, and which of them are missing."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mdth.config import config
from mdth.engine import PREPARE, SPEAK, Need
from mdth.faceformer.files import flame_files
from mdth.files import assets
from mdth.seed.eos_files import NAMES

MEND = "put its owner's checkpoints there, or choose the engine embedded"
INSTALL = "pip install 'mdth[seed]'"
# Modules of the extra `seed`, and the packages they come in.
PACKAGES = {"torch": "torch", "eos": "eos-py", "yaml": "pyyaml"}
CONFIGS, USUAL_CONFIG = "vox-256-renderer_v16*.yaml", "vox-256-renderer_v16.yaml"


@dataclass(frozen=True)
class SeedFiles:
    """The seed's files under `common`, the folder `warping-common/th`."""

    common: Path

    @property
    def _bfv2v(self) -> Path:
        return self.common / "checkpoints/bfv2v"

    @property
    def generator(self) -> Path:
        """The renderer's checkpoint."""
        return self._bfv2v / "v16.7/00002099-checkpoint.pth.tar"

    @property
    def headpose(self) -> Path:
        """The head-pose network's checkpoint."""
        return self._bfv2v / "headpose.tar"

    @property
    def eye_pca(self) -> Path:
        """The basis of eye motion."""
        return self._bfv2v / "eye_pca.pt"

    @property
    def config(self) -> Path:
        """The YAML of both networks; of several the first by name."""
        folder = self._bfv2v / "config"
        return next(iter(sorted(folder.glob(CONFIGS))), folder / USUAL_CONFIG)

    @property
    def landmark(self) -> Path:
        """The folder of the face model's files."""
        return self.common / "checkpoints/landmark"

    def for_preparing(self) -> list[Path]:
        """What prepared data depends on."""
        return [self.headpose, self.config, *(self.landmark / name for name in NAMES)]

    def for_frames(self) -> list[Path]:
        """What a video depends on besides."""
        return [*flame_files(self.common), self.generator, self.config, self.eye_pca]

    def needs(self) -> list[Need]:
        """Every file, once."""
        preparing, frames = set(self.for_preparing()), set(self.for_frames())
        found = []
        for path in dict.fromkeys([*self.for_preparing(), *self.for_frames()]):
            used = {PREPARE: path in preparing, SPEAK: path in frames}
            stages = frozenset(name for name, wanted in used.items() if wanted)
            problem = "" if path.is_file() else f"{path}: missing"
            found.append(
                Need(path.relative_to(self.common).as_posix(), path, stages, MEND, problem)
            )
        return found


def seed_files() -> SeedFiles:
    """Those of this home."""
    return SeedFiles((config().home / assets.FOLDER).parent)


def package_needs() -> list[Need]:
    """The packages of the extra `seed`."""
    stages = frozenset({PREPARE, SPEAK})
    return [
        Need(package, None, stages, INSTALL, "" if find_spec(module) else "not installed")
        for module, package in PACKAGES.items()
    ]
