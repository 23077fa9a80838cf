"""Any file with sound -> the speech, as the model hears it and as the video will carry it."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

from mdth.artefacts import SHORTEST_S, SPEECH_RATE_HZ, FloatArray, original_name
from mdth.errors import SpeechTooShort, StorageError
from mdth.media.audio import probe_sound, read_blocks


class Said(NamedTuple):
    """What is said.

    blocks: float32 [n] each, mono, 16 kHz. sound: the file whose sound the video carries.
    duration_s: where the file says it.
    """

    blocks: Iterable[FloatArray]
    sound: Path
    duration_s: float | None

    @classmethod
    def of(cls, path: Path) -> Self:
        """The sound of a file. Raises MissingInput, UnreadableMedia."""
        return cls(read_blocks(path), path, probe_sound(path).duration_s)

    def frame_count(self, fps: float, limit_s: float | None) -> int | None:
        """About how many frames it has up to a limit, None where the file does not say."""
        if self.duration_s is None:
            return None
        return max(1, round(min(self.duration_s, limit_s or self.duration_s) * fps))

    def limited(self, limit_s: float | None) -> Iterator[FloatArray]:
        """The blocks, up to a limit."""
        left = None if limit_s is None else round(limit_s * SPEECH_RATE_HZ)
        for block in self.blocks:
            yield block[:left]
            if left is not None:
                left -= min(left, len(block))
                if not left:
                    return


def prepare_speech(path: Path, folder: Path) -> None:
    """Copy a sound into a folder, as `original.*`, once it was heard to be a speech.

    Silence is one too. Raises MissingInput, UnreadableMedia, SpeechTooShort, StorageError.
    """
    check_length(sum(map(len, read_blocks(path))), f"{path}: ")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / original_name(path))
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be written ({error.strerror}); free some space or set MDTH_HOME"
        ) from error


def check_length(samples: int, where: str = "") -> None:
    """Refuse a speech of under 0.3 s, given in samples at 16 kHz. Raises SpeechTooShort."""
    if samples < SHORTEST_S * SPEECH_RATE_HZ:
        raise SpeechTooShort(
            f"{where}the speech lasts {samples / SPEECH_RATE_HZ:.2f} s; at least {SHORTEST_S} s "
            "are needed"
        )
