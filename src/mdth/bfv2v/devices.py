"""One clip over several devices: batches go round, frames come back in order.

A process for each device holds its own generator. Every batch is the same, whoever renders it, so
the frames do not depend on the number of devices. At most `AHEAD` batches a device are under way.
"""

import itertools
import logging
import math
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from mdth.artefacts import Frame
from mdth.bfv2v.checkpoint import load_generator
from mdth.bfv2v.config import read_generator
from mdth.bfv2v.landmarks import Landmarks
from mdth.bfv2v.predictor import AHEAD, Predictor, batch_size, found_device
from mdth.errors import DeviceError, MdthError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    Pipe = Connection[Any, Any]

log = logging.getLogger("mdth")

START_S = 600
"""The longest a device may take to load its generator."""
STOP_S = 10


class Source(NamedTuple):
    """What is shown: RGB uint8 [S,S,3] and its landmarks."""

    picture: Frame
    landmarks: Landmarks


@dataclass(frozen=True)
class Files:
    """A generator's checkpoint and YAML."""

    checkpoint: Path
    config: Path


def render(
    files: Files,
    source: Source,
    driving: Iterable[Landmarks],
    *,
    devices: Sequence[str],
    batch: int | None = None,
) -> Iterator[Frame]:
    """A frame RGB uint8 [S,S,3] for each of the driving landmarks, in order.

    devices: "cpu", "cuda:0", ...; one works in this process. batch: as `Predictor.frames`; it has
    to be the same for the same bytes. Raises CheckpointError, DeviceError if a worker is lost.
    """
    with Renderers(files, devices, batch=batch) as renderers:
        yield from renderers.frames(source, driving)


class Renderers:
    """A generator on each of the devices, ready for any number of clips. Use it with `with`."""

    def __init__(self, files: Files, devices: Sequence[str], *, batch: int | None = None) -> None:
        if not devices:
            raise ValueError("no device to render on")
        self.batch = min(batch_size(found_device(device), batch) for device in devices)
        self._files, self._devices = files, list(devices)
        self._own: Predictor | None = None
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        if len(self._devices) == 1:
            generator = load_generator(self._files.checkpoint, self._files.config)
            self._own = Predictor(generator, self._devices[0])
            return self
        start = time.monotonic()
        try:
            for device in self._devices:
                self._workers.append(_Worker(self._files, device, self.batch))
            for worker in self._workers:
                worker.wait_until_ready()
            elapsed_s = time.monotonic() - start
            log.info("%d devices ready in %.1f s", len(self._workers), elapsed_s)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def reusable(self) -> bool:
        """Whether the next clip gets from these what it would get from new ones."""
        return self._own is not None and not self._own.widened

    def frames(self, source: Source, driving: Iterable[Landmarks]) -> Iterator[Frame]:
        """As `render`."""
        if self._own is not None:
            self._own.source(*source)
            yield from self._own.frames(driving, batch=self.batch)
            return
        for worker in self._workers:
            worker.begin(source)
        under_way: deque[_Worker] = deque()
        turns = itertools.cycle(self._workers)
        for worker, chosen in zip(turns, _batches(driving, self.batch), strict=False):
            if len(under_way) == AHEAD * len(self._workers):
                yield from under_way.popleft().take()
            worker.give(chosen)
            under_way.append(worker)
        for worker in self._workers:
            worker.end()
        while under_way:
            yield from under_way.popleft().take()

    def _stop(self) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers.clear()
        self._own = None


def _batches(driving: Iterable[Landmarks], size: int) -> Iterator[list[Landmarks]]:
    remaining = iter(driving)
    while chosen := list(itertools.islice(remaining, size)):
        yield chosen


class _Worker:
    """A process with a generator, seen from outside. Its frames come through shared memory."""

    def __init__(self, files: Files, device: str, batch: int) -> None:
        self.device = device
        side = read_generator(files.config).frame_size
        shape = (AHEAD, batch, side, side, 3)
        self._memory = SharedMemory(create=True, size=math.prod(shape))
        self._slots = np.ndarray(shape, np.uint8, self._memory.buf)
        context = multiprocessing.get_context("spawn")
        self._end, theirs = context.Pipe()
        task = Task(files, device, shape, self._memory.name, torch.get_num_threads())
        self._process = context.Process(target=_worker_process, args=(theirs, task), daemon=True)
        self._process.start()
        theirs.close()
        self._ready = False

    def wait_until_ready(self) -> None:
        """Return once the generator is loaded. Raises what went wrong there."""
        if not self._end.poll(START_S):
            raise DeviceError(f"{self.device}: no generator after {START_S} s; look at the device")
        self._receive()
        self._ready = True

    def begin(self, source: Source) -> None:
        """A new clip."""
        self._send(source)

    def give(self, landmarks: list[Landmarks]) -> None:
        """A batch to render."""
        self._send(landmarks)

    def end(self) -> None:
        """No batch comes after those given."""
        self._send(None)

    def take(self) -> npt.NDArray[np.uint8]:
        """Frames [n,S,S,3] of the oldest batch that was given."""
        slot, count = self._receive()
        return self._slots[slot, :count].copy()

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._end.close()
        self._process.join(STOP_S if self._ready else 0)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join()
        del self._slots
        self._memory.close()
        self._memory.unlink()

    def _send(self, message: object) -> None:
        try:
            self._end.send(message)
        except (BrokenPipeError, ConnectionResetError):
            self._receive()
            raise self._lost() from None

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


class Task(NamedTuple):
    """What a worker is started with. memory: of `shape` [AHEAD,batch,S,S,3], uint8."""

    files: Files
    device: str
    shape: tuple[int, ...]
    memory: str
    threads: int


def _worker_process(end: "Pipe", task: Task) -> None:
    # Ctrl-C reaches every process of a terminal; here the other end of the pipe decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(end, task)


def work(end: "Pipe", task: Task) -> None:
    """A worker's life: load, then clip after clip until the other end of the pipe closes."""
    memory = SharedMemory(task.memory)
    slots = np.ndarray(task.shape, np.uint8, memory.buf)
    try:
        torch.set_num_threads(task.threads)
        generator = load_generator(task.files.checkpoint, task.files.config)
        predictor = Predictor(generator, task.device)
        end.send((0, 0))
        while True:
            _render_clip(end, predictor, slots)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MdthError as error:
        end.send(error)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0][:200]
        end.send(DeviceError(f"{task.device}: {reason}"))
    finally:
        del slots
        memory.close()


def _render_clip(end: "Pipe", predictor: Predictor, slots: npt.NDArray[np.uint8]) -> None:
    counts: deque[int] = deque()

    def incoming() -> Iterator[Landmarks]:
        while (chosen := end.recv()) is not None:
            counts.append(len(chosen))
            yield from chosen

    predictor.source(*end.recv())
    frames = predictor.frames(incoming(), batch=slots.shape[1])
    for slot in itertools.cycle(range(len(slots))):
        first = next(frames, None)
        if first is None:
            return
        slots[slot, 0] = first
        count = counts.popleft()
        for place in range(1, count):
            slots[slot, place] = next(frames)
        end.send((slot, count))
