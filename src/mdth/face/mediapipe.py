"""MediaPipe's tasks, made quietly and in any language of the system."""

import locale
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mdth.errors import in_words
from mdth.files import assets

STDERR = 2
_lock = threading.Lock()
# Its C++ writes these to file descriptor 2, whatever its settings say.
_NOISE = re.compile(
    rb"^(WARNING: Logging before|[IWE]\d{4} |INFO: Created TensorFlow Lite).*\n?", re.MULTILINE
)


def create(task: str, asset: str, **options: Any) -> Any:
    """A task such as "FaceLandmarker" of an outside model; close it in the end.

    Raises MissingDependency where a library of the system is missing, CheckpointError and
    StorageError.
    """
    model = assets.path(asset)
    # It imports that for drawing, and its words on fonts and folders help nobody.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        from mediapipe.tasks.python import BaseOptions, vision

        chosen = getattr(vision, f"{task}Options")(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
            running_mode=vision.RunningMode.IMAGE,
            **options,
        )
        with _lock, _plain_letters(), _unheard():
            return getattr(vision, task).create_from_options(chosen)
    except (OSError, ImportError, AttributeError) as error:
        raise in_words(error) from error


def image(rgb: Any) -> Any:
    """A picture for its tasks, of RGB uint8 [H,W,3] without gaps between rows."""
    import mediapipe

    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb)


@contextmanager
def _plain_letters() -> Iterator[None]:
    """Small and capital letters as in English: in Turkish and Azeri it finds no name with an I."""
    before = locale.setlocale(locale.LC_CTYPE)
    odd = before.lower().startswith(("tr", "az"))
    if odd:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    try:
        yield
    finally:
        if odd:
            locale.setlocale(locale.LC_CTYPE, before)


@contextmanager
def _unheard() -> Iterator[None]:
    """Take its noise out of stderr; what others write there meanwhile comes at the end."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # closed
        yield
        return
    with tempfile.TemporaryFile() as heard:
        os.dup2(heard.fileno(), STDERR)
        try:
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            heard.seek(0)
            os.write(STDERR, _NOISE.sub(b"", heard.read()))
