"""A twin's tasks as a batch runs them: is there anything to do, and do it."""

from pathlib import Path
from typing import Any

from mdth import pipeline
from mdth.config import config
from mdth.storage.layout import MANIFEST, LocalTree


def preprocess(twin_id: str, **settings: Any) -> bool:
    """Prepare a twin; False when it was prepared already. Raises MdthError."""
    seal = LocalTree(config().home).processed(twin_id) / MANIFEST
    before = _written(seal)
    pipeline.preprocess(twin_id, **settings)
    return _written(seal) != before


def inference(twin_id: str, **settings: Any) -> bool:
    """Film a prepared twin; False when it was filmed already. Raises MdthError."""
    record = LocalTree(config().home).serving(twin_id) / "output.json"
    before = _written(record)
    pipeline.inference(twin_id, **settings)
    return _written(record) != before


def _written(path: Path) -> tuple[int, int] | None:
    """When a file was written, None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
