"""The network for what moving skin does, its training, and how it is written."""

import logging
import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdth.embedded.render.skin import CHANNELS, Area
from training.mouth_batches import relight
from training.mouth_network import UNet
from training.mouth_trainer import energy_loss, losses
from training.skin_bank import Bank

log = logging.getLogger("mdth")

WIDTHS, CODE, DEEP = (16, 28, 56), 48, 2
LEARNING_RATE, WARM_UP, AVERAGE, REPORT = 6e-4, 50, 0.99, 200


class Settings(NamedTuple):
    """How long, and how much is done against learning by heart."""

    steps: int = 1200
    noise: float = 0.1
    energy: float = 0.5
    decay: float = 0.05
    batch: int = 64


SETTINGS = {
    "lower_face": Settings(4000, noise=0.05, energy=2.0),
    "lids": Settings(1000, noise=0.25, energy=1.5),
}


class SkinNetwork(UNet):
    """Planes [B,5,h,w] and ways [B,K] (`render.skin`) -> the skin as it should be [B,3,h,w].

    A change times a mask, both of the network: untrained, it changes nothing.
    """

    place: Tensor

    def __init__(self, area: Area) -> None:
        super().__init__(CHANNELS + 2, 4, CODE, widths=WIDTHS, deep=DEEP)
        # Folds are broad: what is as fine as a pore stays the portrait's.
        self.soft = area.eye is None
        width, height = area.size
        axes = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        self.register_buffer("place", torch.stack(torch.meshgrid(*axes, indexing="ij"))[None])
        self.moved = nn.Sequential(nn.Linear(area.ways, CODE), nn.SiLU(), nn.Linear(CODE, CODE))

    def forward(self, planes: Tensor, ways: Tensor) -> Tensor:
        """See the class."""
        place = self.place.expand(planes.shape[0], -1, -1, -1)
        out = super().forward(torch.cat([planes, place], 1), functional.silu(self.moved(ways)))
        change = out[:, :3] * torch.sigmoid(out[:, 3:])
        if self.soft:
            change = functional.avg_pool2d(functional.avg_pool2d(change, 3, 1, 1), 3, 1, 1)
        return planes[:, :3] + planes[:, 3:4] * change


def moved(batch: Tensor) -> Tensor:
    """Each sample shifted by up to 4 % and scaled by up to 10 %."""
    count, device = len(batch), batch.device
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = torch.empty(count, device=device).uniform_(0.9, 1.1)
    matrix[:, :, 2] = torch.empty(count, 2, device=device).uniform_(-0.08, 0.08)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    return functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)


@torch.no_grad()
def score(network: SkinNetwork, samples: Tensor, ways: Tensor) -> dict[str, float]:
    """PSNR of what may change, warped and painted, dB."""
    planes, true = samples[:, :CHANNELS].float(), samples[:, CHANNELS:].float()
    mask = (planes[:, 3:4] > 0.5).float()
    found = {}
    for name, skin in (("warped", planes[:, :3]), ("painted", network(planes, ways))):
        error = (((skin - true) / 2) ** 2 * mask).sum((1, 2, 3)) / (3 * mask.sum((1, 2, 3)) + 1)
        found[name] = round(float((-10 * torch.log10(error.clamp_min(1e-6))).mean()), 2)
    return found


def trained(made: tuple[Bank, Bank], area: Area, settings: Settings) -> SkinNetwork:
    """A network trained from the start; few people are learnt by heart soon, so steps are few."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    network, average = (SkinNetwork(area).to(device) for _ in range(2))
    average.load_state_dict(network.state_dict())
    optimiser = torch.optim.AdamW(
        network.parameters(), LEARNING_RATE, (0.9, 0.99), weight_decay=settings.decay
    )
    planes, ways = (torch.from_numpy(x).to(device) for x in made[0][:2])
    weight = torch.from_numpy(made[0].weight).to(device)
    tests = [torch.from_numpy(x).to(device) for x in made[1][:2]]
    alike = torch.arange(settings.batch, device=device)
    for step in range(settings.steps):
        at = step / settings.steps
        rate = max(0.02, 0.5 * (1 + math.cos(math.pi * at))) * min(1.0, (step + 1) / WARM_UP)
        optimiser.param_groups[0]["lr"] = LEARNING_RATE * rate
        drawn = torch.multinomial(weight, settings.batch, replacement=True)
        lit = relight(moved(planes[drawn].float()), alike, colours=(0, CHANNELS))
        told = ways[drawn] + settings.noise * torch.randn_like(ways[drawn])
        window = lit[:, 3:4]
        painted, true = network(lit[:, :CHANNELS], told), lit[:, CHANNELS:]
        colour, edges = losses(painted, true, window)
        loss = colour + edges + settings.energy * energy_loss(painted, true, window)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        keep = min(AVERAGE, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
        if step % REPORT == REPORT - 1 or step == settings.steps - 1:
            log.info("%d %.4f %s", step + 1, loss.item(), score(average, *tests))
    return average


def export(network: SkinNetwork, area: Area, path: Path) -> None:
    """Write it as ONNX: `planes` [1,5,h,w], `ways` [1,K] -> `painted` [1,3,h,w]."""
    width, height = area.size
    torch.onnx.export(
        network.cpu().eval(),
        (torch.zeros(1, CHANNELS, height, width), torch.zeros(1, area.ways)),
        str(path),
        input_names=["planes", "ways"],
        output_names=["painted"],
        opset_version=17,
        dynamo=False,
    )
