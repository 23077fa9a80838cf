"""The rows of `benchmarks.generator`."""

import logging
import math
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from benchmarks import generator_cost as cost
from mdth.artefacts import Frame
from mdth.bfv2v.devices import Files, Renderers, Source
from mdth.bfv2v.motion import Face
from mdth.bfv2v.network import Generator
from mdth.bfv2v.predictor import BATCH, COMPILED_FROM, Predictor, exact, stacked
from tests.support import generator_made_up as made_up
from tests.support.generator_plain import PlainPredictor

log = logging.getLogger("mdth")

FPS = 30
PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
SLOWEST = 20


class Bench:
    """A generator, a device, and how many frames to measure."""

    def __init__(
        self, generator: Generator, device: torch.device, frames: int, batches: list[int]
    ) -> None:
        self.generator, self.device, self.frames = generator, device, frames
        side = generator.config.frame_size
        self.picture = made_up.picture(side)
        self.batches, self.drawn = batches, frames

    def plain(self) -> None:
        """Frames a second of the network as it is, float32 with torch's own choice of TF32."""
        for batch in self.batches:
            self._speed(f"plain, batch {batch}", batch, plain=True, precision=torch.float32)

    def fast(self) -> None:
        """Frames a second of ours, not compiled and compiled (on a GPU)."""
        for self.drawn in (0, COMPILED_FROM):
            for batch in self.batches:
                name = f"ours{', for many frames' if self.drawn else ''}, batch {batch}"
                self._speed(name, batch, plain=False, precision=None)

    def mp4(self) -> None:
        """Frames a second into a written file."""
        if find_spec("av") is None:
            log.info("mp4: left out, PyAV is not installed")
            return
        from mdth.media.video import read_frames
        from mdth.media.writer import VideoWriter

        predictor = self._predictor(plain=False, precision=None)
        list(predictor.frames(made_up.landmarks(BATCH[self.device.type])))
        side = self.generator.config.frame_size
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench.mp4"
            start = time.perf_counter()
            writer = VideoWriter(path, width=side, height=side, fps=Fraction(FPS), sound=None)
            with writer:
                for frame in predictor.frames(made_up.landmarks(self.frames)):
                    writer.write(frame)
            elapsed_s = time.perf_counter() - start
            written = sum(1 for _ in read_frames(path))
        log.info("ours into an mp4: %.2f frames/s (%d written)", written / elapsed_s, written)

    def precision(self) -> None:
        """Error against the plain way in float32, in dB below the output's deviation."""
        count = min(self.frames, 32)
        exact = list(self._pictures(plain=True, precision=torch.float32, count=count))
        for name, dtype in PRECISIONS.items():
            made = self._pictures(plain=False, precision=dtype, count=count)
            worst = min(decibels(a, b) for a, b in zip(made, exact, strict=True))
            log.info("ours in %s: worst of %d frames %.1f dB", name, count, worst)

    def limits(self) -> None:
        """What the device can do."""
        for name in ("float32",) if self.device.type == "cpu" else PRECISIONS:
            found = cost.limits(self.device, PRECISIONS[name])
            log.info(
                "%s: %.3g TFLOP/s in a matrix product of %s, %.1f GB/s in a copy",
                self.device, found.operations_s / 1e12, name, found.bytes_s / 1e9,
            )  # fmt: skip

    def count(self) -> None:
        """Operations of a frame, counted on a device that computes nothing."""
        for name, found in cost.counted(self.generator.config, BATCH["cuda"]).items():
            log.info("%s: %.3f TFLOP a frame", name, found / 1e12)

    def kernels(self) -> None:
        """Where a GPU spends its time."""
        predictor = self._predictor(plain=False, precision=None)
        list(predictor.frames(made_up.landmarks(32)))
        with torch.profiler.profile() as profile:
            list(predictor.frames(made_up.landmarks(32)))
        log.info("%s", profile.key_averages().table("self_cuda_time_total", row_limit=SLOWEST))

    def _speed(self, name: str, batch: int, *, plain: bool, precision: torch.dtype | None) -> None:
        if self.device.type == "cuda":
            torch.compiler.reset()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        predictor = self._predictor(plain=plain, precision=precision, tf32=plain)
        list(predictor.frames(made_up.landmarks(batch), batch=batch))
        ready_s = time.perf_counter() - start
        count = max(self.frames // batch, 1) * batch
        start = time.perf_counter()
        for _ in predictor.frames(made_up.landmarks(count), batch=batch):
            pass
        elapsed_s = time.perf_counter() - start
        log.info(
            "%s: %.2f frames/s (%d frames; %s; ready in %.1f s)%s",
            name, count / elapsed_s, count, predictor.precision, ready_s, self._memory(),
        )  # fmt: skip

    def _memory(self) -> str:
        if self.device.type == "cpu":
            return ""
        peak = torch.cuda.max_memory_reserved(self.device)
        return f", at most {peak / 2**30:.2f} GiB"

    def _predictor(
        self, *, plain: bool, precision: torch.dtype | None, tf32: bool = False
    ) -> Predictor:
        kind = PlainPredictor if plain else Predictor
        predictor = kind(self.generator, self.device, precision=precision)
        predictor.tf32 = tf32
        predictor.source(self.picture, made_up.landmarks(1)[0], 0 if plain else self.drawn)
        return predictor

    @torch.inference_mode()
    def _pictures(self, *, plain: bool, precision: torch.dtype, count: int) -> Iterator[np.ndarray]:
        """[3,S,S] in 0..1, before they are rounded."""
        predictor = self._predictor(plain=plain, precision=precision)
        for landmarks in made_up.landmarks(count):
            face = Face(*(part.to(self.device) for part in stacked([landmarks])))
            with exact():
                made = predictor.renderer.render(face)
            yield made[0].float().cpu().numpy()


def over_devices(files: Files, devices: list[str], frames: int) -> None:
    """Frames a second of one clip over 1, 2 ... of the devices, models loaded."""
    source = Source(made_up.picture(256), made_up.landmarks(1)[0])
    alone = 0.0
    for number in range(1, len(devices) + 1):
        start = time.perf_counter()
        with Renderers(files, devices[:number]) as renderers:
            warm = made_up.landmarks(4 * number * renderers.batch)
            list(renderers.frames(source, warm))
            ready_s = time.perf_counter() - start
            start = time.perf_counter()
            drawn = sum(1 for _ in renderers.frames(source, made_up.landmarks(frames)))
            rate = drawn / (time.perf_counter() - start)
        alone = alone or rate
        log.info(
            "%d of %s: %.2f frames/s, %.2f of one (%d frames; ready in %.1f s)",
            number, devices, rate, rate / alone, drawn, ready_s,
        )  # fmt: skip


def decibels(made: Frame | np.ndarray, true: np.ndarray) -> float:
    """How far the error's root mean square is below the true picture's standard deviation."""
    error = math.sqrt(float(np.mean((made.astype(np.float64) - true) ** 2)))
    return 20 * math.log10(float(true.std()) / max(error, 1e-12))
