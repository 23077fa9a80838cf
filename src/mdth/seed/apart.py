"""Parts of preparing that work in processes beside this one: eos keeps Python's lock while it fits,
and torch while it is imported. They answer an array with an array, in the order of the questions.
"""

import io
import itertools
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from mdth import devices, errors, guard
from mdth.artefacts import FloatArray, Frame
from mdth.errors import MdthError
from mdth.face import landmarks68
from mdth.seed.artefacts import FPS
from mdth.seed.files import SeedFiles
from mdth.seed.fit import Fit, Fitter

log = logging.getLogger("mdth")

WARNING = "warning"
# Processes that fit, each with the model's files of its own.
MOST_FITS = 16
# Shapes of what is found of a face (`Fit`).
SHAPES = (landmarks68.COUNT, 3), (4, 4), (4, 4)
ENDS = list(itertools.accumulate(a * b for a, b in SHAPES))
_CHILD = """
import json, sys; sys.path[:] = sys.argv[3:]
from mdth.seed import apart; apart.serve(sys.argv[1], *json.loads(sys.argv[2]))
"""
Answer = Callable[[Any], npt.NDArray[Any]]


class Apart(AbstractContextManager[Any]):
    """A process that does one of `WORKS`, from now on. Use it in a `with`."""

    def __init__(self, work: str, *given: object) -> None:
        """given: what the work is made with there."""
        command = [sys.executable, "-c", _CHILD, work, json.dumps([*map(str, given)]), *sys.path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, question: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The answer. Raises the MdthError that was raised there, or one if it was ended."""
        try:
            _put(self.process.stdin, question)
            while (answer := _got(self.process.stdout)).dtype.kind == "U":
                kind, words = answer
                if kind != WARNING:
                    raise getattr(errors, kind)(words)
                log.warning("%s", words)
        except (OSError, EOFError, ValueError) as error:
            raise MdthError("a process that prepares was ended; run again") from error
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


class Fits(AbstractContextManager["Fits"]):
    """The face model fitted by a process for each core. Use it in a `with`."""

    def __init__(self, folder: Path) -> None:
        """folder: `checkpoints/landmark`."""
        count = min(MOST_FITS, len(devices.usable_cores()))
        self.processes = [Apart("fits", folder.absolute()) for _ in range(count)]
        self._idle = SimpleQueue[Apart]()
        for process in self.processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count)

    def begin(
        self, landmarks: Sequence[FloatArray], irises: Sequence[FloatArray]
    ) -> list[Future[Fit]]:
        """Of each face [68,2+] px and its irises [2,3] px what `Fitter.fit` gives."""
        return [
            self._threads.submit(self._fitted, np.append(marks[:, :2], own))
            for marks, own in zip(landmarks, irises, strict=True)
        ]

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self.processes:
            process.__exit__()

    def _fitted(self, face: FloatArray) -> Fit:
        process = self._idle.get()
        try:
            parts = np.split(process(face), ENDS[:-1])
        finally:
            self._idle.put(process)
        return Fit(*(part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)))


class Poses(Apart):
    """The head-pose network: R [B,3,3] and t [B,3] of pictures RGB uint8 [B,256,256,3]."""

    def __init__(self, files: SeedFiles, n_gpus: int) -> None:
        paths = files.headpose.absolute(), files.headpose_config.absolute()
        super().__init__("poses", *paths, n_gpus)

    def of(self, pictures: Frame) -> tuple[FloatArray, FloatArray]:
        """Raises CheckpointError, MissingDependency."""
        found = self(pictures)
        return found[:, :9].reshape(-1, 3, 3), found[:, 9:]


def serve(work: str, *given: str) -> None:
    """The life of such a process: questions from stdin, answers to stdout, until stdin ends."""
    # Ctrl-C reaches every process of a terminal; here the other end of the pipe decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log.addHandler(_Warnings(logging.WARNING))
    with guard.limits(), suppress(EOFError):
        made = _told(WORKS[work], *given)
        while True:
            question = _got(sys.stdin.buffer)
            _put(sys.stdout.buffer, _told(made, question) if callable(made) else made)


class _Warnings(logging.Handler):
    """Sends them before the next answer."""

    def emit(self, record: logging.LogRecord) -> None:
        """One of them."""
        _put(sys.stdout.buffer, np.array([WARNING, record.getMessage()]))


def _told(function: Callable[..., Any], *given: Any) -> Any:
    """What a function gives, or the MdthError that it raises, as an array."""
    try:
        return errors.ours(function)(*given)
    except MdthError as error:
        return np.array([type(error).__name__, str(error)])


def _fits(folder: str) -> Answer:
    fitter = Fitter(Path(folder))

    def fit(face: FloatArray) -> FloatArray:
        guard.grow(1 / FPS)
        marks, irises = np.split(face, [2 * landmarks68.COUNT])
        found = fitter.fit(marks.reshape(-1, 2), irises.reshape(-1, 3))
        return np.concatenate([part.ravel() for part in found])

    return fit


def _poses(checkpoint: str, config: str, n_gpus: str) -> Answer:
    from mdth.bfv2v.export import load_headpose

    device = devices.torch_devices(int(n_gpus))[0]
    network = load_headpose(Path(checkpoint), Path(config)).to(device)

    def poses(pictures: Frame) -> FloatArray:
        guard.grow(len(pictures) / FPS)
        found = network.poses(pictures)
        return np.concatenate([found.R.reshape(-1, 9), found.t], axis=1)

    return poses


WORKS: dict[str, Callable[..., Answer]] = {"fits": _fits, "poses": _poses}


def _put(file: IO[bytes] | None, array: npt.NDArray[Any]) -> None:
    assert file
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=False)
    file.write(packed.tell().to_bytes(8) + packed.getbuffer())
    file.flush()


def _got(file: IO[bytes] | None) -> npt.NDArray[Any]:
    assert file
    size = int.from_bytes(file.read(8))
    return np.asarray(np.load(io.BytesIO(file.read(size)), allow_pickle=False))
