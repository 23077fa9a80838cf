"""Symbolic links in a twin's folders, which lead elsewhere: they are never followed.

A store may be filled by others, and a link in it would read or overwrite whatever it points to with
the rights of who runs this. Links above a twin's folders are its owner's own.
"""

from collections.abc import Iterable
from pathlib import Path

from mdth.errors import StorageError


def link_on_the_way(root: Path, path: Path) -> Path | None:
    """The first link below `root` on the way to `path`, which lies below it; None without one."""
    at = root
    for name in path.relative_to(root).parts:
        at = at / name
        if at.is_symlink():
            return at
    return None


def refuse_links(root: Path, paths: Iterable[Path]) -> None:
    """Raise StorageError if one of the paths below `root` leads through a link."""
    for path in paths:
        link = link_on_the_way(root, path)
        if link is not None:
            raise StorageError(f"{link}: a link, which is not followed; put the files there")
