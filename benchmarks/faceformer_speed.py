"""FaceFormer against a plain re-computation of every step, and windows against a whole clip."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mdth.faceformer.config import Config
from mdth.faceformer.decoder import Decoder
from mdth.faceformer.network import Network
from mdth.faceformer.predictor import FaceFormer
from mdth.faceformer.windows import LONG
from tests.support import faceformer_made_up as made_up
from tests.support import faceformer_plain as plain

log = logging.getLogger("mdth")

STEP_REPEATS = 200
RUNS = 3


class Cost(NamedTuple):
    """Seconds on the clock, and of all processors together: the second bears a busy machine."""

    wall_s: float
    cpu_s: float


def speed(config: Config, seconds: list[float], *, every: int = 1) -> None:
    """A clip, plain and kept, the middle of RUNS; the encoder is in both, and is also shown alone.

    every: measure the plain steps in such strides and take the ones between as costing the same.
    """
    network = made_up.network(config)
    for device in devices():
        network = network.to(device)
        for duration_s in seconds:
            sound = made_up.sound(duration_s)
            sound = (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()
            encoder, decoder = plain_cost(network, sound.to(device), every=every)
            kept = kept_cost(network, sound)
            log.info("%s, %s, %.0f s of sound:", device, config.dataset, duration_s)
            for index, clock in enumerate(Cost._fields):
                whole = encoder[index] + decoder[index]
                log.info(
                    "  %-6s plain %.2f (encoder %.2f, decoder %.2f), kept %.2f: %.1fx",
                    clock, whole, encoder[index], decoder[index], kept[index], whole / kept[index],
                )  # fmt: skip


@torch.inference_mode()
def plain_cost(network: Network, sound: Tensor, *, every: int) -> tuple[Cost, Cost]:
    """Encoder and decoder of the plain way for a sound [N] on the network's device."""
    memory = plain.speech(network, sound)[None]
    encoder = middle(lambda: plain.speech(network, sound), str(sound.device))
    tokens = network.config.tokens_per_frame
    frames = memory.shape[1] // tokens
    masks = {
        "own": plain.past_mask(network, frames),
        "crossed": plain.aligned_mask(frames, tokens).to(sound.device),
    }
    total = Cost(0.0, 0.0)
    for frame in range((every + 1) // 2, frames + 1, every):
        inputs = torch.randn(1, frame, network.config.width, device=sound.device)

        def one(inputs: Tensor = inputs) -> None:
            network.vertice_map(plain.step(network, inputs, memory, **masks)[:, -1:])

        found = cost(one, str(sound.device))
        total = Cost(total.wall_s + found.wall_s * every, total.cpu_s + found.cpu_s * every)
    return encoder, total


def kept_cost(network: Network, sound: Tensor) -> Cost:
    """The public way, from samples to meshes in the main memory."""
    model = FaceFormer(network)
    samples, device = sound.cpu().numpy(), str(network.vertice_map_r.bias.device)
    template = np.zeros((network.config.vertices, 3), np.float32)
    model.vertices(samples[: len(samples) // 4], template, 0)
    return middle(lambda: model.vertices(samples, template, 0), device)


def steps(config: Config, at: tuple[int, ...] = (10, 1_000, 10_000)) -> list[float]:
    """Seconds of one step, its mesh included, at so many frames; the least of STEP_REPEATS.

    The repeats of all are interleaved, so that what else the machine does meets all alike.
    """
    network = made_up.network(config)
    runs = [Stepper(network, done) for done in at]
    least = [float("inf")] * len(runs)
    for _ in range(STEP_REPEATS):
        least = [min(best, run.step_s()) for best, run in zip(least, runs, strict=True)]
    for done, step in zip(at, least, strict=True):
        log.info("step %6d: %.3f ms, %.2f times the first", done, 1e3 * step, step / least[0])
    return least


class Stepper:
    """A decoder that has done so many frames, and the time of its next one, mesh included."""

    @torch.inference_mode()
    def __init__(self, network: Network, done: int) -> None:
        self.network, self.decoder = network, Decoder(network, 0)
        self.shape = (network.config.tokens_per_frame, network.config.width)
        self.decoder.frames(torch.randn(done * self.shape[0], self.shape[1]))

    @torch.inference_mode()
    def step_s(self) -> float:
        """Seconds of one step."""
        speech = torch.randn(self.shape)
        start = time.perf_counter()
        self.network.vertice_map_r(self.decoder.frames(speech))
        return time.perf_counter() - start


def deviation(config: Config, duration_s: float) -> dict[str, float]:
    """How far windows are from the whole clip, over the meshes' own motion.

    Root mean square of the difference, divided by that of the whole clip's motion around its mean.
    """
    model = FaceFormer(made_up.network(config))
    sound = made_up.sound(duration_s).numpy()
    template = np.zeros((config.vertices, 3), np.float32)
    whole = model.vertices(sound, template, 0, whole_clip_s=duration_s + 1)
    motion = float(np.sqrt(np.mean((whole - whole.mean(axis=0)) ** 2)))
    found = {}
    ways: dict[str, Callable[[], np.ndarray]] = {
        f"long file ({LONG})": lambda: model.vertices(sound, template, 0, whole_clip_s=0),
    }
    for way, run in ways.items():
        start = Cost(time.perf_counter(), time.process_time())
        difference = run() - whole
        found[way] = float(np.sqrt(np.mean(difference**2))) / motion
        log.info(
            "%s, %.0f s: RMS %.4f of the motion, largest %.4f of it; %.1f s, of processors %.1f s",
            way, duration_s, found[way], float(np.abs(difference).max()) / motion,
            time.perf_counter() - start.wall_s, time.process_time() - start.cpu_s,
        )  # fmt: skip
    return found


def devices() -> list[str]:
    """What torch can run on here."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def middle(run: Callable[[], object], device: str) -> Cost:
    """What the middle one of RUNS runs costs; the plain decoder's many steps need no such care."""
    costs = [cost(run, device) for _ in range(RUNS)]
    return Cost(*(sorted(values)[RUNS // 2] for values in zip(*costs, strict=True)))


def cost(run: Callable[[], object], device: str) -> Cost:
    """What one run costs."""
    _wait(device)
    wall, processor = time.perf_counter(), time.process_time()
    run()
    _wait(device)
    return Cost(time.perf_counter() - wall, time.process_time() - processor)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()
