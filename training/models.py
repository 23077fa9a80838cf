"""The outside models that training uses; each raises CheckpointError where it is not there."""

from pathlib import Path

from mdth.embedded.speech.speakers import ENCODER
from mdth.files import assets


def encoder() -> Path:
    """Moonshine's encoder of speech."""
    return assets.path(ENCODER)
