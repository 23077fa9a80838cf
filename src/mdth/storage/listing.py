"""What a listing of a store says."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A file or folder: its name or path, size in bytes, and when it came, by the store's clock.

    is_link: it leads elsewhere, and is not followed.
    """

    name: str
    size: int = 0
    time_s: float = 0.0
    is_folder: bool = False
    is_link: bool = False
