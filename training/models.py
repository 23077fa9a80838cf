"""The outside models that training uses; each raises CheckpointError where it is not there."""

from pathlib import Path

from mdth.artefacts import Frame, Portrait
from mdth.embedded.speech.speakers import ENCODER
from mdth.face.find import SEGMENTER, TRACKER
from mdth.face.portrait import prepare_portrait
from mdth.files import assets


def tracker() -> Path:
    """MediaPipe's face tracker."""
    return assets.path(TRACKER)


def encoder() -> Path:
    """Moonshine's encoder of speech."""
    return assets.path(ENCODER)


def portrait(picture: Frame) -> Portrait:
    """A picture with its largest face, and which of its pixels are the person."""
    segmenter = assets.path(SEGMENTER)
    return prepare_portrait(picture, tracker_model=tracker(), person_model=segmenter)
