"""A run of training: its folder of results, and the processes that share it."""

import argparse
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor, distributed

from training.generator import sizes
from training.generator.batches import Clips, Pair
from training.generator.packed import Packed
from training.generator.trainer import Trainer, psnr, reenact

log = logging.getLogger("mdth")

HELD_OUT, EACH = 5, 6
SHOWN = 6


class Team(NamedTuple):
    """A process and how many `torchrun` started; without it there is one."""

    rank: int
    size: int
    device: torch.device


@contextmanager
def team() -> Iterator[Team]:
    """Join the others, and leave them at the end."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(device)
    if size > 1:
        distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Team(rank, size, torch.device(device))
    finally:
        if size > 1:
            distributed.destroy_process_group()


class Run:
    """A folder of results, a trainer and its data."""

    def __init__(self, out: Path, trainer: Trainer, clips: Clips, *, batch: int) -> None:
        self.out, self.trainer, self.clips, self.batch = out, trainer, clips, batch
        self.checkpoint = out / "checkpoint.pth.tar"
        self._curve = out / "curve.json"
        self._test = clips.held_out(EACH)

    def begin(self) -> None:
        """Go on from the folder's checkpoint, if there is one."""
        if self.checkpoint.is_file():
            self.trainer.load(self.checkpoint)
            log.info("going on from step %d", self.trainer.steps)

    def train(self, until: int, random: np.random.Generator) -> dict[str, float]:
        """Steps up to a number of them; the mean of their losses."""
        seen: list[dict[str, float]] = []
        while self.trainer.steps < until:
            seen.append(self.trainer.step(self.clips.draw(self.batch, random)))
        names = dict.fromkeys(name for losses in seen for name in losses)
        return {
            name: float(np.mean([losses[name] for losses in seen if name in losses]))
            for name in names
        }

    def report(self, losses: dict[str, float], elapsed_s: float) -> float:
        """Measure on the held-out clips, write curve, samples and checkpoint; the mean PSNR."""
        made = reenact(self.trainer.average, self._test)
        mean = _mean_psnr(made, self._test)
        curve = json.loads(self._curve.read_text()) if self._curve.is_file() else []
        entry = {"step": self.trainer.steps, "psnr_db": mean, "elapsed_s": elapsed_s, **losses}
        if not any("still_db" in earlier for earlier in curve):
            entry["still_db"] = _mean_psnr(self._test.source, self._test)
        curve = [*curve, {key: round(value, 4) for key, value in entry.items()}]
        self._curve.write_text(json.dumps(curve, indent=1))
        path = self.out / f"samples-{self.trainer.steps:06d}.png"
        PillowImage.fromarray(grid(self._test, made)).save(path)
        self.trainer.save(self.checkpoint)
        log.info("%s", json.dumps(curve[-1]))
        return mean


def _mean_psnr(pictures: Tensor, pair: Pair) -> float:
    """Of pictures [B,3,S,S] against the driving ones, dB."""
    return float(psnr(pictures, pair.driving).mean())


def grid(pair: Pair, made: Tensor) -> np.ndarray:
    """Columns of source, driving and made pictures, RGB uint8."""
    step = max(1, len(made) // SHOWN)
    rows = [part[::step][:SHOWN] for part in (pair.source, pair.driving, made)]
    lines = [torch.cat(list(row.clamp(0, 1)), 2) for row in rows]
    picture = torch.cat(lines, 1).permute(1, 2, 0) * 255
    return picture.round().to(torch.uint8).cpu().numpy()


def train(given: argparse.Namespace, place: Team) -> None:
    """What the command's arguments say, as one of `place.size` processes."""
    torch.manual_seed(given.random_seed)
    config = sizes.chosen(given.config, given.side)
    packed = Packed.load(given.clips)
    given.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        config,
        place.device,
        several=place.size > 1,
        critic_width=given.critic_width,
        perceptual=given.vgg,
    )
    clips = Clips(packed, side=config.frame_size, held_out=HELD_OUT, device=place.device)
    run = Run(given.out, trainer, clips, batch=given.batch)
    run.begin()
    random = np.random.default_rng([given.random_seed, trainer.steps, place.rank])
    sizes.write_config(given.out / "config.yaml", config, sizes.FULL_HEADPOSE)
    start = time.monotonic()
    if place.rank == 0 and not trainer.steps:
        run.report({}, 0.0)
    while trainer.steps < given.steps and not _late(start, given.minutes, place):
        losses = run.train(min(trainer.steps + given.every, given.steps), random)
        if place.rank == 0:
            run.report(losses, time.monotonic() - start)
    if place.size > 1:
        distributed.barrier()


def _late(start: float, minutes: float, place: Team) -> bool:
    """Whether the time is over, by the first process's clock."""
    late = torch.tensor(float(time.monotonic() - start > 60 * minutes), device=place.device)
    if place.size > 1:
        distributed.broadcast(late, 0)
    return bool(late)
