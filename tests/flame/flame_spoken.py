"""All of a sound said at once."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def spoken(speaker: Any, blocks: Iterable[np.ndarray], fps: float) -> Iterator[np.ndarray]:
    said = speaker.open(fps)
    for block in blocks:
        yield from said.feed(block)
    yield from said.finish()
