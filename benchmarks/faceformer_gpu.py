"""The network on a GPU: the CPU's numbers, nothing that waits for the host, and how fast."""

import logging
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mdth.errors import DeviceError
from mdth.faceformer.config import Config
from mdth.faceformer.network import Network
from mdth.faceformer.predictor import FaceFormer
from mdth.faceformer.static import StaticDecoder, room_for
from mdth.faceformer.statistics import SoundStatistics
from tests.support import faceformer_made_up as made_up
from tests.support import faceformer_plain as plain

log = logging.getLogger("mdth")

DEVICE = "cuda"
COMPARED_S = 10.0
TOLERANCE = 1e-3
"""Largest deviation of the GPU from the CPU, as a share of the largest offset.

Both compute in float32, in other orders, and the steps feed their differences back.
"""


def run(config: Config, seconds: list[float]) -> None:
    """All checks and times. Raises DeviceError: no GPU, or other numbers than the CPU's."""
    if not torch.cuda.is_available():
        raise DeviceError("torch finds no GPU here")
    log.info("%s, %s", torch.cuda.get_device_name(), config.dataset)
    network = made_up.network(config)
    sound = normalised(made_up.sound(COMPARED_S))
    template = np.zeros((config.vertices, 3), np.float32)
    start = time.perf_counter()
    expected = FaceFormer(network).vertices(sound.numpy(), template, 0)
    log.info("CPU, %.0f s of sound: %.2f s", COMPARED_S, time.perf_counter() - start)
    network = network.to(DEVICE)
    found = FaceFormer(network).vertices(sound.numpy(), template, 0)
    off = largest(found, expected)
    log.info("GPU against CPU: off by %.1e of the largest offset", off)
    check_recorded(network)
    for duration_s in seconds:
        times(network, duration_s)
    if not off < TOLERANCE:
        raise DeviceError(f"the GPU's meshes are off by {off:.1e} of the largest offset")


@torch.inference_mode()
def check_recorded(network: Network, frames: int = 700) -> None:
    """Replayed steps against the same steps told one by one; and do they wait for the host?"""
    width, tokens = network.config.width, network.config.tokens_per_frame
    speech = torch.randn(frames * tokens, width, device=DEVICE)
    replayed = StaticDecoder(network, 0, room=room_for(frames))
    told = StaticDecoder(network, 0, room=room_for(frames))
    told.step.graphs.clear()
    off = (replayed.frames(speech) - told.frames(speech)).abs().max()
    log.info("replayed against told steps: off by %.1e", float(off))
    replayed.begin()
    torch.cuda.set_sync_debug_mode("error")
    try:
        replayed.frames(speech)
        log.info("no step waits for the host")
    except RuntimeError as error:
        log.info("a step waits for the host: %s", str(error).partition("\n")[0])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def times(network: Network, duration_s: float) -> None:
    """Seconds of a sound of that length: plain, the first time with recording, and later ones."""
    sound = normalised(made_up.sound(duration_s))
    template = np.zeros((network.config.vertices, 3), np.float32)
    model, samples = FaceFormer(network), sound.numpy()
    kept = [clock(lambda: model.vertices(samples, template, 0)) for _ in range(4)]
    parts = part_times(network, sound.to(DEVICE))
    flat = torch.zeros(3 * network.config.vertices, device=DEVICE)
    plain.vertices(network, sound[:16_000].to(DEVICE), flat, 0)
    slow = clock(lambda: plain.vertices(network, sound.to(DEVICE), flat, 0).cpu())
    log.info(
        "%.0f s of sound: plain %.3f s; ours %.3f s at first, %.3f s later, %.0fx; "
        "of which encoder %.3f s, decoder %.3f s",
        duration_s, slow, kept[0], min(kept[1:]), slow / min(kept[1:]), *parts,
    )  # fmt: skip


@torch.inference_mode()
def part_times(network: Network, sound: Tensor) -> tuple[float, float]:
    """Seconds of the encoder and of the recorded decoder, the second time each."""

    def encode() -> Tensor:
        statistics = SoundStatistics.of(sound)
        extractor = network.audio_encoder.feature_extractor
        return network.speech(network.aligned(extractor(sound, statistics)))

    speech = encode()
    decoder = StaticDecoder(network, 0, room=room_for(len(speech)))
    decoder.frames(speech)
    decoder.begin()
    return clock(encode), clock(lambda: decoder.frames(speech))


def clock(run: Callable[[], object]) -> float:
    """Seconds until the device is done."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def normalised(sound: Tensor) -> Tensor:
    """A sound [N] of zero mean and unit variance."""
    return (sound - sound.mean()) / (sound.var(correction=0) + 1e-7).sqrt()


def largest(found: npt.NDArray[np.floating], expected: npt.NDArray[np.floating]) -> float:
    """The largest difference as a share of the largest expected value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())
