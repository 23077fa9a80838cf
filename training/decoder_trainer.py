"""How the decoder is trained: losses, steps, and scores on clips it never saw."""

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mdth.errors import InputError
from training import command
from training.measures import linear
from training.network import DecoderConfig, LipDecoder
from training.people import People

log = logging.getLogger("mdth")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Weights of the losses are relative to the coefficients' own.

    measures: of each of `training.measures`. swing: of how far each goes within a window, which
    a regression makes too little. ahead: all is asked of the track that this frame from the end of
    each window of a run makes, and of the rest of the windows `whole` of it; 0: windows are pairs.
    """

    steps: int = 3000
    pairs: int = 256
    rate: float = 1.5e-3
    decay: float = 0.05
    average: float = 0.998
    measures: tuple[float, ...] = (1.0, 1.0, 0.3, 0.5, 0.5, 0.3)
    swing: float = 0.3
    velocity: float = 2.0
    closed: float = 2.0
    marked: float = 0.3
    consistency: float = 1.0
    noise: float = 0.1
    ahead: int = 0
    whole: float = 0.3
    random_seed: int = 0


@dataclass(frozen=True)
class Windows:
    """Windows on a device: features [W,T,368], coefficients [W,T,K], marks, shift [W/G].

    G windows are a pair or a run of `training.features`.
    """

    features: Tensor
    coefficients: Tensor
    marks: Tensor
    shift: Tensor

    @classmethod
    def load(cls, folders: list[Path], device: torch.device) -> "Windows":
        """Read the session files of some folders."""
        files = [f for folder in folders for f in command.files_in(folder, "session_*.npz")]
        parts: dict[str, list[Tensor]] = {
            name: [] for name in ("features", "coefficients", "marks", "shift")
        }
        for file in sorted(files):
            with np.load(file, allow_pickle=False) as arrays:
                for name, found in parts.items():
                    found.append(torch.from_numpy(arrays[name]).to(device))
        return cls(**{name: torch.cat(found) for name, found in parts.items()})

    def batches(self, pairs: int, steps: int, random_seed: int) -> Iterator[tuple[Tensor, ...]]:
        """Random batches; the two windows of a pair lie in the two halves of a batch, and so on."""
        group = len(self.features) // len(self.shift)
        order = torch.Generator().manual_seed(random_seed)
        for _ in range(steps):
            pick = torch.randint(len(self.shift), (pairs,), generator=order).to(self.shift.device)
            rows = torch.cat([group * pick + k for k in range(group)])
            yield (
                self.features[rows].float(),
                self.coefficients[rows].float(),
                self.marks[rows],
                self.shift[pick],
            )


class Mouth:
    """The measures of a mouth as linear functions of coefficients, for losses.

    of [K,6]; variance [6] over the windows; rest: the gap between shut lips.
    """

    def __init__(self, people: People, device: torch.device) -> None:
        self.of = torch.tensor(linear(people.basis), dtype=torch.float32, device=device)
        gaps = [clip.measures[:, 0].min() for clip in people.of("train")]
        self.rest = max(0.0, float(np.median(gaps)))
        self.variance = torch.ones(self.of.shape[1], device=device)

    def scale(self, coefficients: Tensor) -> None:
        """Take the variances of coefficients [W,T,K]."""
        self.variance = (coefficients @ self.of).reshape(-1, self.of.shape[1]).var(dim=0)


def pair_gap(first: Tensor, second: Tensor, shift: Tensor) -> Tensor:
    """Mean square difference of two windows' outputs [B,T,K] at the same times.

    The second window starts `shift` [B] frames after the first.
    """
    frames = first.shape[1]
    at = torch.arange(frames, device=first.device) + shift[:, None]
    low = at.floor().long()
    part = (at - low)[..., None]
    valid = (low >= 4) & (low < frames - 3)
    index = low.clamp(0, frames - 2)[..., None].expand(-1, -1, first.shape[2])
    between = first.gather(1, index) * (1 - part) + first.gather(1, index + 1) * part
    square = (between - second).square().mean(dim=2) * valid
    return square.sum() / valid.sum()


def loss_of(
    output: Tensor, batch: tuple[Tensor, ...], mouth: Mouth, variance: Tensor, train: TrainConfig
) -> Tensor:
    """The training loss of outputs [G*B,T,K]."""
    _, target, marks, shift = batch
    rest: Tensor | float = 0.0
    if train.ahead:
        rest = train.whole * (output - target).square().sum(dim=2).mean() / variance.sum()
        output, target, marks = (
            served(rows, train.ahead, len(shift)) for rows in (output, target, marks)
        )
    error = output - target
    wanted, made = target @ mouth.of, output @ mouth.of
    weights = torch.tensor(train.measures, device=output.device)
    gap = wanted[..., 0] + mouth.rest
    near_shut = 1 + train.closed * torch.exp(-gap.clamp(min=0) / 0.02)
    square = (made - wanted).square() / mouth.variance
    square = torch.cat([near_shut[..., None] * square[..., :1], square[..., 1:]], dim=-1)
    total: Tensor = error.square().sum(dim=2).mean() / variance.sum()
    total = total + (weights * square.mean(dim=(0, 1))).sum()
    swing = (_deviation(made) - _deviation(wanted)).square() / mouth.variance
    total = total + train.swing * (weights * swing.mean(dim=0)).sum()
    moved = (error[:, 1:] - error[:, :-1]).square().sum(dim=2).mean() / variance.sum()
    total = total + train.velocity * moved
    predicted = made[..., 0] + mouth.rest
    open_marks = (predicted - 0.006).clamp(min=0).square() * marks
    total = total + train.marked * open_marks.sum() / marks.sum().clamp(min=1) / mouth.variance[0]
    total = total + (-predicted).clamp(min=0).square().mean() / mouth.variance[0]
    if train.ahead:
        return total + rest
    half = len(shift)
    between = pair_gap(output[:half], output[half:], shift) * output.shape[2] / variance.sum()
    return total + train.consistency * between


def served(rows: Tensor, ahead: int, runs: int) -> Tensor:
    """The tracks [B,G,...] of the frame of each window [G*B,T,...] that is `ahead` from its end."""
    return rows[:, -ahead].reshape(-1, runs, *rows.shape[2:]).transpose(0, 1)


def _deviation(tracks: Tensor) -> Tensor:
    """Standard deviation [B,F] over time of tracks [B,T,F]."""
    return (tracks.var(dim=1) + 1e-8).sqrt()


def train_decoder(
    network: LipDecoder, train: TrainConfig, windows: Windows, people: People
) -> LipDecoder:
    """A decoder trained on windows: a running average of its weights."""
    device = windows.features.device
    network = network.to(device)
    mouth = Mouth(people, device)
    sample = windows.coefficients[:: max(1, len(windows.coefficients) // 4000)].float()
    mouth.scale(sample)
    variance = sample.reshape(-1, sample.shape[2]).var(dim=0)
    if bool((network.scale == 1).all()):  # it begins
        network.scale.data = variance.sqrt()
    ema = torch.optim.swa_utils.get_ema_multi_avg_fn
    mean_of_weights = ema(train.average)  # type: ignore[no-untyped-call]
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=mean_of_weights)
    learnt = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=train.rate, weight_decay=train.decay)
    network.train()
    batches = windows.batches(train.pairs, train.steps, train.random_seed)
    for step, batch in enumerate(batches):
        part = step / train.steps
        rate = train.rate * min(1.0, step / 100) * 0.5 * (1 + math.cos(math.pi * part))
        for group in optimiser.param_groups:
            group["lr"] = rate
        heard = batch[0] + train.noise * torch.randn_like(batch[0])
        loss = loss_of(network(heard), batch, mouth, variance, train)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        average.update_parameters(network)
        if step % 500 == 0:
            log.info("step %d loss %.4f", step, float(loss.detach()))
    final = average.module
    if not isinstance(final, LipDecoder):
        raise TypeError("the average lost its network")
    return final.eval()


def save_run(
    folder: Path, network: LipDecoder, train: TrainConfig, scores: dict[str, object]
) -> None:
    """Write `decoder.pt` and `scores.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), folder / "decoder.pt")
    card = {"config": asdict(network.config), "train": asdict(train), "scores": scores}
    (folder / "scores.json").write_text(json.dumps(card, indent=1), "utf-8")


def configure(settings: list[str]) -> tuple[DecoderConfig, TrainConfig]:
    """Configurations with some fields given as NAME=VALUE."""
    fields = dict(setting.split("=", 1) for setting in settings)
    values: dict[str, Any] = {
        name: json.loads(text) if text[0] in "0123456789-" else text
        for name, text in fields.items()
    }
    own = set(DecoderConfig.__dataclass_fields__)
    unknown = set(values) - own - set(TrainConfig.__dataclass_fields__)
    if unknown:
        raise InputError(f"--set: no such setting: {', '.join(sorted(unknown))}")
    return (
        DecoderConfig(**{k: v for k, v in values.items() if k in own}),
        TrainConfig(**{k: v for k, v in values.items() if k not in own}),
    )
