"""Batches for the mouth network: people in fair shares, each sample moved and relit at random."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from mdth.embedded.render.conditions import CHANNELS
from training.mouth_bank import Samples, paired

# Share of each batch by set; within a set everybody comes as often.
SHARES = {
    "congress": 0.1,
    "flux": 0.06,
    "generated": 0.13,
    "london": 0.22,
    "crossed": 0.22,
    "s1": 0.05,
    "talk": 0.22,
}
# Grey pictures: only their light counts. This share of the others loses its colours too.
GREY, GREYED = ("congress",), 0.06
# Where a sample shows about a picture's pixel a pixel, plane 10 may say up to so much more: larger
# portraits are no different, but are not in the data.
LARGER_FROM, LARGER = -0.2, 0.4
# Planes that are colours: face, drawing, tooth, what to paint.
COLOURS = (0, 4, 11, CHANNELS)
TOOTH = 11
# Those the portrait's eyes and skin only guess at.
GUESSED = (4, 11)
# Beside dark skin teeth are lighter, relative to it: so many samples have teeth so much lighter, in
# logarithms of odds; and how much more or less of it a colour has.
DARKER, LIGHTER, HUE = 0.4, 1.9, 0.15
# Standard deviations of the logarithm of a random bend (see `mdth.embedded.render.tone`).
LIGHT, CAST, GUESS = 0.35, 0.15, 0.12


class Batch(NamedTuple):
    """Samples [B,17,h,w] and of each whose mouth, [B]; whether its surroundings are true; whether
    it is grey. The last `2 * pairs` are pairs of frames that follow each other.
    """

    planes: Tensor
    person: Tensor
    around: Tensor
    grey: Tensor
    pairs: int

    @property
    def lent(self) -> Tensor:
        """Which show another's mouth, softer than the face it is in, [B]."""
        clips = torch.arange(len(self.around), device=self.around.device) >= (
            len(self.around) - 2 * self.pairs
        )
        return clips & ~self.around


class Banks:
    """Samples on the device, drawn by set and person."""

    def __init__(self, samples: dict[str, Samples], device: str) -> None:
        # Pairs come last in every batch.
        order = sorted(samples, key=lambda name: (paired(name), name))
        self._sets = {name: _Set(samples[name], paired(name), device) for name in order}

    def draw(self, count: int) -> Batch:
        """A batch of about `count`, changed at random, pairs alike."""
        total = sum(SHARES[name] for name in self._sets)
        planes, person, around, grey = [], [], [], []
        pairs = 0
        for name, each in self._sets.items():
            at = each.draw(max(1, round(count * SHARES[name] / total)))
            pairs += len(at) // 2 if each.paired else 0
            planes.append(each.planes[at])
            person.append(each.person[at])
            around.append(each.around[at])
            grey.append(torch.full_like(around[-1], name in GREY))
        batch = torch.cat(planes).float()
        alike = torch.arange(len(batch), device=batch.device)
        if pairs:
            alike[-2 * pairs + 1 :: 2] -= 1
        changed = relight(beside_darker_skin(jitter(batch, alike), alike), alike)
        return Batch(changed, torch.cat(person), torch.cat(around), torch.cat(grey), pairs)


class _Set:
    def __init__(self, samples: Samples, paired: bool, device: str) -> None:
        self.planes = torch.from_numpy(samples.planes).to(device)
        self.person = torch.from_numpy(samples.person).to(device)
        self.around = torch.from_numpy(samples.around).to(device)
        self.paired = paired
        drawn = self.person[::2] if paired else self.person
        self._weights = 1.0 / torch.bincount(drawn)[drawn].float()

    def draw(self, count: int) -> Tensor:
        """Numbers of about so many samples."""
        if not self.paired:
            return torch.multinomial(self._weights, count, replacement=True)
        first = 2 * torch.multinomial(self._weights, max(1, count // 2), replacement=True)
        return torch.stack([first, first + 1], 1).flatten()


def jitter(batch: Tensor, alike: Tensor) -> Tensor:
    """Each sample shifted by up to 5 % and scaled by up to 15 %; its planes' values stay true.

    alike [B]: the number of the sample whose random numbers each one gets.
    """
    count, device = len(batch), batch.device
    scale = torch.exp(torch.empty(count, device=device).uniform_(-0.15, 0.15))[alike]
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, :, 2] = torch.empty(count, 2, device=device).uniform_(-0.1, 0.1)[alike]
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    # Plane 10 tells picture px per px here.
    moved[:, 10] += torch.log2(scale)[:, None, None] / 2
    larger = LARGER * torch.rand(count, device=device)[alike][:, None, None]
    moved[:, 10] += larger * (moved[:, 10] > LARGER_FROM)
    return moved


def beside_darker_skin(batch: Tensor, alike: Tensor) -> Tensor:
    """Teeth drawn, guessed and true are as light in some samples as beside darker skin."""
    count, device = len(batch), batch.device
    chosen = (torch.rand(count, 1, 1, 1, device=device) < DARKER)[alike]
    amount = LIGHTER * torch.rand(count, 1, 1, 1, device=device)[alike]
    hue = 1 + HUE * torch.randn(count, 3, 1, 1, device=device)[alike]
    less = torch.exp(-(chosen * amount * hue))
    out = batch.clone()
    for start in COLOURS[1:]:
        colour = (batch[:, start : start + 3] + 1) / 2
        lighter = colour / (colour + less * (1 - colour)).clamp_min(1e-3)
        share = 1.0 if start == TOOTH else toothlike(colour) * batch[:, 3:4]
        out[:, start : start + 3] = 2 * (colour + share * (lighter - colour)) - 1
    return out


def toothlike(colour: Tensor) -> Tensor:
    """How much of each pixel [B,3,h,w], relative to the skin, 0..1, is bright and not red."""
    red = colour[:, :1] / (colour[:, 1:2] + 0.01)
    bright = ((colour.mean(1, keepdim=True) - 0.15) / 0.4).clamp(0, 1)
    return bright * ((1.25 - red) / 0.35).clamp(0, 1)


def relight(batch: Tensor, alike: Tensor, colours: tuple[int, ...] = COLOURS) -> Tensor:
    """The same change of light, contrast and cast for all colours of a sample.

    Then another small one for the drawing and the tooth colour, which are guesses at runtime.
    """
    count, device = len(batch), batch.device

    def random(deviation: float, channels: int) -> Tensor:
        return torch.randn(count, channels, 1, 1, device=device)[alike] * deviation

    bend = torch.exp(random(LIGHT, 1) + random(CAST, 3))
    guess = torch.exp(random(GUESS, 1) + random(GUESS / 2, 3))
    # Some cross-talk between the channels: one man's camera must not be known by its colours.
    mix = torch.eye(3, device=device) + 0.1 * (
        2 * torch.rand(count, 3, 3, device=device)[alike] - 1
    )
    mix = mix / mix.sum(2, keepdim=True)
    mix[(torch.rand(count, device=device) < GREYED)[alike]] = 1 / 3
    out = batch.clone()
    for start in colours:
        colour = ((batch[:, start : start + 3] + 1) / 2).clamp(0, 1)
        curve = bend * guess if start in GUESSED else bend
        colour = torch.einsum("bij,bjhw->bihw", mix, colour / (colour + curve * (1 - colour)))
        out[:, start : start + 3] = colour.clamp(0, 1) * 2 - 1
    return out
