"""All of the seed's checkpoints with random weights, in the exact layout: for tests and trials.

    python -m tests.support.seed_made_up warping-shared/warping-common/th --small

Networks that know nothing: what they render is noise. `--small` makes ones that a CPU runs in a
moment; FaceFormer's sizes then lie in `vocaset.json` beside its weights. Files that are there
already are left alone. Extras `seed` and `train`.
"""

import dataclasses
import logging
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training import command

log = logging.getLogger("mdth")

# How far a random FaceFormer moves FLAME's vertices: a few millimetres.
SPEECH_SHARE = 1e-2
POSE, TRANSLATION = np.full(15, 0.02), np.zeros(3)


def write(common: Path, *, small: bool = False, random_seed: int = 0) -> list[Path]:
    """Everything under `common`, a folder `warping-common/th`; gives the files that were made."""
    from mdth.flame.files import read_model
    from tests.support import eos_made_up, flame_made_up
    from tests.support import generator_made_up as generator

    checkpoints = common / "checkpoints"
    parts: list[tuple[Path, Callable[[Path], object]]] = [
        (checkpoints, lambda folder: generator.write(folder, small=small, random_seed=random_seed)),
        (checkpoints / "landmark", eos_made_up.write),
        (common / "flame", flame_made_up.write_official),
    ]
    made = [path for folder, make in parts for path in _beside(folder, make)]
    template = read_model(common / "flame/generic_model.pkl").template
    speech = checkpoints / "faceformer"
    return made + _beside(
        speech, lambda folder: _faceformer(folder, template, small=small, random_seed=random_seed)
    )


def _beside(folder: Path, make: Callable[[Path], object]) -> list[Path]:
    """What `make` writes into an empty folder, put into `folder` where it is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    placed = []
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as name:
        make(Path(name))
        for path in sorted(path for path in Path(name).rglob("*") if path.is_file()):
            target = folder / path.relative_to(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                placed.append(path.replace(target))
    return placed


def _faceformer(
    folder: Path, template: npt.NDArray[np.floating], *, small: bool, random_seed: int
) -> None:
    import torch

    from mdth.faceformer.config import VOCASET
    from mdth.faceformer.files import SUBJECT
    from tests.support import faceformer_made_up as faceformer
    from tests.support.flame_made_up import write_ply

    config = dataclasses.replace(VOCASET, encoder=faceformer.SMALL_ENCODER) if small else VOCASET
    network = faceformer.network(config, random_seed=random_seed)
    network.vertice_map_r.weight.mul_(SPEECH_SHARE)
    network.vertice_map_r.bias.zero_()
    torch.save(network.state_dict(), folder / "vocaset.pth")
    if small:
        config.save(folder / "vocaset.json")
    (folder / "params.npy").write_bytes(pickle.dumps({"pose": POSE, "trans": TRANSLATION}, 2))
    write_ply(folder / f"{SUBJECT}.ply", template)


def main() -> None:
    """The command line; see the top of this file."""
    parser = command.parser("tests.support.seed_made_up", __doc__)
    parser.add_argument("folder", type=Path, help="a folder warping-common/th")
    parser.add_argument("--small", action="store_true", help="networks for a CPU")
    parser.add_argument("--random-seed", "--seed", type=int, default=0)
    given = parser.parse_args()
    for path in write(given.folder, small=given.small, random_seed=given.random_seed):
        log.info("%s: %.1f MB", path, path.stat().st_size / 1e6)


if __name__ == "__main__":
    command.run(main)
