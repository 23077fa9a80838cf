"""A speech: so much of its sound, kept for a twin, long enough."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from mdth.artefacts import SHORTEST_S, SPEECH_RATE_HZ, FloatArray, original_name
from mdth.errors import SpeechTooShort, StorageError
from mdth.media.audio import read_blocks


def limited(blocks: Iterable[FloatArray], limit_s: float | None) -> Iterator[FloatArray]:
    """Sound of 16 kHz, float32 [n] each, up to a limit."""
    left = None if limit_s is None else round(limit_s * SPEECH_RATE_HZ)
    for block in blocks:
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
