"""Where the seed's checkpoints lie under `warping-common/th`, and which of them are missing."""

from importlib.util import find_spec
from pathlib import Path

from mdth.config import config
from mdth.engine import BY_CLIP, PREPARE, SPEAK, Need
from mdth.faceformer.files import flame_files
from mdth.files import assets
from mdth.seed.eos_files import NAMES

MEND = "put its owner's checkpoints there, or choose the engine embedded"
INSTALL = "pip install 'mdth[seed]'"
# Modules of the extra `seed`, the packages they come in, and where they are used.
PACKAGES = {
    "torch": ("torch", PREPARE, SPEAK),
    "eos": ("eos-py", PREPARE),
    "yaml": ("pyyaml", PREPARE, SPEAK),
}


class SeedFiles:
    """The seed's files under `common`, the folder `warping-common/th`.

    generator, headpose: the checkpoints of the renderer and of the head-pose network, each with
    the YAML of its sizes; others may lie beside them. eye_pca: the basis of eye motion. landmark:
    the folder of the face model's files.
    """

    def __init__(self, common: Path) -> None:
        self.common, self.landmark = common, common / "checkpoints/landmark"
        folder = common / "checkpoints/bfv2v"
        self.generator = folder / "v16.7/00002099-checkpoint.pth.tar"
        self.generator_config = folder / "config/vox-256-renderer_v16.7.yaml"
        self.headpose = folder / "headpose.tar"
        self.headpose_config = folder / "config/vox-256-renderer_v16.yaml"
        self.eye_pca = folder / "eye_pca.pt"

    def for_preparing(self) -> list[Path]:
        """What prepared data depends on."""
        return [self.headpose, self.headpose_config, *(self.landmark / name for name in NAMES)]

    def for_frames(self) -> list[Path]:
        """What a video depends on besides."""
        return [*flame_files(self.common), self.generator, self.generator_config]

    def needs(self) -> list[Need]:
        """Every file."""
        used = {PREPARE: self.for_preparing(), SPEAK: self.for_frames(), BY_CLIP: [self.eye_pca]}
        return [
            Need(
                *(path.relative_to(self.common).as_posix(), path, frozenset({stage}), MEND),
                "" if path.is_file() else f"{path}: missing",
            )
            for stage, paths in used.items()
            for path in paths
        ]


def seed_files() -> SeedFiles:
    """Those of this home."""
    return SeedFiles((config().home / assets.FOLDER).parent)


def package_needs() -> list[Need]:
    """The packages of the extra `seed`."""
    return [
        Need(
            package, None, frozenset(stages), INSTALL, "" if find_spec(module) else "not installed"
        )
        for module, (package, *stages) in PACKAGES.items()
    ]
