"""One clip over several devices: batches go round, frames come back in order.

A process for each device holds its own generator. Every batch is the same, whoever renders it, so
the frames do not depend on the number of devices. At most `AHEAD` batches a device are under way.
"""

import itertools
import logging
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, multiprocessing

from mdth.artefacts import Frame
from mdth.bfv2v.checkpoint import load_generator
from mdth.bfv2v.config import read_generator
from mdth.bfv2v.landmarks import Landmarks
from mdth.bfv2v.predictor import AHEAD, Pixels, Predictor, batch_size, found_device, in_batches
from mdth.errors import DeviceError, MdthError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    Pipe = Connection[Any, Any]

log = logging.getLogger("mdth")

START_S = 600
"""The longest a device may take to load its generator."""
STOP_S = 10


class Source(NamedTuple):
    """What is shown: RGB uint8 [S,S,3], its landmarks, and in how many frames."""

    picture: Frame
    landmarks: Landmarks
    frames: int = 0


class Files(NamedTuple):
    """A generator's checkpoint and YAML."""

    checkpoint: Path
    config: Path


class Renderers(AbstractContextManager["Renderers"]):
    """A generator on each of the devices, ready for any number of clips. Use it with `with`.

    devices: "cpu", "cuda:0", ...; one works in this process. batch: as `Predictor.frames`; it has
    to be the same for the same bytes. Raises CheckpointError, DeviceError.
    """

    def __init__(self, files: Files, devices: Sequence[str], *, batch: int | None = None) -> None:
        if not devices:
            raise ValueError("no device to render on")
        self.batch = min(batch_size(found_device(device), batch) for device in devices)
        self._own: Predictor | None = None
        self._workers: list[Worker] = []
        if len(devices) == 1:
            self._own = Predictor(load_generator(*files), devices[0])
            return
        start = time.monotonic()
        try:
            for device in devices:
                self._workers.append(Worker(files, device, self.batch))
            for worker in self._workers:
                worker.wait_until_ready()
        except BaseException:
            self.close()
            raise
        log.info("%d devices ready in %.1f s", len(devices), time.monotonic() - start)

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the devices back."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        self._own = None

    def frames(self, source: Source, driving: Iterable[Landmarks]) -> Iterator[Frame]:
        """A frame RGB uint8 [S,S,3] for each of the driving landmarks, in order.

        Raises DeviceError if a worker is lost.
        """
        if self._own is not None:
            self._own.source(*source)
            yield from self._own.frames(driving, batch=self.batch)
            return
        for worker in self._workers:
            worker.send(source)
        under_way: deque[Worker] = deque()
        turns = itertools.cycle(self._workers)
        for worker, chosen in zip(turns, in_batches(driving, self.batch), strict=False):
            if len(under_way) == AHEAD * len(self._workers):
                yield from under_way.popleft().take()
            worker.send(chosen)
            under_way.append(worker)
        for worker in self._workers:
            worker.send(None)
        while under_way:
            yield from under_way.popleft().take()


class Worker:
    """A process with a generator, seen from outside. Its frames come through shared memory."""

    def __init__(self, files: Files, device: str, batch: int) -> None:
        self.device = device
        side = read_generator(files.config).frame_size
        shape = (AHEAD, batch, side, side, 3)
        self._slots = torch.empty(shape, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
        context = multiprocessing.get_context("spawn")
        self._end, theirs = context.Pipe()
        task = (theirs, files, device, self._slots, torch.get_num_threads())
        self._process = context.Process(target=_work, args=task, daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def wait_until_ready(self) -> None:
        """Return once the generator is loaded. Raises what went wrong there."""
        if not self._end.poll(START_S):
            raise DeviceError(f"{self.device}: no generator after {START_S} s; look at the device")
        self._receive()
        self._ready = True

    def send(self, message: Source | list[Landmarks] | None) -> None:
        """A clip's source, then batches of it to render, then None."""
        try:
            self._end.send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._receive()
            raise self._lost() from None

    def take(self) -> Pixels:
        """Frames [n,S,S,3] of the oldest batch that was given."""
        slot, count = self._receive()
        frames: Pixels = self._slots[slot, :count].numpy().copy()
        return frames

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._end.close()
        self._process.join(STOP_S if self._ready else 0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()

    def _receive(self) -> tuple[int, int]:
        try:
            found: tuple[int, int] | MdthError = self._end.recv()
        except (EOFError, ConnectionResetError):
            raise self._lost() from None
        if isinstance(found, MdthError):
            raise found
        return found

    def _lost(self) -> DeviceError:
        self._process.join(STOP_S)
        return DeviceError(
            f"{self.device}: the process that renders there ended "
            f"(code {self._process.exitcode}); run again, or with fewer devices"
        )


def _work(end: "Pipe", files: Files, device: str, slots: Tensor, threads: int) -> None:
    """A worker's life: load, then clip after clip until the other end of the pipe closes."""
    # Ctrl-C reaches every process of a terminal; here the other end of the pipe decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        torch.set_num_threads(threads)
        predictor = Predictor(load_generator(*files), device)
        end.send((0, 0))
        while True:
            predictor.source(*end.recv())
            made = predictor.batches(iter(end.recv, None), slots.shape[1])
            for slot, frames in zip(itertools.cycle(range(len(slots))), made, strict=False):
                slots[slot, : len(frames)] = torch.from_numpy(frames)
                end.send((slot, len(frames)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MdthError as error:
        end.send(error)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0][:200]
        end.send(DeviceError(f"{device}: {reason}"))
