"""The face model fitted to a clip's faces by processes beside this one: eos keeps Python's lock."""

import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from mdth.artefacts import FloatArray
from mdth.errors import MdthError
from mdth.face import landmarks68
from mdth.seed.fit import Fit, Fitter

# Numbers of a face that is given, and shapes of what is found (`Fit`); all float64.
GIVEN = 2 * landmarks68.COUNT + 6
SHAPES = (landmarks68.COUNT, 3), (4, 4), (4, 4)
SIZES = [a * b for a, b in SHAPES]
_CHILD = """
import sys; from pathlib import Path; sys.path[:] = sys.argv[2:]
from mdth.seed import fits; fits.serve(Path(sys.argv[1]))
"""


class Fits(AbstractContextManager["Fits"]):
    """Up to so many processes, each with the model's files of its own. Use it in a `with`."""

    def __init__(self, folder: Path, processes: int) -> None:
        """folder: `checkpoints/landmark`."""
        self._command = [sys.executable, "-c", _CHILD, str(folder.absolute()), *sys.path]
        self._begun: list[subprocess.Popen[bytes]] = []
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(processes)

    def begin(self, landmarks: Sequence[FloatArray], irises: Sequence[FloatArray]) -> Future[Fit]:
        """Of n faces [68,2+] px and their irises [2,3] px what `Fitter.fit` gives, stacked [n,...].

        The result raises MdthError where a process was ended.
        """
        flat = [np.append(marks[:, :2], own) for marks, own in zip(landmarks, irises, strict=True)]
        return self._threads.submit(self._fitted, flat)

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for process in self._begun:
            process.communicate()

    def _fitted(self, faces: list[FloatArray]) -> Fit:
        """In a thread, which has a process to itself."""
        if not hasattr(self._own, "process"):
            self._own.process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._begun.append(self._own.process)
        try:
            found = np.stack([_asked(self._own.process, face) for face in faces])
        except (OSError, ValueError) as error:
            raise MdthError("a process that fits the face model was ended; run again") from error
        parts = np.split(found, np.cumsum(SIZES)[:-1], axis=1)
        return Fit(*(part.reshape(-1, *shape) for part, shape in zip(parts, SHAPES, strict=True)))


def _asked(process: "subprocess.Popen[bytes]", face: FloatArray) -> FloatArray:
    assert process.stdin and process.stdout
    process.stdin.write(face.astype(np.float64).tobytes())
    process.stdin.flush()
    return np.frombuffer(process.stdout.read(8 * sum(SIZES))).reshape(sum(SIZES))


def serve(folder: Path) -> None:
    """The life of such a process: faces from stdin, fits to stdout, until stdin ends."""
    # Ctrl-C reaches every process of a terminal; here the other end of the pipe decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fitter = Fitter(folder)
    while face := sys.stdin.buffer.read(8 * GIVEN):
        marks, irises = np.split(np.frombuffer(face), [2 * landmarks68.COUNT])
        fit = fitter.fit(marks.reshape(-1, 2), irises.reshape(-1, 3))
        sys.stdout.buffer.write(b"".join(part.tobytes() for part in fit))
        sys.stdout.buffer.flush()
