"""A training run's state on disk, from which it goes on exactly."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdth.errors import CheckpointError, InputError
from mdth.faceformer.network import Network, positions
from mdth.files.state_dict import DAMAGED
from mdth.files.write import replacing
from training.seed.settings import STATE, Settings

log = logging.getLogger("mdth")

WEIGHTS = "faceformer.pth"
TABLED_FRAMES = 600
"""The published files hold a table of positions for at least so many frames."""


@dataclass
class Trained:
    """What changes while training. scaler: of losses in half precision."""

    network: Network
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int = 0

    def save(self, folder: Path, settings: Settings) -> None:
        """Write all of it, replacing the last state once the new one is complete."""
        state = {
            "step": self.step,
            "settings": json.dumps(asdict(settings)),
            **{name: part.state_dict() for name, part in self._parts().items()},
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with replacing(folder / STATE) as part:
            torch.save(state, part)

    def load(self, folder: Path, settings: Settings) -> None:
        """Go on from what `save` wrote. Raises CheckpointError, InputError: other settings."""
        path = folder / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            other = json.loads(state["settings"])
            differing = settings.differing(other)
            if differing:
                raise InputError(
                    f"{path} was trained with other settings ({', '.join(differing)}); give the "
                    "same, or another folder"
                )
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            torch.set_rng_state(state["random"])
            if torch.cuda.is_available() and state["random_cuda"]:
                torch.cuda.set_rng_state_all(state["random_cuda"])
            self.step = state["step"]
        except DAMAGED as error:
            raise CheckpointError(f"{path}: no state to go on from ({error})") from error
        log.info("going on from step %d of %s", self.step, path)

    def _parts(self) -> dict[str, Any]:
        return {"network": self.network, "optimizer": self.optimizer, "scaler": self.scaler}


def published_state(network: Network) -> dict[str, Tensor]:
    """The weights under the published names, on the CPU, with the table of positions."""
    config = network.config
    place = positions(config.period, config.width)
    state = {name: tensor.detach().cpu() for name, tensor in network.state_dict().items()}
    repeats = TABLED_FRAMES // config.period + 1
    return {"PPE.pe": place.repeat(repeats, 1)[None], **state}


def save_weights(network: Network, folder: Path) -> Path:
    """Write `faceformer.pth`, which the published code and ours load, and its sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WEIGHTS
    torch.save(published_state(network), path)
    network.config.save(path.with_suffix(".json"))
    return path
