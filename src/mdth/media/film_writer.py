"""Writing a clip again with parts of its frames changed, and nothing else."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np

from mdth.artefacts import FloatArray, Frame
from mdth.media.film import Film, FilmFrame
from mdth.media.writer import VideoWriter


class Patch(NamedTuple):
    """New pixels for a part of a frame, placed as the frame is shown.

    x, y: of the left upper corner, px. rgb: uint8 [h,w,3]. alpha: float32 [h,w], 0..1.
    """

    x: int
    y: int
    rgb: Frame
    alpha: FloatArray


class FilmWriter:
    """An mp4 like a clip, written frame by frame by a thread of its own. Use it with `with`.

    sound: the file whose sound replaces the clip's own; None keeps the clip's own.
    crf: x264's quality; None: as good as the clip itself.
    kept, changed: what is told of the clip's streams and format, for log and record; whole after
    `__enter__`.
    Raises InputError for a bad sound, StorageError when the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        like: Film,
        sound: Path | None,
        crf: int | None = None,
        preset: str = "veryfast",
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.like = like
        self.kept: list[str] = []
        self.changed: list[str] = []
        self._video = VideoWriter(
            path, width=like.width & ~1, height=like.height & ~1, fps=like.fps, sound=sound,
            crf=18 if crf is None else crf, preset=preset, metadata=metadata,
        )  # fmt: skip

    @property
    def seconds(self) -> float:
        """Spent encoding."""
        return self._video.seconds

    @property
    def bytes_written(self) -> int:
        """The size of the file that was written."""
        return self._video.bytes_written

    def __enter__(self) -> Self:
        self._video.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._video.__exit__(kind, error, trace)

    def write(
        self, original: FilmFrame, patch: Patch | None, *, time_s: Fraction | None = None
    ) -> None:
        """Add a frame with a patch; nothing of it but what lies under alpha > 0 changes.

        time_s: when it is shown, rising (default: as in the clip). The same frame may be written
        any number of times.
        """
        rgb = original.rgb.copy()
        if patch is not None:
            height, width = patch.alpha.shape
            part = rgb[patch.y : patch.y + height, patch.x : patch.x + width]
            part[:] = np.round(part + patch.alpha[..., None] * (patch.rgb.astype(float) - part))
        self._video.write(rgb[: rgb.shape[0] & ~1, : rgb.shape[1] & ~1])
