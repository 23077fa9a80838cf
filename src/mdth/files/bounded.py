"""Files that are never asked for more than they have.

Python makes room for all that a reader asks for, and headers of damaged files ask for gigabytes.
"""

import io
import os
from pathlib import Path


class BoundedFile(io.BufferedReader):
    """A regular file, open for reading; raises OSError as `open` does."""

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(path)
        super().__init__(raw)
        self.size = os.fstat(raw.fileno()).st_size

    def read(self, count: int | None = -1, /) -> bytes:
        """At most `count` bytes."""
        left = max(0, self.size - self.tell())
        return super().read(left if count is None or count < 0 else min(count, left))
